"""Owns the negative controls: images with a known fault, made from real prints and measured like synthetic ones."""

import functools
import math

import numpy as np
from ml_collections import ConfigDict
from scipy import ndimage

from fpgan_jax.config.derived import image_shape
from fpgan_jax.data import preprocessing
from fpgan_jax.data.noise import create_noise_image
from fpgan_jax.data.procedural.impressions import create_empty_print
from fpgan_jax.data.ridges.print_scale import find_sensor_period
from fpgan_jax.evaluation.matcher.resolution import NoScaleError, find_period
from fpgan_jax.evaluation.study import loading
from fpgan_jax.evaluation.study.print_collection import CONTROL, PrintCollection

DESCRIPTIONS = {
    "control_other_person": "a real print of another person",
    "control_white_noise": "white noise, each of the 256 gray levels equally likely",
    "control_low_pass_noise": "noise as smooth as ridges, with about the mean and contrast of the person's own print",
    "control_blurred": "the person's own print, blurred until a tenth of its ridges' contrast is left",
    "control_mean_print": "the mean of all reference prints, the same for everyone",
    "control_average_of_two": "the mean of the person's own print and the next person's",
    "control_mosaic": "the left half of the person's own print, the right half of the next person's",
    "control_mirrored": "the person's own print, left and right exchanged",
    "control_bare_frame": "an empty scan, the same for everyone",
    "control_exact_copy": "the person's own print itself",
    "control_checkered": "the person's own print, every other pixel 4 gray levels darker, the rest as much lighter",
}
# A Gaussian of this many ridge periods leaves exp(-2 pi^2 0.3415^2) = a tenth of the ridges' contrast.
BLUR_PERIODS = math.sqrt(math.log(10) / 2) / math.pi
# In ridge periods: a Gaussian of this standard deviation makes blobs as wide as a ridge, which is half a period.
SMOOTH_PERIODS = 0.2
RIDGES_ACROSS = 28
CHECKERED_LEVELS = 4


def create_controls(
    real: PrintCollection, real_others: PrintCollection | None, data_config: ConfigDict, *, seed: int
) -> list[PrintCollection]:
    """Create every control, one print for each person of the reference, made from the person's first.

    Where the scanner's frame is kept, only what is inside it is changed, so that no measure catches a control by its
    frame.

    Args:
      real: the reference.
      real_others: prints of persons outside the reference, or None.
      data_config: config.data; its source, frame, image size and interpolation are used.
      seed: of the noise.

    Returns:
      The controls in the order of `DESCRIPTIONS`, with the reference's persons. `control_other_person` takes from
      `real_others`, or else from the next person in the reference, as the average and the mosaic do. Controls that need
      a second person are left out if there is none.

    Raises:
      ValueError: the prints do not have config.data's size, or have fewer than 48 pixels a side.
    """
    size = image_shape(data_config)[:2]
    if real.images.shape[1:] != size:
        raise ValueError(f"{real.name}: images {real.images.shape[1:]}, but config.data makes them {size}")
    _, firsts = np.unique(real.persons, return_index=True)
    real = loading.select(real, np.sort(firsts).tolist())
    own = real.images.astype(np.float64)
    rows, columns = preprocessing.find_window(data_config)
    within = own[:, rows, columns]
    period = find_sensor_period(data_config) or _find_period(real.images[:, rows, columns])
    smooth_noise = _blur(_draw_noise(real.persons, 1, size, "gaussian", seed), SMOOTH_PERIODS * period)
    images = {
        "control_white_noise": _draw_noise(real.persons, 0, size, "uniform", seed)[:, rows, columns],
        "control_low_pass_noise": _match_gray_levels(smooth_noise[:, rows, columns], within),
        "control_blurred": _blur(within, BLUR_PERIODS * period),
        "control_mean_print": np.broadcast_to(within.mean(0), within.shape),
        "control_mirrored": within[:, :, ::-1],
        "control_exact_copy": within,
        "control_checkered": within + _draw_checkerboard(*within.shape[1:]),
    }
    if others := _choose_others(real, real_others):
        other, following = others
        half = columns.start + within.shape[2] // 2
        mosaic = np.concatenate([own[:, :, :half], following[:, :, half:]], axis=2)
        images |= {
            "control_other_person": other[:, rows, columns],
            "control_average_of_two": ((own + following) / 2)[:, rows, columns],
            "control_mosaic": mosaic[:, rows, columns],
        }
    # Everything outside the window is the scanner's frame, which all controls keep.
    controls = {}
    for name, inner in images.items():
        controls[name] = real.images.copy()
        controls[name][:, rows, columns] = np.clip(np.rint(inner), 0, 255)
    empty = create_empty_print(data_config)[..., 0]
    controls["control_bare_frame"] = np.repeat(empty[None], len(real), axis=0)
    return [
        PrintCollection(
            name,
            CONTROL,
            controls[name],
            real.persons,
            tuple(f"{name}_{person:03d}.png" for person in real.persons),
            description,
        )
        for name, description in DESCRIPTIONS.items()
        if name in controls
    ]


def _find_period(images: np.ndarray) -> float:
    """Find the prints' ridge period; without ridges, that of a print that fills its image."""
    try:
        return find_period(images)
    except NoScaleError:
        return min(images.shape[1:]) / RIDGES_ACROSS


def _choose_others(
    real: PrintCollection, real_others: PrintCollection | None
) -> tuple[np.ndarray, np.ndarray] | None:
    """Choose a stranger's print and the next person's print for each person: float64 [n, height, width] each."""
    following = np.roll(real.images, -1, axis=0) if len(real) > 1 else None
    strangers = following
    if real_others is not None and len(real_others):
        # Evenly spread, each one once if there are enough.
        strangers = real_others.images[np.arange(len(real)) * len(real_others) // len(real)]
    if strangers is None:
        return None
    return strangers.astype(np.float64), (strangers if following is None else following).astype(np.float64)


def _draw_noise(
    persons: np.ndarray, replica: int, size: tuple[int, int], distribution: str, seed: int
) -> np.ndarray:
    draw = functools.partial(create_noise_image, shape=(*size, 1), distribution=distribution)
    return np.stack([draw(seed, int(person), replica)[..., 0] for person in persons]).astype(np.float64)


def _blur(images: np.ndarray, sigma: float) -> np.ndarray:
    return ndimage.gaussian_filter(images, (0, sigma, sigma))


def _draw_checkerboard(height: int, width: int) -> np.ndarray:
    return CHECKERED_LEVELS * (1.0 - 2 * (np.indices((height, width)).sum(0) % 2))


def _match_gray_levels(images: np.ndarray, models: np.ndarray) -> np.ndarray:
    """Give each image its model's mean and standard deviation."""
    centered = images - images.mean((1, 2), keepdims=True)
    contrast = models.std((1, 2), keepdims=True) / images.std((1, 2), keepdims=True)
    return models.mean((1, 2), keepdims=True) + contrast * centered
