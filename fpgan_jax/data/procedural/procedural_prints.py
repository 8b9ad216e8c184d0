"""Owns procedural fingerprints: ridge synthesis, impressions, alterations, and their files in SOCOFing's own form.

Does not read SOCOFing and holds nothing taken from its prints: only the frame, the file headers and a few
population numbers (ridge period, contact area) follow it, so that everything downstream can run without it.

A finger is grown as SFinGe grows it (Cappelli et al. 2002): a class and its singular points give an orientation
field, and oriented filtering, iterated from noise, turns it into ridges whose minutiae appear by themselves.
Lengths inside the file are in master pixels, 1/500 inch: a ridge period is about 8.5 of them. A 96x103 file is a
window of the master sampled at every 2.6th pixel, a 241x298 file one sampled at every pixel.
"""

import dataclasses
import json
import math
import multiprocessing
import os
import pathlib
import struct
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor

import numpy as np
from scipy import fft, ndimage

from fpgan_jax.config.derived import image_shape, is_socofing
from fpgan_jax.data import preprocessing
from fpgan_jax.data.ridges import oriented_filters
from fpgan_jax.data.socofing.filenames import ALTERATIONS, FINGERS, HANDS, PrintName, parse_filename
from fpgan_jax.errors import UserError
from fpgan_jax.host.file_managers import is_leftover
from fpgan_jax.host.json_file import read_json
from fpgan_jax.host.progress import create_progress
from fpgan_jax.host.whole_file import TEMPORARY_ENDING, write_whole

PATTERNS = ("arch", "tented_arch", "left_loop", "right_loop", "whorl")
DIFFICULTIES = ("Easy", "Medium", "Hard")
MANIFEST_NAME = "MANIFEST.json"
# Raise it whenever a change alters any pixel, so that an old folder is not continued with other prints.
SYNTHESIS_VERSION = 1

_MASTER_HEIGHT, _MASTER_WIDTH = 400, 360
# Ridges are grown on a grid this much coarser: at 5 px a period the cosine is still sampled well, and a filter
# costs a third.
_GROWTH_STEP = 5 / 3
_CENTER_ROW, _CENTER_COL = 215.0, 180.0

# Frame of the scanner's window: two bevel lines at the top and left, a black band at the bottom and right.
_BEVEL_LEVELS = (160, 105)
_BEVEL_WIDTH = 2
_BAND_WIDTH = 4


@dataclasses.dataclass(frozen=True)
class PrintSize:
    """Size of a print's file.

    Attributes:
      width: pixels, frame included.
      height: pixels, frame included.
      pixel_step: master pixels per pixel of the file.
      bits_per_pixel: of a real file; altered files have 8.
      pixels_per_meter: the resolution that a real file's header names.
    """

    width: int
    height: int
    pixel_step: float
    bits_per_pixel: int
    pixels_per_meter: int

    @property
    def window(self) -> tuple[slice, slice]:
        """Rows and columns of the file that are inside the frame."""
        return (
            slice(_BEVEL_WIDTH, self.height - _BAND_WIDTH),
            slice(_BEVEL_WIDTH, self.width - _BAND_WIDTH),
        )


SIZES = {
    "96x103": PrintSize(96, 103, 2.6, 32, 3779),
    "241x298": PrintSize(241, 298, 1.0, 24, 4724),
}


@dataclasses.dataclass(frozen=True)
class Growth:
    """How ridges grow from noise; the defaults are those of the sets that `make_prints` writes.

    Attributes:
      period: mean of men's index fingers, master pixels.
      num_steps: how often the noise is filtered; each pass joins ridges, and so removes minutiae.
      period_variation: share by which the period varies over a finger, on both sides of its mean.
      unevenness: how much of that variation has no regular place, from 0.
      unevenness_sigma: over how many master pixels that part is smooth.
      bending: standard deviation of the ridges' direction about the pattern's, radians.
      bending_sigma: over how many master pixels it is smooth.
    """

    period: float = 8.5
    num_steps: int = 20
    period_variation: float = 0.09
    unevenness: float = 0.3
    unevenness_sigma: float = 40.0
    bending: float = 0.0
    bending_sigma: float = 40.0


@dataclasses.dataclass(frozen=True)
class Singularity:
    """A singular point of an orientation field.

    Attributes:
      kind: "core" (Poincare index +1/2) or "delta" (-1/2).
      row: in the master, pixels from the top.
      col: in the master, pixels from the left.
    """

    kind: str
    row: float
    col: float


@dataclasses.dataclass(frozen=True)
class Finger:
    """A master finger, of which impressions are taken.

    Attributes:
      seed, person, hand, finger: what the finger was grown from; `create_impression` draws from them too.
      pattern: one of `PATTERNS`, as it looks on the impression.
      ridge_period: mean period, master pixels.
      singularities: cores and deltas.
      orientation: [400, 360] float32, ridge direction in radians in [0, pi), counter-clockwise from the row's
        direction.
      ridges: [400, 360] float32, about a unit cosine across the ridges; +1 is the middle of a ridge.
      center: (row, col) of the master that lies at the middle of the pattern.
      half_width: half the contact's width, master pixels.
      tip_height: from `center` up to the contact's upper end, master pixels.
    """

    seed: int
    person: int
    hand: str
    finger: str
    pattern: str
    ridge_period: float
    singularities: tuple[Singularity, ...]
    orientation: np.ndarray
    ridges: np.ndarray
    center: tuple[float, float]
    half_width: float
    tip_height: float


