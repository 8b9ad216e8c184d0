"""The way to 500 ppi: the factor from known ridges, the proportions, the margin."""

import numpy as np
import pytest

from configs import test_size
from fpgan_jax.data.ridges import print_scale
from fpgan_jax.evaluation.matcher import resolution
from fpgan_jax.evaluation.matcher.ridge_spectrum import measure_ridges
from fpgan_jax.evaluation.study import print_collection
from fpgan_jax.evaluation.study.print_collection import PrintCollection, Study
from tests.evaluation.matcher.test_ridge_spectrum import draw_wave


def create_data_config(frame="crop", source="socofing", size=128):
    data = test_size.get_config().data
    data.frame, data.source, data.image_size = frame, source, size
    return data


def create_study(references, others):
    """Create a study of a reference and a synthetic collection."""
    size = len(references[0])
    made = {
        "real": PrintCollection(
            "real", print_collection.REFERENCE, np.stack(references), np.arange(len(references), dtype=np.int32),
            tuple(map(str, range(len(references)))),
        ),
        "synthetic": PrintCollection(
            "synthetic", print_collection.SYNTHETIC, np.stack(others), np.arange(len(others), dtype=np.int32),
            tuple(map(str, range(len(others)))),
        ),
    }  # fmt: skip
    assert size == made["real"].images.shape[1]
    return Study(made, test_size.get_config().evaluation)


def test_the_factor_comes_from_the_references_ridges():
    study = create_study([draw_wave(128, period, 45) for period in (4, 5, 6)], [draw_wave(128, 3, 0)])
    prepared = resolution.prepare_prints(study, create_data_config(source="paired_folder"))
    assert prepared.factor == pytest.approx(9 / 5, rel=0.02)


def test_the_references_come_out_with_the_period_that_tools_expect():
    study = create_study([draw_wave(128, 5, degrees) for degrees in (0, 45, 90)], [draw_wave(128, 5, 0)])
    prepared = resolution.prepare_prints(study, create_data_config(source="paired_folder"))
    inside = prepared.images["real"][:, 24:-24, 24:-24]
    np.testing.assert_allclose(measure_ridges(inside).period, 9, rtol=0.03)


def test_a_synthetic_print_of_another_period_keeps_it():
    study = create_study([draw_wave(128, 5, degrees) for degrees in (0, 45, 90)], [draw_wave(128, 4, 45)])
    prepared = resolution.prepare_prints(study, create_data_config(source="paired_folder"))
    inside = prepared.images["synthetic"][:, 24:-24, 24:-24]
    assert measure_ridges(inside).period[0] == pytest.approx(9 * 4 / 5, rel=0.03)


def test_blank_references_have_no_scale():
    blank = np.full((128, 128), 255, np.uint8)
    with pytest.raises(resolution.NoScaleError, match="no ridge period"):
        resolution.prepare_prints(create_study([blank], [blank]), create_data_config(source="paired_folder"))


def test_a_sensors_scale_is_not_asked_of_its_prints():
    # Whatever their ridges: 512 pixels per inch, and SOCOFing's scan enlarged from 90 x 97 to 128 x 128.
    for period in (4, 6):
        study = create_study([draw_wave(128, period, 45)], [draw_wave(128, period, 0)])
        data = create_data_config(source="impressions")
        data.sensor_ppi = 512.0
        assert resolution.prepare_prints(study, data).factor == pytest.approx(500 / 512)
        factor = resolution.prepare_prints(study, create_data_config()).factor
        assert factor == pytest.approx(9 / (print_scale.SOCOFING_PERIOD * np.sqrt(128 / 90 * 128 / 97)))


def test_a_whole_image_of_a_known_sensor_is_matched_as_it_is():
    image = draw_wave(128, 9, 45)
    data = create_data_config(source="impressions")
    data.sensor_ppi = 500.0
    prepared = resolution.prepare_prints(create_study([image], [image]), data)
    assert prepared.margin == 0
    np.testing.assert_array_equal(prepared.images["real"][0], image)


def test_undoing_the_stretch_gives_upright_and_level_ridges_one_period():
    # Ridges of 9 pixels in a scan of 90 x 97, made square at 256: 9 * 256 / 90 / 2.7 across, 9 * 256 / 97 / 2.7 down.
    across, down = 9 * 256 / 90 / 2.7, 9 * 256 / 97 / 2.7
    images = np.stack([draw_wave(256, across, 0), draw_wave(256, down, 90)])
    scaled = print_scale.scale_images(images, 1.0, 97 / 90)[:, 24:-24, 24:-24]
    level, upright = measure_ridges(scaled).period
    assert level == pytest.approx(upright, rel=0.02)


def test_the_shape_after_scaling_by_hand():
    # 100 * 2 * sqrt(1.21) = 220, 100 * 2 / sqrt(1.21) = 181.8; and 24 on each side.
    assert print_scale.scale_images(np.zeros((2, 100, 100), np.uint8), 2, 1.21).shape == (2, 268, 230)


def test_the_margin_is_white():
    scaled = print_scale.scale_images(np.zeros((1, 10, 10), np.uint8), 1)
    assert (scaled[0, :24] == 255).all() and (scaled[0, :, -24:] == 255).all() and scaled[0, 24, 24] == 0


def test_the_frame_is_cut_away():
    framed = draw_wave(128, 5, 45)
    framed[:, -4:] = framed[-4:] = 0
    prepared = resolution.prepare_prints(create_study([framed], [framed]), create_data_config("keep"))
    height, width = prepared.images["real"][0, 24:-24, 24:-24].shape
    # Rows 3-122 and columns 3-121 of 128 are whole and inside.
    assert height / width == pytest.approx(120 / 119 * 103 / 96, rel=0.01)
    assert prepared.images["real"][0, 24:-24, 24:-24][-1].min() > 0


def test_references_too_small_have_no_scale():
    small = draw_wave(32, 4, 0)
    with pytest.raises(resolution.NoScaleError, match="32x32 pixels are too small"):
        resolution.find_period(small[None])
