"""Owns the survey that a sensor's scale is set from: the ridge period of every print of a folder, in the files' pixels.

Does not keep the result: SOCOFing's is in `data/ridges/print_scale.py`, another sensor's in config.data.sensor_ppi.
"""

import math
import pathlib
from collections.abc import Sequence

import numpy as np
from ml_collections import ConfigDict

from fpgan_jax.data import image_files, impression_folder, preprocessing
from fpgan_jax.data.ridges.print_scale import PERIOD_AT_500_PPI, scale_images
from fpgan_jax.data.socofing.filenames import parse_filename
from fpgan_jax.errors import UserError
from fpgan_jax.evaluation.matcher.ridge_spectrum import measure_ridges
from fpgan_jax.host.user_paths import expand_path

# Prints are enlarged to at least this height: in SOCOFing's own pixels many ridges are too fine to tell from noise.
_MIN_HEIGHT = 288


def survey_periods(data_config: ConfigDict) -> np.ndarray:
    """Measure the ridge period of every print of a folder.

    Args:
      data_config: config.data of source "socofing", whose real prints of 96x103 pixels are used, or "impressions".

    Returns:
      float64 [n], pixels of the files; NaN for a print without ridges.

    Raises:
      UserError: another source, no such folder, or a file that is not one of its prints.
    """
    if data_config.source == "socofing":
        images = _read_socofing(data_config.socofing_dir)
    elif data_config.source == "impressions":
        images = [record.image[..., 0] for record in impression_folder.read_records(data_config)]
    else:
        raise UserError(
            f"config.data.source={data_config.source!r}: a sensor's scale is measured in its own files; use "
            "socofing or impressions"
        )
    return np.array([_measure_period(image) for image in images])


def describe_periods(periods: Sequence[float] | np.ndarray) -> str:
    """Format a survey for a terminal."""
    found = np.asarray(periods)[~np.isnan(periods)]
    if not len(found):
        return f"{len(periods):,} prints, none with a ridge period"
    low, first, median, third, high = np.quantile(found, (0.05, 0.25, 0.5, 0.75, 0.95))
    return (
        f"{len(periods):,} prints, {len(periods) - len(found)} without a ridge period\n"
        f"ridge period: median {median:.3f} px (quartiles {first:.3f} and {third:.3f}; 5% below {low:.3f}, 5% above "
        f"{high:.3f})\n"
        f"that is {500 * median / PERIOD_AT_500_PPI:.0f} pixels per inch, at {PERIOD_AT_500_PPI:g} px for 500"
    )


def _read_socofing(socofing_dir: str) -> list[np.ndarray]:
    folder = pathlib.Path(expand_path(socofing_dir)) / "Real"
    if not socofing_dir or not folder.is_dir():
        raise UserError(
            f"config.data.socofing_dir: {socofing_dir!r} holds no folder Real/; name the one that does"
        )
    images = []
    for path in sorted(folder.iterdir()):
        parse_filename(path.name)
        image = image_files.read_image(path, 1)
        if image.shape[1::-1] == preprocessing.SCAN_SIZES[0]:
            images.append(preprocessing.crop_frame(image)[..., 0])
    return images


def _measure_period(image: np.ndarray) -> float:
    factor = math.ceil(_MIN_HEIGHT / image.shape[0])
    return float(measure_ridges(scale_images(image[None], factor, margin=0)).period[0]) / factor