def _generator(purpose: str, seed: int, person: int, *keys: int) -> np.random.Generator:
    """A counter-based generator of its own for each purpose and key, whatever was drawn before."""
    entropy = [seed, person, *keys, int.from_bytes(purpose.encode(), "big")]
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(entropy)))


def _finger_generator(
    purpose: str, seed: int, person: int, hand: str, finger: str, *keys: int
) -> np.random.Generator:
    return _generator(purpose, seed, person, HANDS.index(hand), FINGERS.index(finger), *keys)


def choose_gender(seed: int, person: int) -> str:
    """Draw a person's gender.

    Args:
      seed: of the whole set, not negative.
      person: id, from 1.

    Returns:
      "M" or "F", with SOCOFing's shares of 477 and 123.
    """
    return "M" if _generator("gender", seed, person).random() < 477 / 600 else "F"


# --- orientation ---------------------------------------------------------------------------------


def _choose_pattern(rng: np.random.Generator, hand: str, finger: str) -> str:
    # Natural shares (Wilson, Candela & Watson 1994): loops 65.5%, whorls 27.9%, arches 3.7%, tented arches 2.9%.
    # A loop mostly opens to the little finger, on the index often to the thumb.
    toward_little_finger = 0.6 if finger == "index" else 0.95
    ulnar, radial = ("right_loop", "left_loop") if hand == "Right" else ("left_loop", "right_loop")
    loop = ulnar if rng.random() < toward_little_finger else radial
    return str(rng.choice(["arch", "tented_arch", loop, "whorl"], p=[0.037, 0.029, 0.655, 0.279]))


def _choose_singularities(rng: np.random.Generator, pattern: str) -> list[tuple[str, float, float]]:
    """Kind, x to the right and y up from the pattern's centre, master pixels."""
    if pattern == "arch":
        return []
    if pattern == "tented_arch":
        core_y = rng.uniform(5, 25)
        return [("core", 0.0, core_y), ("delta", rng.uniform(-8, 8), core_y - rng.uniform(55, 85))]
    if pattern == "whorl":
        half_distance = rng.uniform(12, 26)
        tilt = rng.uniform(-0.7, 0.7)
        x, y = half_distance * math.sin(tilt), half_distance * math.cos(tilt)
        return [
            ("core", x, y),
            ("core", -x, -y),
            ("delta", rng.uniform(75, 115), rng.uniform(-125, -70)),
            ("delta", -rng.uniform(75, 115), rng.uniform(-125, -70)),
        ]
    # A loop that opens to the left has its delta at the lower right.
    side = 1 if pattern == "left_loop" else -1
    return [("core", 0.0, 0.0), ("delta", side * rng.uniform(55, 100), rng.uniform(-120, -65))]


def create_orientation_field(
    pattern: str, singularities: Sequence[Singularity], *, center: tuple[float, float], arching: float
) -> np.ndarray:
    """Compute the direction of the ridges over the master.

    The arching term is continuous, so the field's singular points are exactly the given ones.

    Args:
      pattern: one of `PATTERNS`.
      singularities: cores and deltas, in master pixels.
      center: (row, col) about which the ridges arch.
      arching: slope that the finger's roundness adds at the contact's sides, radians.

    Returns:
      [400, 360] float32, radians in [0, pi), counter-clockwise from the row's direction.

    Source: Sherlock & Monro 1993, "A model for interpreting fingerprint topology" (zero-pole model); differs in:
    instead of the piecewise linear correction of Vizcaya & Gerhardt 1996 one smooth term bends the ridges down on
    both sides, since the model alone makes them level far from its poles; the same term alone makes the arches.
    """
    rows, cols = np.mgrid[:_MASTER_HEIGHT, :_MASTER_WIDTH].astype(np.float64)
    theta = np.zeros_like(rows)
    for point in singularities:
        angle = np.arctan2(point.row - rows, cols - point.col)
        theta += (0.5 if point.kind == "core" else -0.5) * angle
    x, y = cols - center[1], center[0] - rows
    # No slope below the deltas, where the ridges follow the joint's crease.
    rise = 1 / (1 + np.exp(-(y + 75) / 22))
    strength = arching * rise
    if pattern == "arch":
        bump = np.exp(-(((y + 20) / 55) ** 2) - (x / 75) ** 2)
        strength = strength + 0.75 * bump
    theta -= strength * np.tanh(x / 70)
    return np.mod(theta, np.pi).astype(np.float32)


# --- ridges --------------------------------------------------------------------------------------


