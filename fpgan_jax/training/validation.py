"""Owns how a GAN does on pairs that it is not trained on: their L1 and SSIM, and a grid of samples, while it trains.

Does not own when that is done (`loop.py`) or which pairs they are (`data/pair_layouts.py`). Changes nothing of the
training: its weights are read, and the random numbers are a stream of their own.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict
from skimage.metrics import structural_similarity

from fpgan_jax import parallel
from fpgan_jax.data.preprocessing import to_uint8
from fpgan_jax.training.reporting import Reporter

# Of the SSIM's window, pixels.
_MIN_SIDE = 11


def create_validator(
    config: ConfigDict,
    generate: Callable,
    pairs: Mapping[str, np.ndarray],
    epochs: Mapping[int, int],
    *,
    batch_size: int,
) -> Callable[[int, Any, Reporter], None]:
    """Create the hook that measures the generator on validation pairs, as it draws at test time: with its dropout.

    Args:
      config: the experiment's config; num_samples and synthesis.seed are used.
      generate: as of `sampling.create_generate`.
      pairs: as of `pairs.create_batch`; none is measured where there are none.
      epochs: completed steps -> the epoch, for the names of the grids.
      batch_size: pairs a call of `generate`; that of its other calls, so that it is one program.

    Returns:
      (completed steps, replicated state, reporter) -> None. It writes a row of `validation.csv`: the mean over the
      pairs of the L1 distance on the scale [-1, 1], as the metric `l1_loss`, and of the SSIM; and
      `samples/validation_epoch_NNNN.png` of the first pairs.
    """
    count = len(pairs["real_image"]) if pairs else 0
    if not count:
        return lambda step, state, reporter: None
    # The same dropout every time: what changes is the network.
    keys = jax.random.split(jax.random.key(config.synthesis.seed), count)

    def validate(step: int, state: Any, reporter: Reporter) -> None:
        if not parallel.is_main_process():
            return
        network = parallel.unreplicate(state.generator.replace(opt_state=()))
        variables = {"params": network.params, "batch_stats": network.batch_stats}
        fake = []
        for start in range(0, count, batch_size):
            # The last batch is filled up.
            places = np.minimum(np.arange(start, start + batch_size), count - 1)
            drawn = generate(variables, pairs["noise_image"][places], keys[places])
            fake.append(to_uint8(np.asarray(drawn))[: count - start])
        fake = np.concatenate(fake)
        values = {"l1": compute_l1(fake, pairs["real_image"]).mean()}
        if min(fake.shape[1:3]) >= _MIN_SIDE:
            values["ssim"] = compute_ssim(fake, pairs["real_image"]).mean()
        reporter.write_validation(step, {"epoch": epochs[step], "num_pairs": count, **values})
        if config.num_samples:
            shown = (
                images[: config.num_samples] for images in (pairs["noise_image"], fake, pairs["real_image"])
            )
            reporter.write_images(
                step, f"validation_epoch_{epochs[step]:04d}", list(zip(*shown, strict=True)), tag="validation"
            )

    return validate


def compute_l1(images: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Compute the mean absolute difference of pairs of images on the networks' scale.

    Args:
      images: uint8 [n, height, width, channels].
      others: uint8 of the same shape.

    Returns:
      float64 [n], in [0, 2]: the scale is [-1, 1].
    """
    return np.abs(images.astype(np.int16) - others).mean((1, 2, 3)) / 127.5


def compute_ssim(images: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Compute the mean structural similarity of pairs of images, over their channels.

    Args:
      images: uint8 [n, height, width, channels], sides of at least 11 pixels.
      others: uint8 of the same shape.

    Returns:
      float64 [n], in [-1, 1]; 1 for equal images.

    Source: Wang, Bovik, Sheikh & Simoncelli 2004, section III (Gaussian window of 11 pixels, standard deviation 1.5,
      K1 = 0.01, K2 = 0.03), by scikit-image; differs in: colors, of which each channel is compared by itself.
    """
    return np.array(
        [
            structural_similarity(
                image,
                other,
                data_range=255,
                channel_axis=-1,
                gaussian_weights=True,
                sigma=1.5,
                use_sample_covariance=False,
            )
            for image, other in zip(images, others, strict=True)
        ],
        np.float64,
    )
