"""Owns the signs that a GAN's training has failed without an error: D has won, or G ignores its input."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from fpgan_jax import parallel
from fpgan_jax.data.preprocessing import scale_to_unit
from fpgan_jax.training.reporting import Reporter

# D's loss, before its weight, where it gives every patch the same logit: the lowest such loss.
_BLIND_LOSSES = {"vanilla": 2 * math.log(2), "lsgan": 0.5, "hinge": 2.0}
# The share of it below which D has won. In trainings at 64x64 pixels and 16 features none of 60 rows of 50 steps was
# below it (5 persons), two of 80 were (12), and twenty of 40 with a lambda_l1 of 10,000, with which G hardly fights.
MAX_WON_SHARE = 0.01
# It must last for this part of the training and this many rows of metrics: D is ahead for a while in any training.
MIN_WON_PART = 0.05
MIN_WON_ROWS = 5

# The response below which G ignores its input. In the same trainings it was 0.06 after 100 steps and 0.21 after 200
# (5 persons), 0.03 after 200 and 0.22 after 400 (12), and 0.85 and 0.63 at the end; without an L1 loss, where nothing
# but D connects noise and print, it was never above 0.04.
MIN_RESPONSE = 0.1
# G first draws the mean of all prints, so it is checked only after this part of the training.
MIN_RESPONSE_PART = 0.25


def watch_discriminator(config: ConfigDict, num_steps: int) -> Callable[[int, Mapping, Reporter], None]:
    """Create the hook, called with every row of metrics, that warns once D's loss has been near zero for long."""
    blind_loss = config.discriminator_loss_weight * _BLIND_LOSSES[config.gan_objective]
    last_step, won_since, num_rows = 0, 0, 0

    def watch(step: int, averages: Mapping[str, float], reporter: Reporter) -> None:
        nonlocal last_step, won_since, num_rows
        loss = averages.get("discriminator_loss", math.inf)
        if loss < MAX_WON_SHARE * blind_loss:
            won_since, num_rows = won_since if num_rows else last_step, num_rows + 1
        else:
            num_rows = 0
        last_step = step
        if num_rows >= MIN_WON_ROWS and step - won_since >= MIN_WON_PART * num_steps:
            reporter.warn_once(
                step,
                "discriminator_won",
                f"the discriminator has won: its loss has been below {MAX_WON_SHARE:.1%} of a blind one's "
                f"({blind_loss:.3g}) since step {won_since}, and is {loss:.3g} now; the generator learns little more "
                "from it",
            )

    return watch


def watch_generator(
    generate: Callable, pairs: Mapping[str, np.ndarray], num_steps: int
) -> Callable[[int, Any, Reporter], None]:
    """Create the hook that warns if G draws nearly the same print from every noise image.

    Args:
      generate: from `sampling.create_generate`.
      pairs: from `pairs.create_batch`, of different persons.
      num_steps: steps of the training.

    Returns:
      (completed steps, replicated state, reporter) -> None.
    """
    real_image = np.asarray(scale_to_unit(pairs["real_image"]))
    # The same dropout for all, so that only the noise makes the images differ.
    keys = jax.random.split(jax.random.key(0), 1)[np.zeros(len(real_image), int)]

    def watch(step: int, state: Any, reporter: Reporter) -> None:
        is_due = step >= MIN_RESPONSE_PART * num_steps and np.ptp(real_image, axis=0).any()
        if not (is_due and parallel.is_main_process()):
            return
        network = parallel.unreplicate(state.generator.replace(opt_state=()))
        variables = {"params": network.params, "batch_stats": network.batch_stats}
        response = compute_response(np.asarray(generate(variables, pairs["noise_image"], keys)), real_image)
        if response < MIN_RESPONSE:
            reporter.warn_once(
                step,
                "generator_ignores_input",
                # A negative slope is shown as 0.
                f"the generator ignores its input: from {len(real_image)} inputs it draws "
                f"{max(0.0, response):.1%} of the differences between their targets (below {MIN_RESPONSE:.0%})",
            )

    return watch


def compute_response(fake_image: np.ndarray, real_image: np.ndarray) -> float:
    """Compute how much of the differences between prints the generated images show.

    It is the slope of the least-squares line of generated on real differences, not the ratio of their variances: an
    untrained generator's images vary too, since noise shows through them. Differences are from each pixel's mean.

    Args:
      fake_image: [num_images, height, width, channels], float, of different noise images with the same dropout.
      real_image: the same shape and range: their prints, not all the same.

    Returns:
      0 if the images do not depend on the noise, or not as the prints do; 1 if they are the prints.
    """
    fake, real = (
        np.float64(image) - np.mean(image, axis=0, dtype=np.float64) for image in (fake_image, real_image)
    )
    return float((fake * real).sum() / np.square(real).sum())
