"""A sensor's known scale, and resampling by it: ridge period and stretch of the images of a config.

`evaluation/matcher/resolution.py` estimates an unknown scale from prints.
"""

import math

import numpy as np
from ml_collections import ConfigDict
from PIL import Image

from fpgan_jax.config.derived import find_ppi, image_shape, is_socofing
from fpgan_jax.data import preprocessing

# Ridge period at 500 ppi, pixels: 0.457 mm. It need not be exact: on a third of the altered prints of SOCOFing's
# persons 1-60 BOZORTH3's equal error rate was 1.3% with 8.2 pixels, 0.7% with 9.0, 0.6% with 9.8.
PERIOD_AT_500_PPI = 9.0
# Ridge period of a 96x103 scan, pixels: the median of 1,990 real prints of SOCOFing, all ten fingers of 200 persons, by
# python -m launch.measure_scale. Estimated from five persons it is off by up to a tenth.
SOCOFING_PERIOD = 3.136
# White pixels around a print that fills its image: MINDTCT finds no minutiae at an image's very edge.
MARGIN = 24


def find_sensor_period(data_config: ConfigDict) -> float:
    """Find the ridge period of a config's images in pixels, as the geometric mean of down and across; 0 if unknown."""
    if ppi := find_ppi(data_config):
        return PERIOD_AT_500_PPI * ppi / 500
    if not is_socofing(data_config):
        return 0.0
    down, across = _find_enlargement(data_config)
    return SOCOFING_PERIOD * math.sqrt(down * across)


def find_resolution(data_config: ConfigDict) -> tuple[float, float]:
    """Find the pixels per inch (down, across) of a config's images; zeros if unknown."""
    ppi = 500 * find_sensor_period(data_config) / PERIOD_AT_500_PPI
    root = math.sqrt(find_stretch(data_config))
    return ppi / root, ppi * root


def write_resolution(resolution: tuple[float, float]) -> str:
    """Write pixels per inch (down, across) as one number, or as ACROSSxDOWN if they differ."""
    down, across = (f"{ppi:.4g}" for ppi in resolution)
    return down if down == across else f"{across}x{down}"


def parse_resolution(text: str) -> tuple[float, float] | None:
    """Read pixels per inch (down, across) that `write_resolution` wrote; None for another text."""
    try:
        numbers = [float(part) for part in text.split("x")]
    except ValueError:
        return None
    if len(numbers) > 2 or not all(0 < number < math.inf for number in numbers):
        return None
    return numbers[-1], numbers[0]


def find_stretch(data_config: ConfigDict) -> float:
    """Find the width over height of a square of skin in a config's images.

    SOCOFing's scans are 96 x 103 pixels, 90 x 97 without the frame, and resized for training: in square images it is
    1.073 with the frame, 1.078 without, and 1 for other prints. In the scans the ridges' period is the same in all
    directions, and tools expect that. It matters: on a third of the altered prints BOZORTH3's equal error rate was 0.7%
    with the stretch undone, 1.4% with it left.
    """
    if not is_socofing(data_config):
        return 1.0
    down, across = _find_enlargement(data_config)
    return across / down


def scale_images(images: np.ndarray, factor: float, stretch: float = 1.0, margin: int = MARGIN) -> np.ndarray:
    """Resample prints bicubically, by factor * sqrt(stretch) down and factor / sqrt(stretch) across, with a margin.

    Args:
      images: uint8 [n, height, width].
      factor: square root of the areas' ratio.
      stretch: of `find_stretch`; it is undone, without changing the area.
      margin: white pixels on each side.
    """
    root = math.sqrt(stretch)
    height = max(1, round(images.shape[1] * factor * root))
    width = max(1, round(images.shape[2] * factor / root))
    scaled = np.full((len(images), height + 2 * margin, width + 2 * margin), 255, np.uint8)
    for place, image in enumerate(images):
        picture = Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC)
        scaled[place, margin : margin + height, margin : margin + width] = picture
    return scaled


def _find_enlargement(data_config: ConfigDict) -> tuple[float, float]:
    """Find an image's size relative to SOCOFing's scan, down and across."""
    width, height = preprocessing.SCAN_SIZES[0]
    cut = preprocessing.FRAME_BEFORE + preprocessing.FRAME_AFTER if data_config.frame == "crop" else 0
    image_height, image_width, _ = image_shape(data_config)
    return image_height / (height - cut), image_width / (width - cut)
