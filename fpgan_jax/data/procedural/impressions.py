"""An impression of a procedural finger: where it touches, how wet it is, the scanner's frame, the file's size.

A 96x103 file is a window of the master sampled at every 2.6th pixel, a 241x298 file one sampled at every pixel.
"""

import dataclasses
import math

import numpy as np
from ml_collections import ConfigDict
from numpy.random import Generator
from scipy import ndimage

from fpgan_jax.config.derived import image_shape, is_socofing
from fpgan_jax.data import preprocessing
from fpgan_jax.data.procedural.finger import (
    MASTER_HEIGHT,
    MASTER_WIDTH,
    Finger,
    create_finger_generator,
    draw_smooth_noise,
)
from fpgan_jax.errors import UserError

# Frame of the scanner's window: two bevel lines at the top and left, a black band at the bottom and right.
_BEVEL_LEVELS = (160, 105)
_BEVEL_WIDTH = 2
BAND_WIDTH = 4


@dataclasses.dataclass(frozen=True)
class PrintSize:
    """Size of a print's file."""

    width: int  # pixels, with the frame
    height: int
    pixel_step: float  # master pixels per pixel of the file
    bits_per_pixel: int  # of a real file; altered files have 8
    pixels_per_meter: int  # in a real file's header

    @property
    def window(self) -> tuple[slice, slice]:
        """Rows and columns inside the frame."""
        return (slice(_BEVEL_WIDTH, self.height - BAND_WIDTH), slice(_BEVEL_WIDTH, self.width - BAND_WIDTH))


SIZES = {"96x103": PrintSize(96, 103, 2.6, 32, 3779), "241x298": PrintSize(241, 298, 1.0, 24, 4724)}


def create_impression(finger: Finger, impression: int = 0, *, size: str = "96x103") -> np.ndarray:
    """Take one impression of a finger with the scanner.

    Args:
      finger: from `create_finger`.
      impression: number of the impression, from 0; each has its own place, pressure, distortion and dirt.
      size: one of `SIZES`.

    Returns:
      [height, width] uint8, ridges dark, with the scanner's frame.

    Raises:
      UserError: `size` is not one of `SIZES`.

    Source: Cappelli, Maio & Maltoni 2002, generation of impressions (contact region, ridge thickness, skin
    distortion, noise); differs in: the ridge profile's threshold carries pressure, contact, dryness, pores and
    scratches together, instead of morphology on a binary master; distortion is a smooth random displacement instead of
    Cappelli's plastic model.
    """
    if size not in SIZES:
        raise UserError(f"size {size!r}: must be one of {tuple(SIZES)}")
    print_size = SIZES[size]
    rng = create_finger_generator(
        "impression", finger.seed, finger.person, finger.hand, finger.finger, impression
    )
    rows, cols = print_size.window
    step = print_size.pixel_step
    shape = (math.ceil((rows.stop - rows.start) * step), math.ceil((cols.stop - cols.start) * step))
    window = _render_window(finger, rng, shape)
    return add_frame(_sample_window(window, print_size), print_size)


def _render_window(finger: Finger, rng: Generator, shape: tuple[int, int]) -> np.ndarray:
    """Render the gray window at the master's resolution: float64 [rows, cols], from 0 (black) to 255."""
    x, y = _place_window(finger, rng, shape)
    ridges = ndimage.map_coordinates(
        finger.ridges, [finger.center[0] - y, finger.center[1] + x], order=1, mode="nearest"
    )
    contact = _contact_depth(finger, rng, x, y)
    wetness = _draw_wetness(rng, x, y)
    hardness = rng.uniform(3.5, 8)
    coverage = 1 / (1 + np.exp(-hardness * (ridges + wetness - _loss_of_contact(rng, contact))))
    ink = _draw_ink(rng, contact, y, finger)
    coverage = np.maximum(coverage, _draw_valleys(rng, contact, y))
    gray = 255 * (1 - ink * coverage)
    return _add_background_dust(rng, gray, contact)


