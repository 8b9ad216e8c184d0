"""Owns the minutiae map: a print's minutiae drawn as directed marks, the condition of a well-known peer.

Nothing else of the print is in it: neither ridges nor contact nor look. Does not find minutiae itself
(`evaluation/matcher/nist_tools.py`).
"""

import math

import numpy as np

from fpgan_jax.data.ridges.print_scale import MARGIN, PERIOD_AT_500_PPI, scale_images
from fpgan_jax.errors import UserError
from fpgan_jax.evaluation.matcher.nist_tools import MatchingTool, Minutiae, ToolError

# In the networks' range, what the map is where there is no minutia.
NEUTRAL = (0.0,)

_BACKGROUND, _ENDING, _BIFURCATION = 128, 0, 255
# Ridge periods. Long enough to see the direction at 128 pixels, and about as long as minutiae are apart.
_LENGTH = 1.6
_WIDTH = 0.5


def map_print(
    image: np.ndarray,
    period: float,
    stretch: float,
    window: tuple[slice, slice],
    tool: MatchingTool,
) -> np.ndarray:
    """Map a print's minutiae.

    Args:
      image: uint8 [height, width], ridges dark.
      period: ridge period that the set's prints have in common, pixels.
      stretch: as of `print_scale.find_stretch`.
      window: rows and columns within the scanner's frame.
      tool: that finds minutiae.

    Returns:
      uint8 [height, width, 1], as of `draw_minutiae`.

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
    """Find a print's minutiae at 500 ppi, in the print's own pixels.

    Args:
      image: as of `map_print`, like the other arguments.
      period: likewise.
      stretch: likewise.
      window: likewise.
      tool: likewise.

    Returns:
      The minutiae; x and y are float64, pixels of the image, of pixels' centres from 0.

    Raises:
      ToolError: the tool failed.
    """
    inside = image[window]
    scaled = scale_images(inside[None], PERIOD_AT_500_PPI / period, stretch)[0]
    found = tool.extract(scaled).minutiae
    # By the sizes, which are whole pixels, not by the factor.
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
    """Draw minutiae as lines that begin at the minutia and run in its direction.

    Args:
      minutiae: x and y in pixels of the map; what lies beyond its edge is cut.
      shape: (height, width) of the map.
      period: of the ridges, pixels; a line is 1.6 long and 0.5 wide.

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
        # Directions count from +x towards the top, rows towards the bottom.
        along = (columns - x) * math.cos(direction) - (rows - y) * math.sin(direction)
        beside = (columns - x) * math.sin(direction) + (rows - y) * math.cos(direction)
        distance = np.hypot(along - np.clip(along, 0, length), beside)
        cover = np.clip(width / 2 + 0.5 - distance, 0, 1)
        canvas += cover * ((_ENDING if is_ending else _BIFURCATION) - canvas)
    return np.rint(canvas).astype(np.uint8)
