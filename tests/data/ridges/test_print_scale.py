"""What is known of a sensor's scale: the ridge period and the stretch of a config's images."""

import pytest

from configs import test_size
from fpgan_jax.data.ridges import print_scale


def create_data_config(frame="crop", source="socofing", size=128):
    data = test_size.get_config().data
    data.frame, data.source, data.image_size = frame, source, size
    return data


def test_the_images_resolution_counts_before_the_sensors():
    data = create_data_config(source="impressions")
    data.sensor_ppi, data.image_ppi = 500.0, 250.0
    assert print_scale.find_sensor_period(data) == pytest.approx(4.5)


def test_pairs_of_unknown_origin_have_no_sensor():
    assert print_scale.find_sensor_period(create_data_config(source="paired_folder")) == 0


@pytest.mark.parametrize(
    ("frame", "source", "stretch"),
    [
        ("keep", "socofing", 103 / 96),
        ("crop", "npz", 97 / 90),
        ("keep", "paired_folder", 1),
        ("keep", "impressions", 1),
    ],
)
def test_square_prints_are_too_wide_by_as_much_as_the_scans_are_tall(frame, source, stretch):
    assert print_scale.find_stretch(create_data_config(frame, source)) == pytest.approx(stretch)


def test_an_archive_of_another_sensor_is_not_stretched():
    data = create_data_config("keep", "npz")
    data.image_ppi = 500.0
    assert print_scale.find_stretch(data) == 1


def test_scans_in_their_own_size_are_not_stretched():
    data = create_data_config("keep", "socofing")
    data.image_size, data.image_width = 103, 96
    assert print_scale.find_stretch(data) == pytest.approx(1)


def test_a_squeezed_print_has_more_pixels_an_inch_across_than_down():
    # 500 / 9 of a period of 3.136 pixels in a scan, enlarged by 128 / 97 down and by 128 / 90 across.
    down, across = print_scale.find_resolution(create_data_config())
    assert (down, across) == pytest.approx((174.22 * 128 / 97, 174.22 * 128 / 90), rel=1e-4)
    assert print_scale.write_resolution((down, across)) == "247.8x229.9"


@pytest.mark.parametrize(
    ("text", "resolution"),
    [
        ("238.7", (238.7, 238.7)),
        ("248x230", (230, 248)),
        ("", None),
        ("0", None),
        ("1x2x3", None),
        ("inf", None),
    ],
)
def test_a_resolution_is_read_as_it_was_written(text, resolution):
    assert print_scale.parse_resolution(text) == resolution
    if resolution:
        assert print_scale.write_resolution(resolution) == text