def _grow_ridges(
    rng: np.random.Generator, orientation: np.ndarray, period: float, coarseness: np.ndarray, growth: Growth
) -> np.ndarray:
    """Turn noise into ridges; everything on the growth grid, `coarseness` 0 to 1 from fine to coarse ridges."""
    filters = np.concatenate(
        [
            oriented_filters.create_filters(
                orientation.shape, factor * period, across_bandwidth=0.17, along_bandwidth=0.24
            )
            for factor in (1 - growth.period_variation, 1 + growth.period_variation)
        ]
    )
    weights = oriented_filters.compute_weights(orientation)
    weights = np.concatenate([weights * (1 - coarseness), weights * coarseness]).astype(np.float32)
    ridges = rng.standard_normal(orientation.shape).astype(np.float32)
    for _ in range(growth.num_steps):
        spectrum = fft.rfft2(ridges)
        response = np.zeros_like(ridges)
        for filter_, weight in zip(filters, weights, strict=True):
            response += weight * fft.irfft2(spectrum * filter_, s=ridges.shape)
        # The local amplitude is divided out, so that ridges grow where the noise happened to be weak too.
        response /= np.sqrt(2 * ndimage.gaussian_filter(response**2, period)) + 1e-6
        ridges = np.tanh(1.5 * response)
    return response


def _grow_master_ridges(
    rng: np.random.Generator, orientation: np.ndarray, period: float, growth: Growth
) -> np.ndarray:
    shape = tuple(round(side / _GROWTH_STEP) for side in orientation.shape)
    rows, cols = np.meshgrid(*(np.arange(side) * _GROWTH_STEP for side in shape), indexing="ij")
    nearest = orientation[
        np.minimum(np.rint(rows).astype(int), orientation.shape[0] - 1),
        np.minimum(np.rint(cols).astype(int), orientation.shape[1] - 1),
    ]
    # Ridges are finest above the centre and coarsest toward the joint.
    below = (rows - _CENTER_ROW) / 200
    uneven = growth.unevenness * _smooth_noise(rng, shape, growth.unevenness_sigma / _GROWTH_STEP)
    coarseness = np.clip(0.6 + 0.4 * below + uneven, 0, 1)
    grown = _grow_ridges(rng, nearest, period / _GROWTH_STEP, coarseness, growth)
    grid = np.mgrid[: orientation.shape[0], : orientation.shape[1]] / _GROWTH_STEP
    return ndimage.map_coordinates(grown, grid, order=3, mode="nearest").astype(np.float32)


def create_finger(
    seed: int,
    person: int,
    *,
    hand: str = "Right",
    finger: str = "index",
    pattern: str | None = None,
    growth: Growth = Growth(),
) -> Finger:
    """Grow a master finger.

    Args:
      seed: of the whole set, not negative.
      person: id, from 1.
      hand: one of `filenames.HANDS`.
      finger: one of `filenames.FINGERS`.
      pattern: one of `PATTERNS`; None draws it with its natural share.
      growth: how its ridges grow.

    Returns:
      The finger; the same arguments give the same finger.

    Raises:
      UserError: an argument is not one of those named above.

    Source: Cappelli, Maio & Maltoni 2002, "Synthetic fingerprint-database generation", generation of the master
    fingerprint; differs in: filters in the Fourier domain at two frequencies and 16 orientations with linear
    interpolation between them, and growth from noise everywhere instead of from a few seed points.
    """
    if hand not in HANDS or finger not in FINGERS:
        raise UserError(f"{hand} {finger}: no such finger; hands are {HANDS}, fingers {FINGERS}")
    if pattern is not None and pattern not in PATTERNS:
        raise UserError(f"pattern {pattern!r}: must be one of {PATTERNS}")
    if seed < 0 or person < 1:
        raise UserError(f"seed {seed}, person {person}: seed must be at least 0, person at least 1")
    rng = _finger_generator("finger", seed, person, hand, finger)
    drawn = _choose_pattern(rng, hand, finger)
    pattern = pattern or drawn
    center = (_CENTER_ROW, _CENTER_COL)
    singularities = tuple(
        Singularity(kind, center[0] - y, center[1] + x) for kind, x, y in _choose_singularities(rng, pattern)
    )
    orientation = create_orientation_field(
        pattern, singularities, center=center, arching=rng.uniform(0.45, 0.7)
    )
    scale = 1.0 if choose_gender(seed, person) == "M" else 0.89
    scale *= {"thumb": 1.04, "index": 1.0, "middle": 0.985, "ring": 0.96, "little": 0.95}[finger]
    period = growth.period * scale * math.exp(np.clip(rng.normal(0, 0.09), -0.2, 0.2))
    if growth.bending:
        bent = orientation + growth.bending * _smooth_noise(rng, orientation.shape, growth.bending_sigma)
        orientation = np.mod(bent, np.pi).astype(np.float32)
    ridges = _grow_master_ridges(rng, orientation, period, growth)
    return Finger(
        seed=seed,
        person=person,
        hand=hand,
        finger=finger,
        pattern=pattern,
        ridge_period=period,
        singularities=singularities,
        orientation=orientation,
        ridges=ridges,
        center=center,
        half_width=rng.uniform(98, 122) * (1.06 if finger == "thumb" else 0.9 if finger == "little" else 1),
        tip_height=rng.uniform(160, 205),
    )


# --- impressions ---------------------------------------------------------------------------------