def _place_window(finger: Finger, rng: Generator, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Find every pixel's place on the finger: x to the right and y up from its center."""
    rows, cols = np.mgrid[: shape[0], : shape[1]].astype(np.float64)
    # The finger's tip is at about the same distance below the window's upper edge.
    top = finger.tip_height + np.clip(rng.normal(20, 20), -8, 70)
    x = cols - shape[1] / 2 - np.clip(rng.normal(3, 12), -28, 28)
    y = top - rows
    angle = math.radians(np.clip(rng.normal(0, 5), -12, 12))
    x, y = x * math.cos(angle) - y * math.sin(angle), x * math.sin(angle) + y * math.cos(angle)
    x = x + 2.0 * draw_smooth_noise(rng, shape, 55)
    y = y + 2.0 * draw_smooth_noise(rng, shape, 55)
    return x, y


def create_outline(finger: Finger) -> np.ndarray:
    """Measure how far inside the usual contact each pixel of a master is: master pixels, negative outside."""
    rows, cols = np.mgrid[:MASTER_HEIGHT, :MASTER_WIDTH].astype(np.float64)
    dome = 1.17 * finger.half_width
    return _measure_depth(finger, cols - finger.center[1], finger.center[0] - rows, finger.half_width, dome)


def _contact_depth(finger: Finger, rng: Generator, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Measure how far inside the contact each pixel is: master pixels, negative outside."""
    half_width = finger.half_width * rng.uniform(0.93, 1.06)
    return _measure_depth(finger, x, y, half_width, finger.half_width * rng.uniform(1.0, 1.35))


def _measure_depth(
    finger: Finger, x: np.ndarray, y: np.ndarray, half_width: float, dome: float
) -> np.ndarray:
    start = finger.tip_height - dome
    upper = np.maximum(y - start, 0) / dome
    lower = np.maximum(start - y, 0) / 330
    radius = (np.abs(x / half_width) ** 2 + upper**2 + lower**2) ** 0.5
    return (1 - radius) * half_width


def _loss_of_contact(rng: Generator, contact: np.ndarray) -> np.ndarray:
    """Compute what to subtract from the ridge profile: much outside the contact, ragged at its border."""
    ragged = contact + 3.0 * draw_smooth_noise(rng, contact.shape, 4)
    ragged += 4.0 * draw_smooth_noise(rng, contact.shape, 16)
    return np.clip(1.2 - ragged / 6, 0, 6)


def _draw_wetness(rng: Generator, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Draw the offset of the ridge profile: above 0 ridges are wide and merge, below they are thin and broken."""
    mean = np.clip(rng.normal(0.4, 0.3), -0.35, 0.95)
    slope = rng.normal(0.25, 0.15)
    uneven = rng.uniform(0.05, 0.25)
    wetness = mean - slope * y / 100 + uneven * draw_smooth_noise(rng, x.shape, 32)
    wetness -= 0.15 * (x / 100) ** 2
    dryness = rng.uniform(0.1, 0.45)
    grain = 0.7 * draw_smooth_noise(rng, x.shape, 1.6) + 0.7 * draw_smooth_noise(rng, x.shape, 3.5)
    wetness += dryness * grain
    patch_strength = max(0.0, rng.normal(0.1, 0.5))
    patches = draw_smooth_noise(rng, x.shape, 9) + 0.7 * draw_smooth_noise(rng, x.shape, 30) + y / 150 - 2.0
    wetness -= patch_strength * np.clip(patches, 0, 2)
    return wetness - draw_creases(rng, x, y, 0.5) - _draw_pores(rng, x.shape)


def draw_creases(rng: Generator, x: np.ndarray, y: np.ndarray, mean_number: float) -> np.ndarray:
    """Draw how much creases take from a ridge profile of amplitude 1: float64 of the shape of `x`, 0 beside them.

    `x` and `y`, float64 [rows, columns], are each pixel's place to the right and up from the finger's center, master
    pixels; the number of creases is random with this mean.
    """
    total = np.zeros_like(x)
    for _ in range(rng.poisson(mean_number)):
        angle = rng.uniform(0, np.pi)
        center_x, center_y = rng.uniform(-80, 80), rng.uniform(-80, 130)
        along = (x - center_x) * math.cos(angle) + (y - center_y) * math.sin(angle)
        across = -(x - center_x) * math.sin(angle) + (y - center_y) * math.cos(angle)
        across = across + rng.uniform(-0.003, 0.003) * along**2
        total += 2.5 * np.exp(-((across / rng.uniform(1.0, 2.2)) ** 2) - (along / rng.uniform(20, 70)) ** 4)
    return total


def _draw_pores(rng: Generator, shape: tuple[int, int]) -> np.ndarray:
    pores = (rng.random(shape) < 1 / 90).astype(np.float64)
    return rng.uniform(4, 11) * ndimage.gaussian_filter(pores, 1.1)


def _draw_ink(rng: Generator, contact: np.ndarray, y: np.ndarray, finger: Finger) -> np.ndarray:
    """Draw the darkness of a full ridge, 0 to 1: weak at the fingertip, and everywhere in a few impressions."""
    depth = rng.uniform(5, 45)
    below_tip = finger.tip_height - y + 6 * draw_smooth_noise(rng, contact.shape, 20)
    fade = np.clip(below_tip / depth, 0.12, 1)
    weakest = 1.0 if rng.random() < 0.9 else rng.uniform(0.7, 0.9)
    ink = 1.06 * fade * weakest * (1 + 0.06 * draw_smooth_noise(rng, contact.shape, 1.2))
    return np.clip(ink * np.clip(0.6 + contact / 25, 0.6, 1), 0, 1)


def _draw_valleys(rng: Generator, contact: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Draw the coverage of the valleys, which moisture makes gray, mostly in the lower middle."""
    level = np.clip(rng.normal(0.15, 0.08), 0.03, 0.35)
    place = np.clip(1.1 - y / 120 + 0.35 * draw_smooth_noise(rng, contact.shape, 25), 0, 2)
    place *= np.clip(contact / 30, 0, 1)
    return np.clip(level * place * (1 + 0.45 * draw_smooth_noise(rng, contact.shape, 1.2)), 0, 0.6)


def _add_background_dust(rng: Generator, gray: np.ndarray, contact: np.ndarray) -> np.ndarray:
    """Add residue of earlier fingers: gray haze and specks, mostly at the window's lower corners."""
    height = np.linspace(1, 0, len(contact))[:, None]
    amount = np.clip(rng.normal(0.6, 0.45), 0.05, 1.5)
    density = amount * np.exp(-height / rng.uniform(0.12, 0.4)) * np.clip(1 - contact / 25, 0, 1)
    grain = draw_smooth_noise(rng, contact.shape, 1.3)
    haze = 1.1 + 0.6 * draw_smooth_noise(rng, contact.shape, 14) + 0.8 * grain
    residue = 38 * density * np.clip(haze, 0, None)
    specks = np.where(grain > 3.7 - density, 130.0, 0.0) * (contact < 5)
    return np.minimum(gray, 255 - np.maximum(residue, specks))


def _sample_window(window: np.ndarray, print_size: PrintSize) -> np.ndarray:
    """Bring the window to the file's resolution, with the scanner's hard contrast."""
    rows, cols = print_size.window
    step = print_size.pixel_step
    # Weaker than the Nyquist filter: SOCOFing's small files are visibly aliased and hard.
    smooth = ndimage.gaussian_filter(window, 0.15 * step)
    grid = np.meshgrid(
        (np.arange(rows.stop - rows.start) + 0.5) * step - 0.5,
        (np.arange(cols.stop - cols.start) + 0.5) * step - 0.5,
        indexing="ij",
    )
    sampled = ndimage.map_coordinates(smooth, grid, order=1, mode="nearest")
    return np.clip(np.rint(127.5 + 1.18 * (sampled - 127.5)), 0, 255).astype(np.uint8)


def create_empty_scan(size: str = "96x103") -> np.ndarray:
    """Create a scan of nothing: uint8 [height, width], white within the scanner's frame."""
    rows, cols = SIZES[size].window
    return add_frame(np.full((rows.stop - rows.start, cols.stop - cols.start), 255, np.uint8), SIZES[size])


def create_empty_print(data_config: ConfigDict) -> np.ndarray:
    """Create what a config makes of an empty scan: white, within SOCOFing's frame if the prints keep it."""
    if is_socofing(data_config):
        return preprocessing.preprocess_print(create_empty_scan(), data_config)
    return np.full(image_shape(data_config), 255, np.uint8)


def add_frame(window: np.ndarray, print_size: PrintSize) -> np.ndarray:
    """Put a window within the scanner's frame."""
    image = np.zeros((print_size.height, print_size.width), np.uint8)
    rows, cols = print_size.window
    for line, level in enumerate(_BEVEL_LEVELS):
        image[line : rows.stop, line : cols.stop] = level
    image[rows, cols] = window
    return image
