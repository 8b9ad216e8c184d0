"""Owns the ridge map: where a print's ridges run and where the skin touched, without how the print looks.

It is what makes a print this finger's: no grey level, contrast, ridge thickness, pore or dryness is in it. Does not
know sensors: the caller brings prints to one ridge period and gives it. Does not measure how a print looks either.
"""

import functools
import math
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

import numpy as np
from scipy import fft, ndimage

from fpgan_jax.data.ridges import oriented_filters
from fpgan_jax.errors import UserError

if TYPE_CHECKING:
    import jax

Array = TypeVar("Array", "np.ndarray", "jax.Array")

MIN_PERIOD = 2.5  # pixels; the finest filter's ridges, of 0.82 periods, need two pixels each
WHOLE = (slice(None), slice(None))

# A finger's ridges are up to a fifth finer or coarser than the set's.
_PERIODS = (0.82, 1.0, 1.22)
# Of a ridge's frequency. Narrower filters are longer and join ridges that end.
_ACROSS_BANDWIDTH = 0.35
_ALONG_BANDWIDTH = 0.3
# Periods around the image, longer than a filter: else its left edge would reach its right one.
_PADDING = 3
# Grey levels; weaker contrast is a scanner's noise.
_MIN_CONTRAST = 6.0
# Share of the contrast that a tenth of the pixels exceed.
_CONTACT_CONTRAST = 0.4
# Share of a unit cosine; a weaker response is not amplified to a full ridge.
_MIN_RESPONSE = 0.05


class RidgeMap(NamedTuple, Generic[Array]):
    """The ridges of a print, or of n prints with a leading axis.

    Attributes:
      ridges: float32 [height, width] in [-1, 1]: 1 in the middle of a ridge, -1 in the middle of a valley, 0 where the
        skin did not touch.
      contact: float32 [height, width] in [0, 1]: 1 where the skin touched. Its edge is a Gaussian's of half a period,
        since a hard one shows minutiae that another finger of the same contact has too.
    """

    ridges: Array
    contact: Array


def map_prints(images: np.ndarray, period: float, window: tuple[slice, slice] = WHOLE) -> RidgeMap:
    """Map the ridges of prints: `map_ridges` of uint8 [n, height, width]."""
    ridges, contact = np.zeros((2, *images.shape), np.float32)
    for index, image in enumerate(images):
        ridges[index], contact[index] = map_ridges(image, period, window)
    return RidgeMap(ridges, contact)