def _smooth_noise(rng: np.random.Generator, shape: tuple[int, int], sigma: float) -> np.ndarray:
    """Gaussian noise of unit variance, smooth over `sigma` pixels."""
    step = max(1, int(sigma / 2.5))
    coarse_shape = [math.ceil(side / step) + 8 for side in shape]
    coarse = ndimage.gaussian_filter(rng.standard_normal(coarse_shape), sigma / step)
    coarse *= 2 * math.sqrt(math.pi) * sigma / step
    if step == 1:
        return coarse[4 : 4 + shape[0], 4 : 4 + shape[1]]
    grid = np.meshgrid(*(np.arange(side) / step + 4 for side in shape), indexing="ij", sparse=False)
    return ndimage.map_coordinates(coarse, grid, order=1)


def create_impression(finger: Finger, impression: int = 0, *, size: str = "96x103") -> np.ndarray:
    """Take one impression of a finger with the scanner.

    Args:
      finger: from `create_finger`.
      impression: number of the impression from 0; each has its own place, pressure, distortion and dirt.
      size: one of `SIZES`.

    Returns:
      [height, width] uint8, grey, ridges dark, with the scanner's frame.

    Raises:
      UserError: `size` is not one of `SIZES`.

    Source: Cappelli, Maio & Maltoni 2002, generation of impressions (contact region, ridge thickness, skin
    distortion, noise); differs in: the
    ridge profile's threshold carries pressure, contact, dryness, pores and scratches together, instead of
    morphology on a binary master; distortion is a smooth random displacement instead of Cappelli's plastic model.
    """
    if size not in SIZES:
        raise UserError(f"size {size!r}: must be one of {tuple(SIZES)}")
    print_size = SIZES[size]
    rng = _finger_generator("impression", finger.seed, finger.person, finger.hand, finger.finger, impression)
    rows, cols = print_size.window
    step = print_size.pixel_step
    shape = (math.ceil((rows.stop - rows.start) * step), math.ceil((cols.stop - cols.start) * step))
    window = _render_window(finger, rng, shape)
    return _add_frame(_sample_window(window, print_size), print_size)


