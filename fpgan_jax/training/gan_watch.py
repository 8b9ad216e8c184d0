"""Owns what is watched while a GAN trains: samples, validation pairs, and the signs of a failed training."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from flax import linen as nn
from ml_collections import ConfigDict

from fpgan_jax import parallel
from fpgan_jax.data.preprocessing import scale_to_unit
from fpgan_jax.host.progress import print_line
from fpgan_jax.training.cadence import Schedule
from fpgan_jax.training.reporting import Reporter
from fpgan_jax.training.run import Watch
from fpgan_jax.training.sampling import SampleGrid, create_generate
from fpgan_jax.training.state import GanTrainState
from fpgan_jax.training.validation import Validation

# D's lowest loss, before its weight, if it gives every patch the same logit.
_BLIND_LOSSES = {"vanilla": 2 * math.log(2), "lsgan": 0.5, "hinge": 2.0}
# Below this share of it D has won. In trainings at 64x64 pixels and 16 features none of 60 rows of 50 steps was
# below it (5 persons), two of 80 were (12), and twenty of 40 with a lambda_l1 of 10,000, which leaves D almost alone.
MAX_WON_SHARE = 0.01
# This must last for a part of the training and a number of rows of metrics: D is ahead for a while in any training.
MIN_WON_PART = 0.05
MIN_ROWS = 5
# Above this share D tells nothing apart. In trainings of configs/enlarge_demo.py it did so for at most 9% of the steps,
# but once for 18% of 10,450, and for 4,000 but for a few rows: G learned from its other losses alone.
MIN_BLIND_SHARE = 0.99
MIN_BLIND_PART = 0.15

# Below this response G ignores its input. In the same trainings it was 0.06 after 100 steps and 0.21 after 200
# (5 persons), 0.03 after 200 and 0.22 after 400 (12), and 0.85 and 0.63 at the end; without an L1 loss, when only
# D connects noise and print, it was never above 0.04.
MIN_RESPONSE = 0.1
# G first draws the mean of all prints, so it is checked only after this part of the training.
MIN_RESPONSE_PART = 0.25


class GanWatch(Watch):
    """Draws the sample grids, measures validation pairs, and warns of a failed training."""

    def __init__(
        self,
        config: ConfigDict,
        schedule: Schedule,
        generator: nn.Module,
        source: Any,
        validation_pairs: Mapping[str, np.ndarray],
    ):
        # Grid, response and validation are drawn by one program.
        samples = source.load_samples(max(config.num_samples, 2))
        generate = create_generate(generator, deterministic=False, use_running_average=False)
        self._epochs = schedule.sample_epochs
        self._grid = SampleGrid(config, generate, samples) if config.num_samples else None
        self._validation = None
        if validation_pairs:
            batch_size = len(samples["noise_image"])
            self._validation = Validation(config, generate, validation_pairs, batch_size=batch_size)
        self._watch_discriminator = watch_discriminator(config, schedule.num_steps)
        self._watch_generator = watch_generator(generate, samples, schedule.num_steps)

    def see_metrics(self, step: int, averages: Mapping[str, float], reporter: Reporter) -> None:
        """Warn once D has won, or been blind, for long."""
        self._watch_discriminator(step, averages, reporter)

    def see_state(self, step: int, state: GanTrainState, reporter: Reporter) -> None:
        """Warn if G ignores its input."""
        self._watch_generator(step, state, reporter)

    def draw_samples(self, step: int, state: GanTrainState, reporter: Reporter) -> None:
        """Write the grid and the validation measures of the epoch that `step` completes."""
        if not parallel.is_main_process():
            return
        epoch = self._epochs[step]
        variables = parallel.unreplicate(state.generator.replace(opt_state=())).variables
        if self._grid:
            reporter.write_images(step, f"epoch_{epoch:04d}", self._grid.draw(variables))
        if self._validation:
            values, rows = self._validation.measure(variables)
            reporter.write_validation(step, {"epoch": epoch, **values})
            ssim = f", SSIM {values['ssim']:.3f}" if "ssim" in values else ""
            print_line(
                f"GAN: epoch {epoch}: {values['num_pairs']} validation pairs: L1 {values['l1']:.3f}{ssim}"
            )
            if rows:
                reporter.write_images(step, f"validation_epoch_{epoch:04d}", rows, tag="validation")


def watch_discriminator(config: ConfigDict, num_steps: int) -> Callable[[int, Mapping, Reporter], None]:
    """Create the hook, called with every row of metrics, that warns once D has won, or been blind, for long."""
    blind_loss = config.discriminator_loss_weight * _BLIND_LOSSES[config.gan_objective]
    won, blind = _Streak(MIN_WON_PART * num_steps), _Streak(MIN_BLIND_PART * num_steps)

    def watch(step: int, averages: Mapping[str, float], reporter: Reporter) -> None:
        loss = averages.get("discriminator_loss", math.nan)
        for streak, holds, name, text in (
            (
                won,
                loss < MAX_WON_SHARE * blind_loss,
                "won",
                f"has won: its loss has been below {MAX_WON_SHARE:.1%}",
            ),
            (
                blind,
                loss > MIN_BLIND_SHARE * blind_loss,
                "blind",
                f"is blind: its loss has been above {MIN_BLIND_SHARE:.0%}",
            ),
        ):
            since = streak.see(step, holds)
            if since is not None:
                reporter.warn_once(
                    step,
                    f"discriminator_{name}",
                    f"the discriminator {text} of that of one answer for every patch ({blind_loss:.3g}) since step "
                    f"{since}, and is {loss:.3g} now; the generator learns little from it",
                )

    return watch


class _Streak:
    """Rows of metrics in a row in which something holds."""

    def __init__(self, min_steps: float):
        self._min_steps = min_steps
        self._last_step = self._since = self._num_rows = 0

    def see(self, step: int, holds: bool) -> int | None:
        """See the next row; return the step since which it has held, if that is long enough."""
        if not holds:
            self._num_rows = 0
        else:
            self._since = self._since if self._num_rows else self._last_step
            self._num_rows += 1
        self._last_step = step
        is_long = self._num_rows >= MIN_ROWS and step - self._since >= self._min_steps
        return self._since if is_long else None


def watch_generator(
    generate: Callable, pairs: Mapping[str, np.ndarray], num_steps: int
) -> Callable[[int, Any, Reporter], None]:
    """Create the hook that warns if G draws nearly the same print from every noise image.

    Args:
      generate: from `sampling.create_generate`.
      pairs: from `pairs.create_batch`, of different persons.

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
        variables = parallel.unreplicate(state.generator.replace(opt_state=())).variables
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
