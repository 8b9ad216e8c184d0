"""The minutiae map: a print's minutiae drawn as directed marks, the condition of a well-known peer.

Ridges, contact and appearance are not in it. `evaluation/matcher/nist_tools.py` finds the minutiae.
"""

import math

import numpy as np

from fpgan_jax.data.ridges.print_scale import MARGIN, PERIOD_AT_500_PPI, scale_images
from fpgan_jax.errors import UserError
from fpgan_jax.evaluation.matcher.nist_tools import MatchingTool, Minutiae, ToolError

NEUTRAL = (0.0,)  # the map without minutiae, in the networks' range

_BACKGROUND, _ENDING, _BIFURCATION = 128, 0, 255
# Ridge periods. Long enough to show the direction at 128 pixels, and about the distance between minutiae.
_LENGTH = 1.6
_WIDTH = 0.5


def map_print(
    image: np.ndarray, period: float, stretch: float, window: tuple[slice, slice], tool: MatchingTool
) -> np.ndarray:
    """Map a print's minutiae: `draw_minutiae` with a channel.

    Args:
      image: uint8 [height, width], ridges dark.
      period: the set's ridge period, pixels.
      stretch: see `print_scale.find_stretch`.
      window: rows and columns within the scanner's frame.
      tool: finds the minutiae.

    Raises:
      UserError: the tool failed on the print.
    """
    try:
        found = find_minutiae(image, period, stretch, window, tool)
    except ToolError as error:
        raise UserError(f"config.data.condition='minutiae': {error}") from error
    return draw_minutiae(found, image.shape, period)[..., None]


def find_minutiae(
    image: np.ndarray, period: float, stretch: float, window: tuple[slice, slice], tool: MatchingTool
) -> Minutiae:
    """Find a print's minutiae at 500 ppi; arguments as `map_print`.

    Returns:
      The minutiae; x and y are float64, pixels of the image; the first pixel's center is 0.

    Raises:
      ToolError: the tool failed.
    """
    inside = image[window]
    scaled = scale_images(inside[None], PERIOD_AT_500_PPI / period, stretch)[0]
    found = tool.extract(scaled).minutiae
    # From the sizes, since these are rounded to whole pixels.
    down, across = (
        side / (scaled_side - 2 * MARGIN)
        for side, scaled_side in zip(inside.shape, scaled.shape, strict=True)
    )
    top, left = (part.indices(side)[0] for part, side in zip(window, image.shape, strict=True))
    angle = np.arctan2(down * np.sin(found.direction), across * np.cos(found.direction))
    return found._replace(
        x=(found.x - MARGIN + 0.5) * across - 0.5 + left,
        y=(found.y - MARGIN + 0.5) * down - 0.5 + top,
        direction=angle % (2 * math.pi),
    )


def draw_minutiae(minutiae: Minutiae, shape: tuple[int, int], period: float) -> np.ndarray:
    """Draw minutiae as lines from the minutia in its direction, 1.6 ridge periods long and 0.5 wide.

    Args:
      minutiae: x and y in pixels of the map.
      shape: (height, width) of the map.
      period: of the ridges, pixels.

    Returns:
      uint8 [height, width]: 0 on an ending's line, 255 on a bifurcation's, 128 elsewhere, with edges one pixel soft.

    Source: Makrushin, Mannam & Dittmann 2023, "directed lines" (black endings, white bifurcations); differs in: length
      and width, which are in ridge periods and were chosen here, soft edges, and MINDTCT's minutiae.
    """
    canvas = np.full(shape, _BACKGROUND, np.float32)
    length, width = _LENGTH * period, _WIDTH * period
    rows, columns = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    for x, y, direction, is_ending in zip(
        minutiae.x, minutiae.y, minutiae.direction, minutiae.is_ending, strict=True
    ):
        # Directions are counterclockwise from +x; rows count down.
        along = (columns - x) * math.cos(direction) - (rows - y) * math.sin(direction)
        beside = (columns - x) * math.sin(direction) + (rows - y) * math.cos(direction)
        distance = np.hypot(along - np.clip(along, 0, length), beside)
        cover = np.clip(width / 2 + 0.5 - distance, 0, 1)
        canvas += cover * ((_ENDING if is_ending else _BIFURCATION) - canvas)
    return np.rint(canvas).astype(np.uint8)