def _render_window(finger: Finger, rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Grey window at the master's resolution: float64 [rows, cols], 0 is black and 255 white."""
    x, y = _place_window(finger, rng, shape)
    ridges = ndimage.map_coordinates(
        finger.ridges, [finger.center[0] - y, finger.center[1] + x], order=1, mode="nearest"
    )
    contact = _contact_depth(finger, rng, x, y)
    wetness = _draw_wetness(rng, x, y, shape)
    hardness = rng.uniform(3.5, 8)
    coverage = 1 / (1 + np.exp(-hardness * (ridges + wetness - _loss_of_contact(rng, contact, shape))))
    ink = _draw_ink(rng, contact, y, finger, shape)
    coverage = np.maximum(coverage, _draw_valleys(rng, contact, y, shape))
    grey = 255 * (1 - ink * coverage)
    return _add_background_dust(rng, grey, contact, shape)


def _place_window(
    finger: Finger, rng: np.random.Generator, shape: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Finger coordinates, x to the right and y up from its centre, of every pixel of the window."""
    rows, cols = np.mgrid[: shape[0], : shape[1]].astype(np.float64)
    # The finger's tip comes to lie at about the same distance below the window's upper edge.
    top = finger.tip_height + np.clip(rng.normal(20, 20), -8, 70)
    x = cols - shape[1] / 2 - np.clip(rng.normal(3, 12), -28, 28)
    y = top - rows
    angle = math.radians(np.clip(rng.normal(0, 5), -12, 12))
    x, y = x * math.cos(angle) - y * math.sin(angle), x * math.sin(angle) + y * math.cos(angle)
    x = x + 2.0 * _smooth_noise(rng, shape, 55)
    y = y + 2.0 * _smooth_noise(rng, shape, 55)
    return x, y


def create_outline(finger: Finger) -> np.ndarray:
    """Find how far inside the usual contact's outline each pixel of a master is: master pixels, negative outside."""
    rows, cols = np.mgrid[:_MASTER_HEIGHT, :_MASTER_WIDTH].astype(np.float64)
    dome = 1.17 * finger.half_width
    return _measure_depth(finger, cols - finger.center[1], finger.center[0] - rows, finger.half_width, dome)


def _contact_depth(finger: Finger, rng: np.random.Generator, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """How far inside the contact's outline a pixel lies, master pixels; negative outside."""
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


def _loss_of_contact(rng: np.random.Generator, contact: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """What to take from the ridge profile: much outside the contact, ragged at its border."""
    ragged = contact + 3.0 * _smooth_noise(rng, shape, 4) + 4.0 * _smooth_noise(rng, shape, 16)
    return np.clip(1.2 - ragged / 6, 0, 6)


def _draw_wetness(
    rng: np.random.Generator, x: np.ndarray, y: np.ndarray, shape: tuple[int, int]
) -> np.ndarray:
    """Offset of the ridge profile: above 0 ridges are wide and merge, below they are thin and broken."""
    mean = np.clip(rng.normal(0.4, 0.3), -0.35, 0.95)
    slope = rng.normal(0.25, 0.15)
    uneven = rng.uniform(0.05, 0.25)
    wetness = mean - slope * y / 100 + uneven * _smooth_noise(rng, shape, 32)
    wetness -= 0.15 * (x / 100) ** 2
    dryness = rng.uniform(0.1, 0.45)
    grain = 0.7 * _smooth_noise(rng, shape, 1.6) + 0.7 * _smooth_noise(rng, shape, 3.5)
    wetness += dryness * grain
    patch_strength = max(0.0, rng.normal(0.1, 0.5))
    patches = _smooth_noise(rng, shape, 9) + 0.7 * _smooth_noise(rng, shape, 30) + y / 150 - 2.0
    wetness -= patch_strength * np.clip(patches, 0, 2)
    return wetness - _draw_creases(rng, x, y) - _draw_pores(rng, shape)


def _draw_creases(rng: np.random.Generator, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    total = np.zeros_like(x)
    for _ in range(rng.poisson(0.5)):
        angle = rng.uniform(0, np.pi)
        center_x, center_y = rng.uniform(-80, 80), rng.uniform(-80, 130)
        along = (x - center_x) * math.cos(angle) + (y - center_y) * math.sin(angle)
        across = -(x - center_x) * math.sin(angle) + (y - center_y) * math.cos(angle)
        across = across + rng.uniform(-0.003, 0.003) * along**2
        total += 2.5 * np.exp(-((across / rng.uniform(1.0, 2.2)) ** 2) - (along / rng.uniform(20, 70)) ** 4)
    return total


def _draw_pores(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    pores = (rng.random(shape) < 1 / 90).astype(np.float64)
    return rng.uniform(4, 11) * ndimage.gaussian_filter(pores, 1.1)


def _draw_ink(
    rng: np.random.Generator, contact: np.ndarray, y: np.ndarray, finger: Finger, shape: tuple[int, int]
) -> np.ndarray:
    """Darkness of a full ridge, 0 to 1: weak at the fingertip, and all over in a few impressions."""
    depth = rng.uniform(5, 45)
    below_tip = finger.tip_height - y + 6 * _smooth_noise(rng, shape, 20)
    fade = np.clip(below_tip / depth, 0.12, 1)
    weakest = 1.0 if rng.random() < 0.9 else rng.uniform(0.7, 0.9)
    ink = 1.06 * fade * weakest * (1 + 0.06 * _smooth_noise(rng, shape, 1.2))
    return np.clip(ink * np.clip(0.6 + contact / 25, 0.6, 1), 0, 1)


def _draw_valleys(
    rng: np.random.Generator, contact: np.ndarray, y: np.ndarray, shape: tuple[int, int]
) -> np.ndarray:
    """Coverage of the valleys, which moisture makes grey, mostly in the lower middle."""
    level = np.clip(rng.normal(0.15, 0.08), 0.03, 0.35)
    place = np.clip(1.1 - y / 120 + 0.35 * _smooth_noise(rng, shape, 25), 0, 2) * np.clip(contact / 30, 0, 1)
    return np.clip(level * place * (1 + 0.45 * _smooth_noise(rng, shape, 1.2)), 0, 0.6)


def _add_background_dust(
    rng: np.random.Generator, grey: np.ndarray, contact: np.ndarray, shape: tuple[int, int]
) -> np.ndarray:
    """Residue of earlier fingers: grey haze and specks, mostly at the window's lower corners."""
    height = np.linspace(1, 0, shape[0])[:, None]
    amount = np.clip(rng.normal(0.6, 0.45), 0.05, 1.5)
    density = amount * np.exp(-height / rng.uniform(0.12, 0.4)) * np.clip(1 - contact / 25, 0, 1)
    grain = _smooth_noise(rng, shape, 1.3)
    residue = 38 * density * np.clip(1.1 + 0.6 * _smooth_noise(rng, shape, 14) + 0.8 * grain, 0, None)
    specks = np.where(grain > 3.7 - density, 130.0, 0.0) * (contact < 5)
    return np.minimum(grey, 255 - np.maximum(residue, specks))


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
    """Create a scan of nothing: white within the scanner's frame.

    Args:
      size: a key of `SIZES`.

    Returns:
      uint8 [height, width].
    """
    rows, cols = SIZES[size].window
    return _add_frame(np.full((rows.stop - rows.start, cols.stop - cols.start), 255, np.uint8), SIZES[size])


def create_empty_print(data_config) -> np.ndarray:
    """Create what a config makes of an empty scan.

    Args:
      data_config: config.data; its source, resolutions, frame, image's size, num_channels and interpolation are used.

    Returns:
      uint8 of `config.derived.image_shape`: white, within SOCOFing's frame where the prints are SOCOFing's and keep it.
    """
    if is_socofing(data_config):
        return preprocessing.preprocess_print(create_empty_scan(), data_config)
    return np.full(image_shape(data_config), 255, np.uint8)


def _add_frame(window: np.ndarray, print_size: PrintSize) -> np.ndarray:
    image = np.zeros((print_size.height, print_size.width), np.uint8)
    rows, cols = print_size.window
    for line, level in enumerate(_BEVEL_LEVELS):
        image[line : rows.stop, line : cols.stop] = level
    image[rows, cols] = window
    return image


# --- alterations ---------------------------------------------------------------------------------

# Radius of the altered region over the file's width, beside SOCOFing's own three difficulties.
_ALTERED_RADIUS = {
    "Obl": {"Easy": 0.14, "Medium": 0.21, "Hard": 0.26},
    "CR": {"Easy": 0.12, "Medium": 0.22, "Hard": 0.27},
    "Zcut": {"Easy": 0.13, "Medium": 0.24, "Hard": 0.35},
}


def alter_impression(image: np.ndarray, finger: Finger, alteration: str, difficulty: str) -> np.ndarray:
    """Alter an impression as SOCOFing's altered sets do.

    The place is the same in all difficulties, so that a harder alteration contains the easier one's.

    Args:
      image: [height, width] uint8, grey, with the frame, from `create_impression`.
      finger: of the impression; the alteration's place is drawn from its keys.
      alteration: "Obl" (obliteration), "CR" (central rotation) or "Zcut" (z-cut).
      difficulty: one of `DIFFICULTIES`.

    Returns:
      [height, width] uint8; outside the altered region, and in the frame, the image itself.

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
    rng = _finger_generator(
        "alteration", finger.seed, finger.person, finger.hand, finger.finger, ALTERATIONS.index(alteration)
    )
    rows, cols = print_size.window
    window = image[rows, cols].astype(np.float64)
    y, x = np.mgrid[: window.shape[0], : window.shape[1]].astype(np.float64)
    y -= window.shape[0] * rng.uniform(0.42, 0.68)
    x -= window.shape[1] * rng.uniform(0.35, 0.65)
    radius = _ALTERED_RADIUS[alteration][difficulty] * print_size.width
    altered = alterations[alteration](rng, window, x, y, radius, print_size.width / 96)
    return _add_frame(np.clip(np.rint(altered), 0, 255).astype(np.uint8), print_size)


def _size_of(image: np.ndarray) -> PrintSize:
    for print_size in SIZES.values():
        if image.shape == (print_size.height, print_size.width):
            return print_size
    raise UserError(f"image of shape {image.shape}: must be [height, width] of one of {tuple(SIZES)}")


def _sample(
    window: np.ndarray, x: np.ndarray, y: np.ndarray, x_at: np.ndarray, y_at: np.ndarray
) -> np.ndarray:
    """The window at the points (x_at, y_at) of the coordinates x, y that its pixels have."""
    return ndimage.map_coordinates(window, [y_at - y[0, 0], x_at - x[0, 0]], order=1, mode="nearest")


def _obliterate(
    rng: np.random.Generator, window: np.ndarray, x: np.ndarray, y: np.ndarray, radius: float, pixel: float
) -> np.ndarray:
    ragged = np.hypot(x, y) * (1 + 0.22 * _smooth_noise(rng, window.shape, 7 * pixel))
    inside = np.exp(-((ragged / radius) ** 4))
    blotches = 165 + 80 * _smooth_noise(rng, window.shape, 2.2 * pixel)
    smear = 0.45 * ndimage.gaussian_filter(window, 1.3 * pixel) + 0.55 * np.clip(blotches, 0, 255)
    return window + 0.95 * inside * (smear - window)


def _rotate_center(
    rng: np.random.Generator, window: np.ndarray, x: np.ndarray, y: np.ndarray, radius: float, pixel: float
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
    rng: np.random.Generator, window: np.ndarray, x: np.ndarray, y: np.ndarray, radius: float, pixel: float
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
    turned = _sample(
        window,
        x,
        y,
        cosine * swapped[..., 0] - sine * swapped[..., 1],
        sine * swapped[..., 0] + cosine * swapped[..., 1],
    )
    inside = (np.abs(along) <= a) & (np.abs(across) <= b)
    to_cut = np.minimum(np.abs(np.abs(across) - b), np.abs(across * a - along * b) / math.hypot(a, b))
    scar = 0.9 * np.exp(-((to_cut / (0.8 * pixel)) ** 2)) * (np.abs(along) <= a) * (np.abs(across) <= b + 1)
    altered = np.where(inside, turned, window)
    return altered + scar * (255 - altered)


# --- measurement ---------------------------------------------------------------------------------


def estimate_ridge_period(image: np.ndarray) -> float:
    """Measure a print's ridge period from its radial power spectrum.

    Args:
      image: [height, width] uint8, a print of one of `SIZES`, with its frame, which is left out.

    Returns:
      The period of the strongest ring, pixels of the file, between 5.7 and 14 master pixels.

    Raises:
      UserError: the image is of another size.
    """
    print_size = _size_of(image)
    window = image[print_size.window].astype(np.float64)
    step = 2.6 / print_size.pixel_step
    flat = window - ndimage.gaussian_filter(window, 2 * step)
    # Blots and the contact's outline would count as much as the ridges without equal local contrast.
    flat /= np.sqrt(ndimage.gaussian_filter(flat**2, 4 * step)) + 20
    flat *= np.outer(np.hanning(flat.shape[0]), np.hanning(flat.shape[1]))
    side = 256 if print_size.pixel_step > 1 else 1024
    power = np.abs(fft.fft2(flat, (side, side))) ** 2
    frequency = fft.fftfreq(side)
    ring = np.rint(np.hypot(frequency[:, None], frequency[None, :]) * side).astype(int).ravel()
    radial = np.bincount(ring, power.ravel()) / np.bincount(ring)
    radial = ndimage.gaussian_filter1d(radial, 2)
    low, high = (math.ceil(side / (period / print_size.pixel_step)) for period in (14, 5.98))
    peak = low + int(np.argmax(radial[low:high]))
    near = np.arange(peak - 6, peak + 7)
    return float(side * radial[near].sum() / (radial[near] * near).sum())


# --- files ---------------------------------------------------------------------------------------


def _encode_real(image: np.ndarray, print_size: PrintSize) -> bytes:
    """BMP with SOCOFing's header of real files: BITMAPV5, sRGB; 32-bit bit fields or 24-bit."""
    channels = print_size.bits_per_pixel // 8
    pixels = np.repeat(image[::-1, :, None], channels, axis=2)
    if channels == 4:
        pixels[..., 3] = 0
        # The black band is transparent in SOCOFing's files.
        pixels[_BAND_WIDTH:, : print_size.width - _BAND_WIDTH, 3] = 255
    rows = pixels.reshape(print_size.height, -1)
    data = np.pad(rows, ((0, 0), (0, -rows.shape[1] % 4))).tobytes()
    offset = 14 + 124
    header = struct.pack("<2sIHHI", b"BM", offset + len(data), 0, 0, offset)
    header += struct.pack(
        "<IiiHHIIiiII",
        124,
        print_size.width,
        print_size.height,
        1,
        print_size.bits_per_pixel,
        3 if channels == 4 else 0,
        len(data),
        print_size.pixels_per_meter,
        print_size.pixels_per_meter,
        0,
        0,
    )
    header += struct.pack("<IIII4s", 0x00FF0000, 0x0000FF00, 0x000000FF, 0xFF000000, b"BGRs")
    # The end points of sRGB in 2.30 fixed point, as the program that wrote SOCOFing's files rounds them.
    header += struct.pack(
        "<9I",
        *(0x28F5C280, 0x151EB860, 0x01EB8520, 0x13333340, 0x26666680),
        *(0x06666640, 0x099999A0, 0x03D70A3C, 0x328F5C24),
    )
    header += struct.pack("<3I4I", 0, 0, 0, 4, 0, 0, 0)
    return header + data


def _encode_altered(image: np.ndarray, print_size: PrintSize) -> bytes:
    """BMP with SOCOFing's header of altered files: 8-bit indices into a grey palette."""
    data = np.pad(image[::-1], ((0, 0), (0, -print_size.width % 4))).tobytes()
    offset = 14 + 40 + 1024
    header = struct.pack("<2sIHHI", b"BM", offset + len(data), 0, 0, offset)
    header += struct.pack(
        "<IiiHHIIiiII", 40, print_size.width, print_size.height, 1, 8, 0, 0, 3780, 3780, 256, 256
    )
    levels = np.arange(256, dtype=np.uint8)
    palette = np.stack([levels, levels, levels, np.full(256, 255, np.uint8)], axis=1).tobytes()
    return header + palette + data


def _file_bytes(print_size: PrintSize, is_altered: bool) -> int:
    bits, offset = (8, 1078) if is_altered else (print_size.bits_per_pixel, 138)
    return offset + print_size.height * ((print_size.width * bits // 8 + 3) // 4 * 4)


@dataclasses.dataclass(frozen=True)
class _FingerJob:
    """Everything a worker needs to write one finger's files."""

    out_dir: str
    person: int
    hand: str
    finger: str
    seed: int
    size: str
    num_impressions: int
    altered: bool

    def files(self) -> list[tuple[str, str, int, str, str]]:
        """Folder, file name, impression, alteration and difficulty of each file; "" where none."""
        gender = choose_gender(self.seed, self.person)
        name = PrintName(self.person, self.hand, self.finger, gender)
        files = [("Real", name.to_filename(), 0, "", "")]
        for impression in range(1, self.num_impressions):
            files.append((f"Impressions/Impression-{impression + 1}", name.to_filename(), impression, "", ""))
        for difficulty in DIFFICULTIES if self.altered else ():
            for alteration in ALTERATIONS[1:]:
                altered_name = dataclasses.replace(name, alteration=alteration).to_filename()
                files.append((f"Altered/Altered-{difficulty}", altered_name, 0, alteration, difficulty))
        return files


def _write_finger(job: _FingerJob) -> int:
    """Write the finger's files that are not there yet; return how many."""
    print_size = SIZES[job.size]
    missing = []
    for file in job.files():
        path = pathlib.Path(job.out_dir, file[0], file[1])
        if not path.is_file() or path.stat().st_size != _file_bytes(print_size, bool(file[3])):
            missing.append((path, *file[2:]))
    if not missing:
        return 0
    finger = create_finger(job.seed, job.person, hand=job.hand, finger=job.finger)
    impressions = {
        impression: create_impression(finger, impression, size=job.size)
        for impression in {impression for _, impression, _, _ in missing}
    }
    for path, impression, alteration, difficulty in missing:
        image = impressions[impression]
        if alteration:
            content = _encode_altered(alter_impression(image, finger, alteration, difficulty), print_size)
        else:
            content = _encode_real(image, print_size)
        path.parent.mkdir(parents=True, exist_ok=True)
        with write_whole(path, "wb") as file:
            file.write(content)
    return len(missing)


def _claim_folder(out_dir: pathlib.Path, seed: int, size: str) -> None:
    """Make sure that the folder is empty or holds prints of just this seed, size and version."""
    manifest = {"made_by": "fpgan_jax procedural prints", "version": SYNTHESIS_VERSION}
    manifest |= {"seed": seed, "size": size}
    if out_dir.exists() and not out_dir.is_dir():
        raise UserError(f"{out_dir}: is a file; name a folder")
    manifest_path = out_dir / MANIFEST_NAME
    if manifest_path.is_file():
        found = read_json(manifest_path)
        if found != manifest:
            raise UserError(
                f"{manifest_path}: the folder was made with {found}, not {manifest}; use another folder"
            )
    for path in sorted(out_dir.rglob("*")) if out_dir.is_dir() else ():
        is_foreign = not path.is_dir() and not any(map(is_leftover, path.relative_to(out_dir).parts))
        if is_foreign and not _is_own_file(path.relative_to(out_dir), seed, manifest_path.is_file()):
            raise UserError(f"{path}: was not written by this command; use an empty folder")
    out_dir.mkdir(parents=True, exist_ok=True)
    with write_whole(manifest_path) as file:
        file.write(json.dumps(manifest, indent=2) + "\n")


def _is_own_file(path: pathlib.PurePath, seed: int, has_manifest: bool) -> bool:
    filename = path.name.removesuffix(TEMPORARY_ENDING)
    folder = path.parent.as_posix()
    if folder == ".":
        return filename == MANIFEST_NAME
    try:
        name = parse_filename(filename)
    except UserError:
        return False
    is_altered = folder in {f"Altered/Altered-{difficulty}" for difficulty in DIFFICULTIES}
    if not (is_altered or folder == "Real" or folder.startswith("Impressions/Impression-")):
        return False
    return (
        has_manifest
        and is_altered == (name.alteration != "none")
        and name.gender == choose_gender(seed, name.person)
    )


def parse_fingers(names: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Parse names of fingers.

    Args:
      names: each `<hand>_<finger>`, for example "Right_index"; or "all" alone for all ten.

    Returns:
      (hand, finger) of each.

    Raises:
      UserError: a name is not of that form.
    """
    if tuple(names) == ("all",):
        return tuple((hand, finger) for hand in HANDS for finger in FINGERS)
    fingers = tuple(tuple(name.split("_")) for name in names)
    for name, finger in zip(names, fingers, strict=True):
        if len(finger) != 2 or finger[0] not in HANDS or finger[1] not in FINGERS:
            raise UserError(f"finger {name!r}: must be <hand>_<finger> of {HANDS} and {FINGERS}, or all")
    return fingers


def write_prints(
    out_dir: str | os.PathLike,
    *,
    num_persons: int,
    hands_and_fingers: Sequence[tuple[str, str]] = (("Right", "index"),),
    num_impressions: int = 1,
    altered: bool = True,
    seed: int = 0,
    size: str = "96x103",
    num_workers: int = 1,
) -> int:
    """Write procedural prints in SOCOFing's folders, names, sizes and BMP form.

    Files are written one by one to a temporary name and renamed, and a file that is there already is kept, so an
    interrupted call continues where it was. A larger `num_persons` adds persons and changes none.

    Args:
      out_dir: folder; new, empty, or written by this function with the same seed and size.
      num_persons: persons 1 to this.
      hands_and_fingers: (hand, finger) pairs of each person.
      num_impressions: impressions of each finger; the first is `Real/`, further ones, which SOCOFing does not
        have, go to `Impressions/Impression-2/` and so on.
      altered: whether to write the three altered versions of the first impression in three difficulties.
      seed: of the whole set, not negative.
      size: one of `SIZES`.
      num_workers: processes.

    Returns:
      Number of files written.

    Raises:
      UserError: an argument is out of range, or the folder holds files of other origin or settings.

    Source: file layout of Shehu et al. 2018, arXiv:1807.10609, section 3; differs in: every finger has every
    alteration in every difficulty.
    """
    fingers = parse_fingers([f"{hand}_{finger}" for hand, finger in hands_and_fingers])
    if size not in SIZES:
        raise UserError(f"size {size!r}: must be one of {tuple(SIZES)}")
    for name, value, least in (
        ("num_persons", num_persons, 1),
        ("num_impressions", num_impressions, 1),
        ("seed", seed, 0),
        ("num_workers", num_workers, 1),
        ("number of fingers", len(fingers), 1),
    ):
        if value < least:
            raise UserError(f"{name} {value}: must be at least {least}")
    out_dir = pathlib.Path(out_dir)
    _claim_folder(out_dir, seed, size)
    jobs = [
        _FingerJob(str(out_dir), person, hand, finger, seed, size, num_impressions, altered)
        for person in range(1, num_persons + 1)
        for hand, finger in fingers
    ]
    return _run_jobs(jobs, num_workers)


def _run_jobs(jobs: Sequence[_FingerJob], num_workers: int) -> int:
    num_written = 0
    with create_progress(len(jobs), "making prints", "fingers") as progress:
        for count in _write_fingers(jobs, num_workers):
            num_written += count
            progress.update()
    return num_written


def _write_fingers(jobs: Sequence[_FingerJob], num_workers: int) -> Iterator[int]:
    if num_workers == 1:
        yield from map(_write_finger, jobs)
        return
    # Fork is unsafe beside the threads that JAX or TensorFlow may have started in this process.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(num_workers, mp_context=context) as pool:
        yield from pool.map(_write_finger, jobs)
