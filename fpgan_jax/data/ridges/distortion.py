"""How impressions of a finger differ geometrically: pose, stretch and the skin's smooth distortion.

They are combined into one map from each pixel of the result to a position in the picture, which is sampled once.
Nothing is mirrored: a mirrored print is another print.
"""

import functools
import math
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

# Standard deviations of one impression; lengths are in ridge periods. Measured on 360 pairs of impressions of nine real
# sets at 500 pixels per inch, where a period is 9 pixels: shifts of 20 pixels per axis, distortions of 2.2 pixels.
_SHIFT = 20 / 9
_STRETCH = 0.018
_FIELD = 2.2 / 9 / math.sqrt(2)
_FIELD_SIGMA = 30 / 9
# Two impressions then differ by 2.8 degrees in the median and 0.5 in a tenth of the pairs, as those 360 pairs do.
_ROTATION = math.radians(2.4)
# A tenth of the fingers are askew.
_ASKEW_SHARE = 0.1
_ASKEW_ROTATION = math.radians(15)

Array = TypeVar("Array", np.ndarray, jax.Array)


class Pose(NamedTuple):
    """How a finger was put down."""

    rotation: jax.Array | np.ndarray  # float32 [], radians, counterclockwise
    shift: jax.Array | np.ndarray  # float32 [2], pixels down and right
    stretch: jax.Array | np.ndarray  # float32 [2], factors down and across; above 1 the finger is larger


def sample_pose(key: jax.Array, period: float, strength: float = 1.0) -> Pose:
    """Draw a pose as real impressions have them; `strength` scales all standard deviations."""
    askew_key, rotation_key, shift_key, stretch_key = jax.random.split(key, 4)
    is_askew = jax.random.uniform(askew_key) < _ASKEW_SHARE
    rotation = jnp.where(is_askew, _ASKEW_ROTATION, _ROTATION) * jax.random.normal(rotation_key)
    return Pose(
        strength * rotation,
        strength * _SHIFT * period * jax.random.normal(shift_key, (2,)),
        1 + strength * _STRETCH * jax.random.normal(stretch_key, (2,)),
    )


def sample_field(
    key: jax.Array, shape: tuple[int, int], period: float, strength: float = 1.0, pixel_stretch: float = 1.0
) -> jax.Array:
    """Draw the skin's distortion: Gaussian noise, smooth and equally strong everywhere.

    Args:
      key: of `jax.random`.
      shape: (height, width) in pixels.
      period: of the ridges, pixels.
      strength: factor on the displacement.
      pixel_stretch: see `create_places`.

    Returns:
      Displacements, float32 [2, height, width], down and across, in square pixels of the same area; their root mean
      square length is 0.24 strength period.
    """
    sigma, root = _FIELD_SIGMA * period, math.sqrt(pixel_stretch)
    down, across = (
        _create_smoothing(side, each) for side, each in zip(shape, (sigma / root, sigma * root), strict=True)
    )
    noise = jax.random.normal(key, (2, down.shape[1], across.shape[1]))
    # An accelerator would cut the operands' lower bits.
    smooth = jnp.einsum("hi,cij,wj->chw", down, noise, across, precision="highest")
    return strength * _FIELD * period * smooth


@functools.lru_cache(maxsize=8)
def _create_smoothing(side: int, sigma: float) -> np.ndarray:
    """Create the matrix from a lattice of white noise, half a sigma apart, to smooth noise of unit variance."""
    reach = 8  # nodes beyond either edge: four sigma
    num_nodes = math.ceil((side - 1) / (sigma / 2)) + 1 + 2 * reach
    nodes = (np.arange(num_nodes) - reach) * (sigma / 2)
    weights = np.exp(-0.5 * ((np.arange(side)[:, None] - nodes) / sigma) ** 2)
    return (weights / np.sqrt((weights**2).sum(axis=1, keepdims=True))).astype(np.float32)


def create_places(
    pose: Pose,
    field: jax.Array,
    shape: tuple[int, int],
    *,
    pixel_stretch: float = 1.0,
    picture_stretch: float = 1.0,
) -> jax.Array:
    """Find the position in a picture that each pixel of the result shows.

    Without a shift the centers coincide. Both images have pixels of the same area. The finger is rotated in square
    pixels, since rotating it in others would shear it.

    Args:
      pose: of `sample_pose`, in square pixels.
      field: [2, height, width] of the result, of `sample_field`.
      shape: (height, width) of the picture.
      pixel_stretch: width over height of a square of skin in the result's pixels.
      picture_stretch: the same in the picture's.

    Returns:
      float32 [2, height, width]: row and column in the picture; the first pixel's center is 0.
    """
    height, width = field.shape[1:]
    root, picture_root = math.sqrt(pixel_stretch), math.sqrt(picture_stretch)
    down = root * (jnp.arange(height, dtype=jnp.float32)[:, None] - (height - 1) / 2) - pose.shift[0]
    across = (jnp.arange(width, dtype=jnp.float32)[None, :] - (width - 1) / 2) / root - pose.shift[1]
    cosine, sine = jnp.cos(pose.rotation), jnp.sin(pose.rotation)
    # The inverse of a counterclockwise rotation (rows count down), then of the stretch.
    rows = (cosine * down + sine * across) / pose.stretch[0]
    columns = (cosine * across - sine * down) / pose.stretch[1]
    center = jnp.array([(side - 1) / 2 for side in shape], jnp.float32)
    to_picture = np.array([1 / picture_root, picture_root], np.float32)[:, None, None]
    return jnp.stack([rows, columns]) * to_picture + center[:, None, None] + field * to_picture


