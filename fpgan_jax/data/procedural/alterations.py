"""Alterations of an impression as SOCOFing has them: obliteration, central rotation and the Z cut."""

import math

import numpy as np
from numpy.random import Generator
from scipy import ndimage

from fpgan_jax.data.procedural.finger import Finger, create_finger_generator, draw_smooth_noise
from fpgan_jax.data.procedural.impressions import SIZES, PrintSize, add_frame
from fpgan_jax.data.socofing.filenames import ALTERATIONS
from fpgan_jax.errors import UserError

DIFFICULTIES = ("Easy", "Medium", "Hard")

# Radius of the altered region as a share of the file's width, chosen to look like SOCOFing's three difficulties.
_ALTERED_RADIUS = {
    "Obl": {"Easy": 0.14, "Medium": 0.21, "Hard": 0.26},
    "CR": {"Easy": 0.12, "Medium": 0.22, "Hard": 0.27},
    "Zcut": {"Easy": 0.13, "Medium": 0.24, "Hard": 0.35},
}


def alter_impression(image: np.ndarray, finger: Finger, alteration: str, difficulty: str) -> np.ndarray:
    """Alter an impression as SOCOFing's altered sets do.

    The place is the same in all difficulties, so that a harder alteration contains the easier one's.

    Args:
      image: [height, width] uint8, with the frame, from `create_impression`.
      finger: of the impression; the alteration's place is drawn from its keys.
      alteration: "Obl" (obliteration), "CR" (central rotation) or "Zcut" (z-cut).
      difficulty: one of `DIFFICULTIES`.

    Returns:
      [height, width] uint8, unchanged outside the altered region and in the frame.

    Raises:
      UserError: no such alteration, difficulty or size.

    Source: Shehu et al. 2018, arXiv:1807.10609, section 3 (the three alterations of the STRANGE toolbox); differs
    in: shapes and strengths follow the look of the results, not the toolbox's code.
    """
    alterations = {"Obl": _obliterate, "CR": _rotate_center, "Zcut": _cut_z}
    if alteration not in alterations or difficulty not in DIFFICULTIES:
        raise UserError(
            f"alteration {alteration!r}, difficulty {difficulty!r}: must be one of {tuple(alterations)} and "
            f"one of {DIFFICULTIES}"
        )
    print_size = _size_of(image)
    rng = create_finger_generator(
        "alteration", finger.seed, finger.person, finger.hand, finger.finger, ALTERATIONS.index(alteration)
    )
    rows, cols = print_size.window
    window = image[rows, cols].astype(np.float64)
    y, x = np.mgrid[: window.shape[0], : window.shape[1]].astype(np.float64)
    y -= window.shape[0] * rng.uniform(0.42, 0.68)
    x -= window.shape[1] * rng.uniform(0.35, 0.65)
    radius = _ALTERED_RADIUS[alteration][difficulty] * print_size.width
    altered = alterations[alteration](rng, window, x, y, radius, print_size.width / 96)
    return add_frame(np.clip(np.rint(altered), 0, 255).astype(np.uint8), print_size)


def _size_of(image: np.ndarray) -> PrintSize:
    for print_size in SIZES.values():
        if image.shape == (print_size.height, print_size.width):
            return print_size
    raise UserError(f"image of shape {image.shape}: must be [height, width] of one of {tuple(SIZES)}")


def _sample(
    window: np.ndarray, x: np.ndarray, y: np.ndarray, x_at: np.ndarray, y_at: np.ndarray
) -> np.ndarray:
    """Sample the window, whose pixels have the coordinates x and y, at (x_at, y_at)."""
    return ndimage.map_coordinates(window, [y_at - y[0, 0], x_at - x[0, 0]], order=1, mode="nearest")


def _obliterate(
    rng: Generator, window: np.ndarray, x: np.ndarray, y: np.ndarray, radius: float, pixel: float
) -> np.ndarray:
    ragged = np.hypot(x, y) * (1 + 0.22 * draw_smooth_noise(rng, window.shape, 7 * pixel))
    inside = np.exp(-((ragged / radius) ** 4))
    blotches = 165 + 80 * draw_smooth_noise(rng, window.shape, 2.2 * pixel)
    smear = 0.45 * ndimage.gaussian_filter(window, 1.3 * pixel) + 0.55 * np.clip(blotches, 0, 255)
    return window + 0.95 * inside * (smear - window)


def _rotate_center(
    rng: Generator, window: np.ndarray, x: np.ndarray, y: np.ndarray, radius: float, pixel: float
) -> np.ndarray:
    angle = math.radians(rng.uniform(60, 120)) * rng.choice([-1, 1])
    cosine, sine = math.cos(angle), math.sin(angle)
    turned = _sample(window, x, y, cosine * x - sine * y, sine * x + cosine * y)
    distance = np.hypot(x, y)
    inside = 1 / (1 + np.exp((distance - radius) / (0.35 * pixel)))
    scar = 0.85 * np.exp(-(((distance - radius) / (1.4 * pixel)) ** 2))
    altered = window + inside * (turned - window)
    return altered + scar * (255 - altered)


def _cut_z(
    rng: Generator, window: np.ndarray, x: np.ndarray, y: np.ndarray, radius: float, pixel: float
) -> np.ndarray:
    angle = rng.uniform(-0.6, 0.6)
    cosine, sine = math.cos(angle), math.sin(angle)
    along, across = cosine * x + sine * y, cosine * y - sine * x
    a, b = radius, 0.65 * radius
    above = across * a > along * b
    # The two flaps of the Z change places; each is turned by a corner, which shears its ridges.
    upper = np.array([[-a, b, 1], [a, b, 1], [-a, -b, 1]])
    lower_turned = np.array([[-a, -b], [a, b], [a, -b]])
    affine = np.linalg.solve(upper, lower_turned)
    source = np.stack([along, across, np.ones_like(along)], -1)
    sign = np.where(above, 1.0, -1.0)[..., None]
    source[..., :2] *= sign
    swapped = sign * (source @ affine)
    u, v = swapped[..., 0], swapped[..., 1]
    turned = _sample(window, x, y, cosine * u - sine * v, sine * u + cosine * v)
    inside = (np.abs(along) <= a) & (np.abs(across) <= b)
    to_cut = np.minimum(np.abs(np.abs(across) - b), np.abs(across * a - along * b) / math.hypot(a, b))
    scar = 0.9 * np.exp(-((to_cut / (0.8 * pixel)) ** 2)) * (np.abs(along) <= a) * (np.abs(across) <= b + 1)
    altered = np.where(inside, turned, window)
    return altered + scar * (255 - altered)
