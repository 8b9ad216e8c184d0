"""The ridge map: where a print's ridges run and where the skin touched, without how the print looks.

It has the finger's identity, but no gray level, contrast, ridge thickness, pore or dryness. The caller scales prints to
a common ridge period.
"""

import functools
import math
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

import numpy as np
import scipy

from fpgan_jax.config.fields import RIDGE_FILTERS
from fpgan_jax.data.ridges import oriented_filters
from fpgan_jax.errors import UserError

if TYPE_CHECKING:
    import jax

Array = TypeVar("Array", "np.ndarray", "jax.Array")

MIN_PERIOD = 2.5  # pixels; the finest filter's ridges, of 0.82 periods, need two pixels each
WHOLE = (slice(None), slice(None))

# A finger's ridges are up to a fifth finer or coarser than the set's.
_PERIODS = (0.82, 1.0, 1.22)
# By name of `config.fields.RIDGE_FILTERS`, standard deviations across and along the ridges, shares of their frequency.
# Narrower filters are longer: they join ridges that end, and bend minutiae into smooth ridges.
_BANDWIDTHS = {"narrow": (0.35, 0.3), "wide": (0.7, 0.7)}
# Periods around the image, more than a filter's length, so that opposite edges do not affect each other.
_PADDING = 3
# Gray levels; weaker contrast is a scanner's noise.
_MIN_CONTRAST = 6.0
# Share of the contrast that a tenth of the pixels exceed.
_CONTACT_CONTRAST = 0.4
# Share of a unit cosine; a weaker response is not amplified to a full ridge.
_MIN_RESPONSE = 0.05


class RidgeMap(NamedTuple, Generic[Array]):
    """The ridges of a print, or of n prints with a leading axis; both float32 [height, width].

    The contact's edge is a Gaussian's of half a period: a hard one would show minutiae, and the same ones for another
    finger with the same contact.
    """

    ridges: Array  # 1 in the middle of a ridge, -1 in the middle of a valley, 0 without contact
    contact: Array  # 1 where the skin touched, 0 elsewhere


def map_prints(
    images: np.ndarray,
    period: float,
    window: tuple[slice, slice] = WHOLE,
    ridge_filter: str = RIDGE_FILTERS[0],
) -> RidgeMap:
    """Map the ridges of prints: `map_ridges` of uint8 [n, height, width]."""
    ridges, contact = np.zeros((2, *images.shape), np.float32)
    for index, image in enumerate(images):
        ridges[index], contact[index] = map_ridges(image, period, window, ridge_filter)
    return RidgeMap(ridges, contact)


def map_ridges(
    image: np.ndarray,
    period: float,
    window: tuple[slice, slice] = WHOLE,
    ridge_filter: str = RIDGE_FILTERS[0],
) -> RidgeMap:
    """Map the ridges of a print.

    The print is filtered once: a second pass joins ridges that end, and so removes minutiae.

    Args:
      image: uint8 [height, width], ridges dark.
      period: the set's ridge period, pixels.
      window: rows and columns within the scanner's frame, of `preprocessing.find_window`; the map is 0 outside.
      ridge_filter: of `config.data.ridge_filter`.

    Raises:
      UserError: the image has another type or number of axes, or the period is under `MIN_PERIOD`.

    Source: oriented filters at each pixel's own direction, Hong, Wan & Jain 1998; differs in: filters in the Fourier
      domain at three periods, weighted by their local power, instead of a local estimate of the period; the
      orientation is smoothed with its coherence as weight; divided by the local amplitude.
    """
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 2:
        raise UserError("image: give a NumPy array of uint8 [height, width], from 0 to 255")
    if not period >= MIN_PERIOD:
        raise UserError(f"period {period}: ridges are mapped from {MIN_PERIOD} pixels; enlarge the print")
    maps = RidgeMap(*np.zeros((2, *image.shape), np.float32))
    window = _shrink(window, image.shape, period)
    gray = image[window].astype(np.float32)
    contact = find_contact(gray, period)
    normal = normalize_contrast(gray, period)
    maps.contact[window] = contact
    maps.ridges[window] = contact * _filter_along(
        normal, estimate_orientation(normal, period), period, ridge_filter
    )
    return maps


def map_contact(image: np.ndarray, period: float, window: tuple[slice, slice] = WHOLE) -> np.ndarray:
    """Map where the skin touched: the `contact` of `map_ridges`, without the ridges."""
    contact = np.zeros(image.shape, np.float32)
    window = _shrink(window, image.shape, period)
    contact[window] = find_contact(image[window].astype(np.float32), period)
    return contact


def draw_maps(maps: RidgeMap) -> np.ndarray:
    """Draw maps as prints: uint8 of their shape, ridges dark, white without contact."""
    return np.rint(255 - 127.5 * (maps.contact + maps.ridges)).clip(0, 255).astype(np.uint8)