def move(
    place: jax.Array,
    pose: Pose,
    shape: tuple[int, int],
    result_shape: tuple[int, int],
    *,
    pixel_stretch: float = 1.0,
    picture_stretch: float = 1.0,
) -> jax.Array:
    """Find where a picture's row and column, float [2], are in the result, float32 [2].

    This is the inverse of `create_places` without a field; `result_shape` is the (height, width) of the result.
    """
    root, picture_root = math.sqrt(pixel_stretch), math.sqrt(picture_stretch)
    offset = place - (np.array(shape, np.float32) - 1) / 2
    rows, columns = offset * np.array([picture_root, 1 / picture_root], np.float32) * pose.stretch
    cosine, sine = jnp.cos(pose.rotation), jnp.sin(pose.rotation)
    moved = jnp.stack([cosine * rows - sine * columns, sine * rows + cosine * columns]) + pose.shift
    return moved * np.array([1 / root, root], np.float32) + (np.array(result_shape, np.float32) - 1) / 2


def find_square_shape(shape: tuple[int, int], stretch: float) -> tuple[int, int]:
    """Find an image's (height, width) in square pixels of the same area; `stretch` as in `make_square`."""
    root = math.sqrt(stretch)
    return round(shape[0] * root), round(shape[1] / root)


def make_square(image: jax.Array, stretch: float) -> jax.Array:
    """Sample an image, float [height, width, channels], in square pixels of the same area.

    By Lanczos' kernel of five pixels, which keeps a drawn print's finest detail: halfway between pixels 90% of the
    contrast of cycles of two and a half pixels, cubic splines 66%.

    `stretch` is the width over height of a square of skin in it. The result may overshoot the image's range.
    """
    height, width, num_channels = image.shape
    shape = find_square_shape((height, width), stretch)
    factors = jnp.array([math.sqrt(stretch), 1 / math.sqrt(stretch)], jnp.float32)
    # The middles of both stay in one place.
    offsets = jnp.array(shape) / 2 - factors * jnp.array([height, width]) / 2
    return jax.image.scale_and_translate(
        image, (*shape, num_channels), (0, 1), factors, offsets, "lanczos5", antialias=False
    )


def find_inside(places: jax.Array, shape: tuple[int, int], fade: float) -> jax.Array:
    """Compute a mask of the `create_places` inside a picture of a shape: float32 [height, width] in [0, 1].

    Over `fade` pixels beyond the outermost centers it falls to 0; a hard edge would look like the end of ridges.
    """
    inside = jnp.float32(1)
    for place, side in zip(places, shape, strict=True):
        beyond = jnp.maximum(-place, place - (side - 1))
        inside *= jnp.clip(1 - beyond / fade, 0, 1)
    return inside


def resample(image: jax.Array, places: jax.Array) -> jax.Array:
    """Sample a picture with cubic splines; beyond its edge it continues as its mirror image.

    Splines preserve ridges of four pixels: halfway between pixels 98% of their contrast, cubic convolution 91%.

    Args:
      image: [image_height, image_width, channels], float, at least 2 x 2 pixels.
      places: [2, height, width], of `create_places`.

    Returns:
      float32 [height, width, channels]; it may overshoot the picture's range.

    Source: Unser 1999, "Splines: a perfect fit", for the cubic B-spline and its prefilter; differs in: the prefilter is
      a matrix product, not recursive.
    """
    height, width, num_channels = image.shape
    down, across = _create_prefilter(height), _create_prefilter(width)
    coefficients = jnp.einsum("hi,ijc,wj->hwc", down, image, across, precision="highest")
    flat = coefficients.reshape(height * width, num_channels)
    rows, row_weights = _find_taps(places[0], height)
    columns, column_weights = _find_taps(places[1], width)
    total = jnp.zeros((*places.shape[1:], num_channels), jnp.float32)
    for row, row_weight in zip(rows, row_weights, strict=True):
        for column, column_weight in zip(columns, column_weights, strict=True):
            total += (row_weight * column_weight)[..., None] * flat[row * width + column]
    return total


def _find_taps(places: jax.Array, side: int) -> tuple[list[jax.Array], list[jax.Array]]:
    """Find the four pixels around each position along an axis, mirrored into the picture, and their weights."""
    lower = jnp.floor(places)
    f = places - lower
    g = 1 - f
    weights = [g**3 / 6, 2 / 3 - f**2 * (2 - f) / 2, 2 / 3 - g**2 * (2 - g) / 2, f**3 / 6]
    lower = lower.astype(jnp.int32)
    return [_mirror(lower + tap, side) for tap in (-1, 0, 1, 2)], weights


def _mirror(index: Array, side: int) -> Array:
    index = index % (2 * side - 2)
    minimum: Any = np.minimum if isinstance(index, np.ndarray) else jnp.minimum
    return minimum(index, 2 * side - 2 - index)


@functools.lru_cache(maxsize=8)
def _create_prefilter(side: int) -> np.ndarray:
    """Create the matrix from samples to the coefficients of the spline through them."""
    spline = np.zeros((side, side))
    for tap, weight in ((-1, 1 / 6), (0, 2 / 3), (1, 1 / 6)):
        np.add.at(spline, (np.arange(side), _mirror(np.arange(side) + tap, side)), weight)
    return np.linalg.inv(spline).astype(np.float32)
