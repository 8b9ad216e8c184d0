"""Owns the conversion of a study's prints to what fingerprint tools expect: 500 ppi, square pixels, a margin.

The scale is the sensor's, so that all sets of one sensor have the same; it is only estimated if the sensor is unknown.
Does not measure ridges (`measures/ridges.py`) or write to disk.
"""

import dataclasses
from collections.abc import Mapping

import numpy as np
from ml_collections import ConfigDict

from fpgan_jax.config.derived import find_ppi
from fpgan_jax.data import preprocessing
from fpgan_jax.data.ridges import print_scale
from fpgan_jax.evaluation.matcher.ridge_spectrum import MIN_SIDE, describe_small, measure_ridges
from fpgan_jax.evaluation.study.print_collection import Study


class NoScaleError(Exception):
    """The prints' scale is unknown, and they show no ridges to compute it from; the message is one line."""


@dataclasses.dataclass(frozen=True)
class PreparedPrints:
    """A study's prints as the tools get them."""

    images: Mapping[str, np.ndarray]  # collection -> uint8 [n, height, width], all of one size, at 500 ppi
    factor: float  # of the enlargement, as the root of the ratio of areas
    period: float  # the sensor's ridge period before the enlargement, pixels
    margin: int = print_scale.MARGIN  # white pixels on each side


def prepare_prints(study: Study, data_config: ConfigDict) -> PreparedPrints:
    """Bring every print of a study to 500 ppi, without the scanner's frame.

    All are scaled by what the reference needs: a synthetic print with a wrong ridge period keeps it.

    Args:
      study: the scale is that of its reference.
      data_config: config.data; its source, resolutions, frame and image size are used.

    Raises:
      NoScaleError: the scale is unknown, and no reference print has a ridge period, or they are too small.
    """
    rows, columns = preprocessing.find_window(data_config)
    reference = study.reference.images[:, rows, columns]
    period = print_scale.find_sensor_period(data_config) or find_period(reference)
    factor = print_scale.PERIOD_AT_500_PPI / period
    stretch = print_scale.find_stretch(data_config)
    # A whole image of a known sensor has its own background, and is matched as it is.
    margin = 0 if find_ppi(data_config) else print_scale.MARGIN
    images = {
        name: print_scale.scale_images(collection.images[:, rows, columns], factor, stretch, margin)
        for name, collection in study.collections.items()
    }
    return PreparedPrints(images, factor, period, margin)


def find_period(images: np.ndarray) -> float:
    """Find the median ridge period, pixels, of uint8 [n, height, width] without a frame.

    Raises:
      NoScaleError: no print has one, or they are too small.
    """
    if min(images.shape[1:]) < MIN_SIDE:
        raise NoScaleError(describe_small(images))
    periods = measure_ridges(images).period
    periods = periods[~np.isnan(periods)]
    if not len(periods):
        raise NoScaleError("the reference prints show no ridge period, so they cannot be scaled to 500 ppi")
    return float(np.median(periods))
