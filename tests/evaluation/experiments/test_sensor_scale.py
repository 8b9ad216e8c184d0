"""The survey of a sensor's ridge period, on ridges drawn by hand."""

import numpy as np
import pytest
from PIL import Image

from configs import test_size
from fpgan_jax.data.procedural.impressions import create_empty_scan
from fpgan_jax.errors import UserError
from fpgan_jax.evaluation.experiments import sensor_scale
from tests.evaluation.matcher.test_ridge_spectrum import draw_wave


@pytest.fixture
def data(tmp_path):
    data = test_size.get_config().data
    data.impressions_dir = data.socofing_dir = str(tmp_path)
    return data


def test_periods_are_in_the_files_own_pixels(data, tmp_path):
    data.source = "impressions"
    for number, period in enumerate((8, 9, 10)):
        Image.fromarray(draw_wave(300, period, 30)).save(tmp_path / f"1_{number}.png")
    np.testing.assert_allclose(sensor_scale.survey_periods(data), [8, 9, 10], rtol=0.02)


def test_of_socofing_every_fingers_small_scans_are_taken_without_their_frame(data, tmp_path):
    data.source = "socofing"
    (tmp_path / "Real").mkdir()
    for name, period in (("1__M_Left_thumb", 3.2), ("1__M_Right_index", 3.0)):
        scan = create_empty_scan()
        scan[2:99, 2:92] = draw_wave(128, period, 30)[:97, :90]
        Image.fromarray(scan).save(tmp_path / "Real" / f"{name}_finger.BMP")
    Image.fromarray(create_empty_scan("241x298")).save(tmp_path / "Real" / "2__M_Left_thumb_finger.BMP")
    np.testing.assert_allclose(sensor_scale.survey_periods(data), [3.2, 3.0], rtol=0.03)


def test_the_median_and_what_it_means_are_printed():
    text = sensor_scale.describe_periods([8.0, 9.0, 10.0, float("nan")])
    assert text.startswith("4 prints, 1 without a ridge period\nridge period: median 9.000 px")
    assert "that is 500 pixels per inch" in text


def test_an_archive_has_no_files_of_its_own(data):
    data.source = "npz"
    with pytest.raises(UserError, match="use socofing or impressions"):
        sensor_scale.survey_periods(data)
