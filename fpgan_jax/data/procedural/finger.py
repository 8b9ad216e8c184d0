"""A procedural finger: its class, its singular points, its ridges.

A finger is grown as SFinGe grows it (Cappelli et al. 2002): a class and its singular points give an orientation
field, and oriented filtering, iterated from noise, turns it into ridges whose minutiae appear by themselves.
Lengths are in master pixels, 1/500 inch: a ridge period is about 8.5 of them. Nothing is taken from SOCOFing's prints
but a few population numbers (ridge period, contact area).
"""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
from numpy.random import Generator
from scipy import fft, ndimage

from fpgan_jax.data.ridges import oriented_filters
from fpgan_jax.data.socofing.filenames import FINGERS, HANDS
from fpgan_jax.errors import UserError

PATTERNS = ("arch", "tented_arch", "left_loop", "right_loop", "whorl")

# Raise it whenever a change alters any pixel, so that an old folder is not continued with other prints.
SYNTHESIS_VERSION = 1
MASTER_HEIGHT, MASTER_WIDTH = 400, 360

# Ridges are grown on a grid this much coarser: at 5 pixels per period the cosine is still sampled well, and a filter
# costs a third.
_GROWTH_STEP = 5 / 3
_CENTER = (215.0, 180.0)  # row, col


@dataclasses.dataclass(frozen=True)
class Growth:
    """How ridges grow from noise; the defaults are those of the sets that `make_prints` writes."""

    period: float = 8.5  # mean of men's index fingers, master pixels
    num_steps: int = 20  # how often the noise is filtered; each pass joins ridges, and so removes minutiae
    period_variation: float = 0.09  # of the period over a finger, as a share on both sides of its mean
    unevenness: float = 0.3  # of that variation, how much is random in place, from 0
    unevenness_sigma: float = 40.0  # smoothness of that part, master pixels
    bending: float = 0.0  # standard deviation of the ridges' direction about the pattern's, radians
    bending_sigma: float = 40.0  # smoothness of the bending, master pixels


@dataclasses.dataclass(frozen=True)
class Singularity:
    """A singular point of an orientation field."""

    kind: str  # "core" (Poincare index +1/2) or "delta" (-1/2)
    row: float  # in the master
    col: float


@dataclasses.dataclass(frozen=True)
class Finger:
    """A master finger, of which impressions are taken; its lengths are in master pixels."""

    seed: int  # impressions draw from the four keys too
    person: int
    hand: str
    finger: str
    pattern: str  # one of `PATTERNS`, as it looks on the impression
    ridge_period: float  # mean
    singularities: tuple[Singularity, ...]
    # [400, 360] float32, radians in [0, pi), counterclockwise from the row's direction.
    orientation: np.ndarray
    ridges: np.ndarray  # [400, 360] float32, about a unit cosine across the ridges; 1 is a ridge's middle
    center: tuple[float, float]  # (row, col) of the middle of the pattern
    half_width: float  # of the contact
    tip_height: float  # from `center` to the contact's upper end


def _generator(purpose: str, seed: int, person: int, *keys: int) -> Generator:
    """Create the counter-based generator of a purpose and its keys, whatever was drawn before."""
    entropy = [seed, person, *keys, int.from_bytes(purpose.encode(), "big")]
    return Generator(np.random.Philox(np.random.SeedSequence(entropy)))


def create_finger_generator(
    purpose: str, seed: int, person: int, hand: str, finger: str, *keys: int
) -> Generator:
    """Create the random numbers of one purpose for one finger."""
    return _generator(purpose, seed, person, HANDS.index(hand), FINGERS.index(finger), *keys)


def choose_gender(seed: int, person: int) -> str:
    """Draw a person's gender, "M" or "F", with SOCOFing's shares of 477 and 123."""
    return "M" if _generator("gender", seed, person).random() < 477 / 600 else "F"


def _choose_pattern(rng: Generator, hand: str, finger: str) -> str:
    # Natural shares (Wilson, Candela & Watson 1994): loops 65.5%, whorls 27.9%, arches 3.7%, tented arches 2.9%.
    # A loop mostly opens to the little finger, on the index often to the thumb.
    toward_little_finger = 0.6 if finger == "index" else 0.95
    ulnar, radial = ("right_loop", "left_loop") if hand == "Right" else ("left_loop", "right_loop")
    loop = ulnar if rng.random() < toward_little_finger else radial
    return str(rng.choice(["arch", "tented_arch", loop, "whorl"], p=[0.037, 0.029, 0.655, 0.279]))