def map_ridges(image: np.ndarray, period: float, window: tuple[slice, slice] = WHOLE) -> RidgeMap:
    """Map the ridges of a print.

    The print is filtered once: a second pass joins ridges that end, and so removes minutiae.

    Args:
      image: uint8 [height, width], ridges dark.
      period: ridge period that the set's prints have in common, pixels.
      window: rows and columns within the scanner's frame, of `preprocessing.find_window`.

    Returns:
      The map, 0 outside the window.

    Raises:
      UserError: the image is of another type or number of axes, or the period is under `MIN_PERIOD`.

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
    grey = image[window].astype(np.float32)
    contact = find_contact(grey, period)
    normal = normalize_contrast(grey, period)
    maps.contact[window] = contact
    maps.ridges[window] = contact * _filter_along(normal, estimate_orientation(normal, period), period)
    return maps


def map_contact(image: np.ndarray, period: float, window: tuple[slice, slice] = WHOLE) -> np.ndarray:
    """Map where the skin touched: the `contact` of `map_ridges`, whose arguments these are, without the ridges."""
    contact = np.zeros(image.shape, np.float32)
    window = _shrink(window, image.shape, period)
    contact[window] = find_contact(image[window].astype(np.float32), period)
    return contact


def draw_maps(maps: RidgeMap) -> np.ndarray:
    """Draw maps as prints: uint8 of their shape, ridges dark, white where the skin did not touch."""
    return np.rint(255 - 127.5 * (maps.contact + maps.ridges)).clip(0, 255).astype(np.uint8)


def estimate_orientation(image: np.ndarray, period: float) -> np.ndarray:
    """Estimate which way the ridges run.

    Args:
      image: float32 [height, width], of equal local contrast: a print's or a map's ridges.
      period: pixels.

    Returns:
      float32 [height, width], radians in [0, pi), counter-clockwise from the row's direction.

    Source: structure tensor, Kass & Witkin 1987; differs in: doubled angles are smoothed once more, weighted by the
      tensor's coherence, so that clear ridges decide about unclear ones beside them.
    """
    down = ndimage.gaussian_filter(image, period / 6, (1, 0))
    across = ndimage.gaussian_filter(image, period / 6, (0, 1))
    xx, yy, xy = (ndimage.gaussian_filter(product, period) for product in (across**2, down**2, across * down))
    trace = xx + yy + 1e-6
    cosine, sine = (ndimage.gaussian_filter(part / trace, period / 2) for part in (xx - yy, 2 * xy))
    # Rows count down and angles up; ridges run across the gradient.
    return (np.pi / 2 - np.arctan2(sine, cosine) / 2) % np.float32(np.pi)


def find_contact(grey: np.ndarray, period: float) -> np.ndarray:
    """Find where the skin touched: the largest area of contrast, and what is as dark beside it.

    Args:
      grey: float32 [height, width] in [0, 255], ridges dark, without a frame.
      period: of the ridges, pixels.

    Returns:
      float32 [height, width] in [0, 1], with a soft edge.
    """
    mean = ndimage.gaussian_filter(grey, period)
    contrast = _measure_rms(grey - mean, period)
    is_contact = contrast > max(_MIN_CONTRAST, _CONTACT_CONTRAST * float(np.quantile(contrast, 0.9)))
    if not is_contact.any():
        return np.zeros_like(grey)
    # Wet skin is black and flat.
    is_contact |= mean < mean[is_contact].mean()
    padding = math.ceil(4 * period)
    is_contact = np.pad(is_contact, padding, mode="edge")
    is_contact = ndimage.binary_fill_holes(ndimage.binary_closing(is_contact, _create_disk(2 * period / 3)))
    # Contrast reaches about a period beyond the last ridge.
    is_contact = ndimage.binary_erosion(is_contact, _create_disk(period), border_value=1)
    labels, _ = ndimage.label(is_contact)
    is_contact &= labels == 1 + np.argmax(np.bincount(labels.ravel(), minlength=2)[1:])
    soft = ndimage.gaussian_filter(is_contact.astype(np.float32), period / 2)
    return np.clip(soft[padding:-padding, padding:-padding], 0, 1)


def _create_disk(radius: float) -> np.ndarray:
    reach = round(radius)
    return np.hypot(*np.mgrid[-reach : reach + 1, -reach : reach + 1]) <= radius + 0.5


def _shrink(window: tuple[slice, slice], shape: tuple[int, int], period: float) -> tuple[slice, slice]:
    """Cut the pixels beside the frame, which resizing mixed with it."""
    cut = math.ceil(period / 4)
    bounds = [side.indices(length)[:2] for side, length in zip(window, shape, strict=True)]
    rows, columns = (
        slice(start + cut * (start > 0), stop - cut * (stop < length))
        for (start, stop), length in zip(bounds, shape, strict=True)
    )
    return rows, columns


def _measure_rms(values: np.ndarray, sigma: float) -> np.ndarray:
    return np.sqrt(np.maximum(ndimage.gaussian_filter(values**2, sigma), 0))


def normalize_contrast(grey: np.ndarray, period: float) -> np.ndarray:
    """Give a print equal local contrast, ridges positive."""
    differences = ndimage.gaussian_filter(grey, 1.5 * period) - grey
    return differences / (_measure_rms(differences, 1.5 * period) + _MIN_CONTRAST)


def _filter_along(normal: np.ndarray, orientation: np.ndarray, period: float) -> np.ndarray:
    """Filter a print once at each pixel's orientation, and divide by the local amplitude: in (-1, 1)."""
    padding = math.ceil(_PADDING * period)
    padded = np.pad(normal, padding, mode="symmetric")
    inside = tuple(slice(padding, padding + side) for side in normal.shape)
    shape = tuple(fft.next_fast_len(side, real=True) for side in padded.shape)
    spectrum = fft.rfft2(padded, shape)
    weights = oriented_filters.compute_weights(orientation)
    total, total_power = np.zeros((2, *normal.shape), np.float32)
    for filters in _create_filters(shape, period):
        response = np.zeros_like(normal)
        for filter_, weight in zip(filters, weights, strict=True):
            response += weight * fft.irfft2(spectrum * filter_, shape)[inside]
        power = ndimage.gaussian_filter(response**2, period) ** 2
        total += power * response
        total_power += power
    response = total / (total_power + 1e-12)
    amplitude = math.sqrt(2) * _measure_rms(response, period)
    return np.tanh(1.5 * response / (amplitude + _MIN_RESPONSE))


@functools.lru_cache(maxsize=2)
def _create_filters(shape: tuple[int, int], period: float) -> tuple[np.ndarray, ...]:
    return tuple(
        oriented_filters.create_filters(
            shape, share * period, across_bandwidth=_ACROSS_BANDWIDTH, along_bandwidth=_ALONG_BANDWIDTH
        )
        for share in _PERIODS
    )
