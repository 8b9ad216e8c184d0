"""Owns the way from a study's prints to those that fingerprint tools expect: 500 ppi, upright proportions, a margin.

The scale is the sensor's, so that every set of one sensor has the same; it is estimated only where nobody knows the
sensor. Does not measure ridges (`measures/ridges.py`), and keeps nothing on disk.
"""

import dataclasses
from collections.abc import Mapping

import numpy as np
from ml_collections import ConfigDict

from fpgan_jax.config.derived import find_ppi
from fpgan_jax.data import preprocessing
from fpgan_jax.data.ridges.print_scale import (
    MARGIN,
    PERIOD_AT_500_PPI,
    find_sensor_period,
    find_stretch,
    scale_images,
)
from fpgan_jax.evaluation.matcher.ridge_spectrum import MIN_SIDE, describe_small, measure_ridges
from fpgan_jax.evaluation.study.print_collection import Study


class NoScaleError(Exception):
    """Nobody knows the prints' scale, and they show no ridges to compute it from; the message is one line."""


@dataclasses.dataclass(frozen=True)
class PreparedPrints:
    """A study's prints as the tools get them.

    Attributes:
      images: collection -> uint8 [n, height, width], all of one size, at 500 ppi, with the margin around them.
      factor: by which the prints were enlarged, as the root of the areas' ratio.
      period: the sensor's ridge period before, pixels.
      margin: white pixels on each side.
    """

    images: Mapping[str, np.ndarray]
    factor: float
    period: float
    margin: int = MARGIN


def prepare_prints(study: Study, data_config: ConfigDict) -> PreparedPrints:
    """Bring every print of a study to 500 ppi.

    All are scaled alike, by what the reference needs: a synthetic print of a wrong period keeps it.

    Args:
      study: its reference prints tell the scale.
      data_config: config.data of its prints; its source, resolutions, frame and image's size are used.

    Returns:
      The prints, their scanner's frame cut away.

    Raises:
      NoScaleError: nobody knows the scale, and no reference print has a ridge period, or they are too small.
    """
    rows, columns = preprocessing.find_window(data_config)
    period = find_sensor_period(data_config) or find_period(study.reference.images[:, rows, columns])
    factor = PERIOD_AT_500_PPI / period
    stretch = find_stretch(data_config)
    # A whole image of a known sensor has its own background; it is matched as the sensor gave it.
    margin = 0 if find_ppi(data_config) else MARGIN
    images = {
        name: scale_images(collection.images[:, rows, columns], factor, stretch, margin)
        for name, collection in study.collections.items()
    }
    return PreparedPrints(images, factor, period, margin)


def find_period(images: np.ndarray) -> float:
    """Find the ridge period that prints have in common.

    Args:
      images: uint8 [n, height, width], without a frame.

    Returns:
      The median of their periods, pixels.

    Raises:
      NoScaleError: none has one, or they are too small.
    """
    if min(images.shape[1:]) < MIN_SIDE:
        raise NoScaleError(describe_small(images))
    periods = measure_ridges(images).period
    periods = periods[~np.isnan(periods)]
    if not len(periods):
        raise NoScaleError("the reference prints show no ridge period, so they cannot be brought to 500 ppi")
    return float(np.median(periods))
