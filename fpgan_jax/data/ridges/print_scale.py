"""Owns what is known of a sensor's scale, and enlargement by it: ridge period and stretch of the images of a config.

Does not measure ridges; `evaluation/matcher/resolution.py` estimates from prints what nobody knows of their sensor.
"""

import math

import numpy as np
from ml_collections import ConfigDict
from PIL import Image

from fpgan_jax.config.derived import find_ppi, image_shape, is_socofing
from fpgan_jax.data import preprocessing

# Pixels from ridge to ridge at 500 ppi: 0.457 mm. It need not be exact: a third of the altered prints of SOCOFing's
# persons 1-60 gave BOZORTH3 an equal error rate of 1.3% at 8.2 pixels, 0.7% at 9.0, 0.6% at 9.8.
PERIOD_AT_500_PPI = 9.0
# Pixels of a 96x103 scan from ridge to ridge: the median of 1,990 real prints of SOCOFing, all ten fingers of 200
# persons, by python -m launch.measure_scale. Estimated anew for five persons it is off by up to a tenth.
SOCOFING_PERIOD = 3.136
# White pixels around a print that fills its image: MINDTCT finds no minutiae at an image's very edge.
MARGIN = 24


def find_sensor_period(data_config: ConfigDict) -> float:
    """Find the ridge period that a sensor's prints have in the images that a config makes of them.

    Args:
      data_config: config.data; its source, resolutions, frame and image's size are used.

    Returns:
      Pixels, the geometric mean of down and across; 0 for pairs of unknown origin.
    """
    if ppi := find_ppi(data_config):
        return PERIOD_AT_500_PPI * ppi / 500
    if not is_socofing(data_config):
        return 0.0
    down, across = _find_enlargement(data_config)
    return SOCOFING_PERIOD * math.sqrt(down * across)


def find_resolution(data_config: ConfigDict) -> tuple[float, float]:
    """Find the pixels per inch of the images that a config makes.

    Args:
      data_config: config.data; its source, resolutions, frame and image's size are used.

    Returns:
      (down, across); zeros for pairs of unknown origin.
    """
    ppi = 500 * find_sensor_period(data_config) / PERIOD_AT_500_PPI
    root = math.sqrt(find_stretch(data_config))
    return ppi / root, ppi * root


def write_resolution(resolution: tuple[float, float]) -> str:
    """Write pixels per inch (down, across) as one number, or as ACROSSxDOWN where they differ."""
    down, across = (f"{ppi:.4g}" for ppi in resolution)
    return down if down == across else f"{across}x{down}"


def parse_resolution(text: str) -> tuple[float, float] | None:
    """Read what `write_resolution` wrote: pixels per inch (down, across), or None for another text."""
    try:
        numbers = [float(part) for part in text.split("x")]
    except ValueError:
        return None
    if len(numbers) > 2 or not all(0 < number < math.inf for number in numbers):
        return None
    return numbers[-1], numbers[0]


def find_stretch(data_config: ConfigDict) -> float:
    """Find how much too wide the prints are.

    SOCOFing's scans are 96 x 103 pixels, 90 x 97 without the frame, and resized for training. In the scans the
    ridges' period is the same in all directions, and tools expect that. It matters: a third of the altered prints gave
    BOZORTH3 an equal error rate of 0.7% with the stretch undone, 1.4% with it left.

    Args:
      data_config: config.data; its source, resolutions, frame and image's size are used.

    Returns:
      Width over height that a square of skin has: in square images 1.073 with the frame, 1.078 without; 1 for prints
      that are not SOCOFing's.
    """
    if not is_socofing(data_config):
        return 1.0
    down, across = _find_enlargement(data_config)
    return across / down


def scale_images(images: np.ndarray, factor: float, stretch: float = 1.0, margin: int = MARGIN) -> np.ndarray:
    """Resample prints and put a white margin around them.

    Args:
      images: uint8 [n, height, width].
      factor: root of the areas' ratio.
      stretch: of `find_stretch`; is undone, the area kept.
      margin: white pixels on each side.

    Returns:
      uint8 [n, about height * factor * sqrt(stretch) + 2 * margin, about width * factor / sqrt(stretch) + 2 * margin],
      bicubic.
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
    """Find how much larger an image is than SOCOFing's scan, down and across."""
    width, height = preprocessing.SCAN_SIZES[0]
    cut = preprocessing.FRAME_BEFORE + preprocessing.FRAME_AFTER if data_config.frame == "crop" else 0
    image_height, image_width, _ = image_shape(data_config)
    return image_height / (height - cut), image_width / (width - cut)
