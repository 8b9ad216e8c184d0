"""From an image's pixels to those that the networks get: frame, size, value range. Nothing here is random."""

import math
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from ml_collections import ConfigDict
from PIL import Image

from fpgan_jax.config.derived import find_ppi, image_shape, is_socofing

if TYPE_CHECKING:
    import jax

_Array = TypeVar("_Array", "np.ndarray", "jax.Array")

INTERPOLATIONS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
# Width and height of SOCOFing's files, pixels.
SCAN_SIZES = ((96, 103), (241, 298))
# Width in pixels of SOCOFing's constant frame in files of either size: a bevel before the print, a black band after it.
FRAME_BEFORE = 2
FRAME_AFTER = 4


def is_blank(image: np.ndarray) -> bool:
    """Return whether an image [height, width, channels] has no pixel, or a single color."""
    return image.size == 0 or bool((image == image[0, 0]).all())


def crop_frame(image: np.ndarray) -> np.ndarray:
    """Cut SOCOFing's constant frame away: [height - 6, width - 6, channels] of a whole image of either size."""
    return image[FRAME_BEFORE:-FRAME_AFTER, FRAME_BEFORE:-FRAME_AFTER]


def find_window(data_config: ConfigDict) -> tuple[slice, slice]:
    """Find the rows and columns of a preprocessed print that are within the scanner's frame.

    They are those of SOCOFing's smaller files, which nearly all are; everything if the frame was cropped, or the prints
    are not SOCOFing's.
    """
    sides = image_shape(data_config)[:2]
    if data_config.frame == "crop" or not is_socofing(data_config):
        return slice(0, sides[0]), slice(0, sides[1])
    rows, columns = (
        slice(math.ceil(FRAME_BEFORE * side / length), (length - FRAME_AFTER) * side // length)
        for side, length in zip(sides, reversed(SCAN_SIZES[0]), strict=True)
    )
    return rows, columns


def resize(image: np.ndarray, size: tuple[int, int], interpolation: str) -> np.ndarray:
    """Resize an image [height, width, 1 or 3], uint8, to (height, width) pixels; the aspect ratio may change.

    `interpolation` is a key of `INTERPOLATIONS`, or "area".

    Source: Cordeiro & Saito, section 4 (96x103 enlarged to 256x256); differs in: the paper names no
    interpolation.
    """
    if image.shape[:2] == size:
        return image
    if interpolation == "area":
        return _resize_by_area(image, size)
    num_channels = image.shape[2]
    picture = Image.fromarray(image[:, :, 0] if num_channels == 1 else image)
    resized = np.asarray(picture.resize(size[::-1], INTERPOLATIONS[interpolation]))
    return resized.reshape(*size, num_channels)


def _resize_by_area(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Average the area that each pixel of the result covers; Pillow's BOX takes whole pixels only."""
    down, across = (
        _measure_overlaps(length, side) for length, side in zip(image.shape[:2], size, strict=True)
    )
    averaged = np.einsum("ih,hwc,jw->ijc", down, image, across, optimize=True)
    # Rounding errors must not tip a half.
    return np.floor(np.round(averaged, 6) + 0.5).astype(np.uint8)


def _measure_overlaps(length: int, size: int) -> np.ndarray:
    """Return the share of each pixel of the result that each pixel of the image covers: [size, length]."""
    ends = np.arange(1, size + 1)[:, None] * length / size
    overlaps = np.minimum(ends, np.arange(1, length + 1)) - np.maximum(
        ends - length / size, np.arange(length)
    )
    return np.maximum(overlaps, 0) * size / length


def place_centrally(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Crop an image [height, width, channels], uint8, or pad it with white, to a size (height, width) in pixels.

    The center stays the same to half a pixel.
    """
    placed = np.full((*size, image.shape[2]), 255, np.uint8)
    into, out_of = [], []
    for length, wanted in zip(image.shape[:2], size, strict=True):
        common = min(length, wanted)
        into.append(slice((wanted - common) // 2, (wanted - common) // 2 + common))
        out_of.append(slice((length - common) // 2, (length - common) // 2 + common))
    placed[tuple(into)] = image[tuple(out_of)]
    return placed


def preprocess_print(image: np.ndarray, data_config: ConfigDict) -> np.ndarray:
    """Turn a gray print as stored into the networks' image.

    A print of SOCOFing is resized to the image's size, as in the paper; one whose sensor's resolution is known is
    scaled to `image_ppi`, the same both ways, and centered.

    Args:
      image: [height, width] or [height, width, 1], uint8.
      data_config: config.data.

    Returns:
      uint8 of `config.derived.image_shape`; all channels are equal.
    """
    image = image.reshape(*image.shape[:2], 1)
    size = image_shape(data_config)[:2]
    if data_config.sensor_ppi:
        factor = find_ppi(data_config) / data_config.sensor_ppi
        scaled = tuple(max(1, round(length * factor)) for length in image.shape[:2])
        image = place_centrally(resize(image, scaled, data_config.interpolation), size)
    else:
        image = crop_frame(image) if data_config.frame == "crop" else image
        image = resize(image, size, data_config.interpolation)
    return np.repeat(image, data_config.num_channels, axis=2)


def scale_to_unit(image: _Array) -> _Array:
    """Scale uint8 pixels of any shape to the networks' range: float32 in [-1, 1]."""
    return image.astype("float32") / 127.5 - 1


def to_uint8(image: "np.ndarray | jax.Array") -> np.ndarray:
    """Turn floats in [-1, 1] into uint8 pixels: the inverse of `scale_to_unit`, clipped, rounding half to even."""
    scaled = (np.asarray(image, np.float32) + 1) * 127.5
    return np.clip(np.rint(scaled), 0, 255).astype(np.uint8)