def estimate_orientation(image: np.ndarray, period: float) -> np.ndarray:
    """Estimate the ridges' direction: float32 [height, width], radians in [0, pi), counterclockwise from the row's.

    `image` is of equal local contrast: the result of `normalize_contrast`, or a map's ridges.

    Source: structure tensor, Kass & Witkin 1987; differs in: doubled angles are smoothed once more, weighted by the
      tensor's coherence, so that clear ridges decide for unclear neighbors.
    """
    down = scipy.ndimage.gaussian_filter(image, period / 6, (1, 0))
    across = scipy.ndimage.gaussian_filter(image, period / 6, (0, 1))
    xx, yy, xy = (
        scipy.ndimage.gaussian_filter(product, period) for product in (across**2, down**2, across * down)
    )
    trace = xx + yy + 1e-6
    cosine, sine = (scipy.ndimage.gaussian_filter(part / trace, period / 2) for part in (xx - yy, 2 * xy))
    # Rows count down, angles counterclockwise; ridges are perpendicular to the gradient.
    return (np.pi / 2 - np.arctan2(sine, cosine) / 2) % np.float32(np.pi)


def find_contact(gray: np.ndarray, period: float) -> np.ndarray:
    """Find where the skin touched: the largest area of contrast, with equally dark areas beside it.

    `gray` is float32 [height, width] in [0, 255], without a frame; the contact is in [0, 1], with a soft edge.
    """
    mean = scipy.ndimage.gaussian_filter(gray, period)
    contrast = _measure_rms(gray - mean, period)
    is_contact = contrast > max(_MIN_CONTRAST, _CONTACT_CONTRAST * float(np.quantile(contrast, 0.9)))
    if not is_contact.any():
        return np.zeros_like(gray)
    # Wet skin is black, without contrast.
    is_contact |= mean < mean[is_contact].mean()
    padding = math.ceil(4 * period)
    is_contact = np.pad(is_contact, padding, mode="edge")
    is_contact = scipy.ndimage.binary_fill_holes(
        scipy.ndimage.binary_closing(is_contact, _create_disk(2 * period / 3))
    )
    # Contrast reaches about a period beyond the last ridge.
    is_contact = scipy.ndimage.binary_erosion(is_contact, _create_disk(period), border_value=1)
    labels, _ = scipy.ndimage.label(is_contact)
    is_contact &= labels == 1 + np.argmax(np.bincount(labels.ravel(), minlength=2)[1:])
    soft = scipy.ndimage.gaussian_filter(is_contact.astype(np.float32), period / 2)
    return np.clip(soft[padding:-padding, padding:-padding], 0, 1)


def _create_disk(radius: float) -> np.ndarray:
    reach = round(radius)
    return np.hypot(*np.mgrid[-reach : reach + 1, -reach : reach + 1]) <= radius + 0.5


def _shrink(window: tuple[slice, slice], shape: tuple[int, int], period: float) -> tuple[slice, slice]:
    """Cut off the pixels that resizing mixed with the frame."""
    cut = math.ceil(period / 4)
    bounds = [side.indices(length)[:2] for side, length in zip(window, shape, strict=True)]
    rows, columns = (
        slice(start + cut * (start > 0), stop - cut * (stop < length))
        for (start, stop), length in zip(bounds, shape, strict=True)
    )
    return rows, columns


def _measure_rms(values: np.ndarray, sigma: float) -> np.ndarray:
    return np.sqrt(np.maximum(scipy.ndimage.gaussian_filter(values**2, sigma), 0))


def normalize_contrast(gray: np.ndarray, period: float) -> np.ndarray:
    """Give a print equal local contrast, ridges positive."""
    differences = scipy.ndimage.gaussian_filter(gray, 1.5 * period) - gray
    return differences / (_measure_rms(differences, 1.5 * period) + _MIN_CONTRAST)


def _filter_along(
    normal: np.ndarray, orientation: np.ndarray, period: float, ridge_filter: str
) -> np.ndarray:
    """Filter a print once at each pixel's orientation, and divide by the local amplitude: in (-1, 1)."""
    padding = math.ceil(_PADDING * period)
    padded = np.pad(normal, padding, mode="symmetric")
    inside = tuple(slice(padding, padding + side) for side in normal.shape)
    shape = tuple(scipy.fft.next_fast_len(side, real=True) for side in padded.shape)
    spectrum = scipy.fft.rfft2(padded, shape)
    weights = oriented_filters.compute_weights(orientation)
    total, total_power = np.zeros((2, *normal.shape), np.float32)
    for filters in _create_filters(shape, period, ridge_filter):
        response = np.zeros_like(normal)
        for filter_, weight in zip(filters, weights, strict=True):
            response += weight * scipy.fft.irfft2(spectrum * filter_, shape)[inside]
        power = scipy.ndimage.gaussian_filter(response**2, period) ** 2
        total += power * response
        total_power += power
    response = total / (total_power + 1e-12)
    amplitude = math.sqrt(2) * _measure_rms(response, period)
    return np.tanh(1.5 * response / (amplitude + _MIN_RESPONSE))


@functools.lru_cache(maxsize=2)
def _create_filters(shape: tuple[int, int], period: float, ridge_filter: str) -> tuple[np.ndarray, ...]:
    across, along = _BANDWIDTHS[ridge_filter]
    return tuple(
        oriented_filters.create_filters(shape, share * period, across_bandwidth=across, along_bandwidth=along)
        for share in _PERIODS
    )