def _choose_singularities(rng: Generator, pattern: str) -> list[tuple[str, float, float]]:
    """Draw (kind, x to the right, y up from the pattern's center) of each, master pixels."""
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
    """Compute the direction of the ridges over the master, as `Finger.orientation`.

    The arching term is continuous, so the field's singular points are exactly the given ones.

    Args:
      pattern: one of `PATTERNS`.
      singularities: cores and deltas.
      center: (row, col) about which the ridges arch.
      arching: slope that the finger's roundness adds at the contact's sides, radians.

    Source: Sherlock & Monro 1993, "A model for interpreting fingerprint topology" (zero-pole model); differs in:
    instead of the piecewise linear correction of Vizcaya & Gerhardt 1996 one smooth term bends the ridges down on
    both sides, since the model alone makes them level far from its poles; the same term alone makes the arches.
    """
    rows, cols = np.mgrid[:MASTER_HEIGHT, :MASTER_WIDTH].astype(np.float64)
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


def _grow_ridges(
    rng: Generator, orientation: np.ndarray, period: float, coarseness: np.ndarray, growth: Growth
) -> np.ndarray:
    """Turn noise into ridges on the growth grid; `coarseness` is from 0 (fine ridges) to 1."""
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
        # Divided by the local amplitude, so that ridges also grow where the noise happened to be weak.
        response /= np.sqrt(2 * ndimage.gaussian_filter(response**2, period)) + 1e-6
        ridges = np.tanh(1.5 * response)
    return response


def _grow_master_ridges(rng: Generator, orientation: np.ndarray, period: float, growth: Growth) -> np.ndarray:
    shape = tuple(round(side / _GROWTH_STEP) for side in orientation.shape)
    rows, cols = np.meshgrid(*(np.arange(side) * _GROWTH_STEP for side in shape), indexing="ij")
    nearest = orientation[
        np.minimum(np.rint(rows).astype(int), orientation.shape[0] - 1),
        np.minimum(np.rint(cols).astype(int), orientation.shape[1] - 1),
    ]
    # Ridges are finest above the center and coarsest toward the joint.
    below = (rows - _CENTER[0]) / 200
    uneven = growth.unevenness * draw_smooth_noise(rng, shape, growth.unevenness_sigma / _GROWTH_STEP)
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
    rng = create_finger_generator("finger", seed, person, hand, finger)
    drawn = _choose_pattern(rng, hand, finger)
    pattern = pattern or drawn
    singularities = tuple(
        Singularity(kind, _CENTER[0] - y, _CENTER[1] + x)
        for kind, x, y in _choose_singularities(rng, pattern)
    )
    arching = rng.uniform(0.45, 0.7)
    orientation = create_orientation_field(pattern, singularities, center=_CENTER, arching=arching)
    scale = 1.0 if choose_gender(seed, person) == "M" else 0.89
    scale *= {"thumb": 1.04, "index": 1.0, "middle": 0.985, "ring": 0.96, "little": 0.95}[finger]
    period = growth.period * scale * math.exp(np.clip(rng.normal(0, 0.09), -0.2, 0.2))
    if growth.bending:
        bent = orientation + growth.bending * draw_smooth_noise(rng, orientation.shape, growth.bending_sigma)
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
        center=_CENTER,
        half_width=rng.uniform(98, 122) * (1.06 if finger == "thumb" else 0.9 if finger == "little" else 1),
        tip_height=rng.uniform(160, 205),
    )


def draw_smooth_noise(rng: Generator, shape: tuple[int, int], sigma: float) -> np.ndarray:
    """Draw Gaussian noise of unit variance, smooth over `sigma` pixels."""
    step = max(1, int(sigma / 2.5))
    coarse_shape = [math.ceil(side / step) + 8 for side in shape]
    coarse = ndimage.gaussian_filter(rng.standard_normal(coarse_shape), sigma / step)
    coarse *= 2 * math.sqrt(math.pi) * sigma / step
    if step == 1:
        return coarse[4 : 4 + shape[0], 4 : 4 + shape[1]]
    grid = np.meshgrid(*(np.arange(side) / step + 4 for side in shape), indexing="ij", sparse=False)
    return ndimage.map_coordinates(coarse, grid, order=1)
