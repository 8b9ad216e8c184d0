"""Checkerboards, against patterns and noise whose numbers are worked out by hand."""

import warnings

import numpy as np
import pytest
from scipy import ndimage

from configs import test_size
from fpgan_jax.evaluation.measures import checkerboard
from fpgan_jax.evaluation.study import print_collection
from fpgan_jax.evaluation.study.print_collection import PrintCollection, Study


def draw_checkerboard(height, width, amplitude):
    """Draw a checkerboard about 128: [height, width]."""
    rows, columns = np.mgrid[:height, :width]
    return 128 + amplitude * (1 - 2 * ((rows + columns) % 2))


def measure_one(image):
    found = checkerboard.measure_checkerboards(image[None].astype(np.uint8))
    return {period: values[0] for period, values in found.items()}


# A Hann window of N pixels sums to N / 2, its squares to 3 N / 8; a wave's power is 1, 1/4 and 1/4 of its line's in the
# line and beside it. So a wave exp(i k x) of amplitude a has a^2 N 2/3 (1 + 1/4 + 1/4) = a^2 N in three entries, and
# a^2 height width in the 3x3, of which the mean is taken. Rounding adds 1/12 to it and to the 0 around.
@pytest.mark.parametrize(
    ("height", "width", "amplitude"), [(32, 32, 1), (64, 64, 2), (48, 72, 2), (128, 128, 100)]
)
def test_a_checkerboard_on_gray(height, width, amplitude):
    # In one of three lines: (1 + 1 + 1 + 12 a^2 height width / 9) / 3.
    expected = 10 * np.log10(1 + 4 * amplitude**2 * height * width / 9)
    assert measure_one(draw_checkerboard(height, width, amplitude))[2] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("axis", [0, 1])
def test_stripes_of_two_pixels_on_gray(axis):
    image = 128 + 3 * (1 - 2 * (np.mgrid[:64, :96][axis] % 2))
    expected = 10 * np.log10(1 + 4 * 9 * 64 * 96 / 9)
    assert measure_one(image)[2] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("axis", [0, 1])
def test_stripes_of_four_pixels_on_gray(axis):
    # 4 cos: an amplitude of 2 in two of twelve lines: (12 + 2 * 12 * 2^2 height width / 9) / 12.
    image = 128 + np.array([4, 0, -4, 0])[np.mgrid[:64, :96][axis] % 4]
    expected = 10 * np.log10(1 + 8 * 64 * 96 / 9)
    assert measure_one(image)[4] == pytest.approx(expected, abs=1e-6)


def test_a_pattern_is_of_one_period():
    assert measure_one(draw_checkerboard(32, 64, 50))[4] == pytest.approx(0, abs=1e-6)


def test_a_shorter_period_has_no_part_in_a_longer_ones_lines():
    image = 128 + np.array([40, 0, -40, 0])[np.mgrid[:32, :64][0] % 4]
    assert measure_one(image)[2] == pytest.approx(0, abs=1e-6)


def test_a_checkerboard_of_two_pixels_a_square_on_gray():
    # Of 12 lines 4 have it, each (0.5 a)^2 of its power, where squares of one pixel put a^2 into one of three.
    rows, columns = np.mgrid[:64, :96] // 2
    image = 128 + 4 * (1 - 2 * ((rows + columns) % 2))
    expected = 10 * np.log10(1 + 4**2 * 64 * 96 / (108 / 12))
    assert measure_one(image)[4] == pytest.approx(expected, abs=1e-6)


def draw_noise(num_images, size, *, deviation=20.0, seed=0):
    return 128 + np.random.default_rng(seed).normal(0, deviation, (num_images, size, size))


@pytest.mark.parametrize("period", checkerboard.PERIODS)
def test_white_noise_has_none(period):
    noise = draw_noise(200, 64).astype(np.uint8)
    assert checkerboard.measure_checkerboards(noise)[period].mean() == pytest.approx(0, abs=0.5)


def test_a_checkerboard_in_white_noise():
    # One line in three: 1 + a^2 height width / 9 / (3 s^2) = 1 + 4 * 64^2 / (27 * 20^2) is 4.0 dB.
    images = np.rint(draw_noise(400, 64) + 2 * (draw_checkerboard(64, 64, 1) - 128))
    found = 10 ** (checkerboard.measure_checkerboards(images.astype(np.uint8))[2] / 10)
    assert 10 * np.log10(found.mean()) == pytest.approx(4.0, abs=0.5)


@pytest.mark.parametrize("sigma", [0.7, 1.0, 1.5])
@pytest.mark.parametrize("period", checkerboard.PERIODS)
def test_a_smooth_image_has_none(period, sigma):
    smooth = ndimage.gaussian_filter(draw_noise(120, 128) - 128, (0, sigma, sigma), mode="wrap")
    images = np.rint(128 + 40 * smooth / smooth.std()).clip(0, 255).astype(np.uint8)
    assert checkerboard.measure_checkerboards(images)[period].mean() == pytest.approx(0, abs=1)


def upsample(size, kernel_size):
    """Let a kernel of equal weights spread waves two pixels apart."""
    rows, columns = np.mgrid[:size, :size]
    inserted = np.zeros((2 * size, 2 * size))
    inserted[::2, ::2] = 60 + 20 * np.sin(rows / 1.5) * np.cos(columns / 1.5)
    return ndimage.convolve(inserted, np.ones((kernel_size, kernel_size)) * 4 / kernel_size**2)


def test_a_kernel_that_the_stride_does_not_divide_leaves_a_checkerboard():
    assert measure_one(upsample(64, 3))[2] > 30


def test_a_kernel_that_the_stride_divides_leaves_none():
    assert measure_one(upsample(64, 4))[2] == pytest.approx(0, abs=1)


def test_what_is_fainter_than_rounding_is_not_seen():
    image = np.full((64, 64), 200)
    image[32, 32] = 201
    found = measure_one(image)
    assert [found[2], found[4]] == pytest.approx([0, 0], abs=0.05)


def test_across_is_as_down():
    image = draw_noise(1, 96)[0, :64]
    assert measure_one(image.T) == pytest.approx(measure_one(image))


def test_sides_need_not_be_whole_patterns():
    image = draw_noise(1, 67)[0]
    assert measure_one(image[:, :66]) == pytest.approx(measure_one(image[:64, :64]))


@pytest.mark.parametrize("level", [0, 200, 255])
def test_a_blank_print_has_no_number_and_no_warning(level):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = measure_one(np.full((64, 64), level))
    assert np.isnan(found[2]) and np.isnan(found[4])


def test_prints_measured_together_are_measured_as_alone():
    images = draw_noise(18, 32).astype(np.uint8)
    together = checkerboard.measure_checkerboards(images)[2]
    np.testing.assert_allclose(together, [measure_one(image)[2] for image in images], rtol=1e-9)


def test_no_prints_give_no_numbers():
    assert checkerboard.measure_checkerboards(np.zeros((0, 64, 64), np.uint8))[4].shape == (0,)


def create_study(frame, size=64):
    config = test_size.get_config()
    config.data.image_size, config.data.frame = size, frame
    images = draw_noise(3, size).astype(np.uint8)
    blank = np.full_like(images, 255)
    # The frame of an empty scan, thicker than it is; a pattern on it is none of the print's.
    blank[:, :2], blank[:, 1::2, -3:] = 100, 0
    persons, names = np.array([1, 2, 3], np.int32), ("a", "b", "c")
    collections = {
        name: PrintCollection(name, role, shown, persons, names)
        for name, role, shown in (
            ("real", print_collection.REFERENCE, images),
            ("control_bare_frame", print_collection.CONTROL, blank),
        )
    }
    return Study(collections, config.evaluation), config.data


def measure_rows(*study):
    return {(row.measure, row.collection): row for row in checkerboard.measure(*study).measures}


def test_every_collection_is_measured():
    study, data_config = create_study("crop")
    row = measure_rows(study, data_config)["checkerboard_2px", "real"]
    expected = checkerboard.measure_checkerboards(study.reference.images)[2].mean()
    assert (row.value, row.unit, row.better, row.num_persons) == (pytest.approx(expected), "dB", "real", 3)


def test_every_print_has_a_value():
    assert len(checkerboard.measure(*create_study("crop")).images) == 12


def test_the_scanners_frame_has_no_part_in_it():
    row = measure_rows(*create_study("keep"))["checkerboard_2px", "control_bare_frame"]
    assert (row.status, row.note) == ("refused", "no print has a value")


def test_blank_prints_are_told():
    study, data_config = create_study("crop")
    study.reference.images[0] = 7
    assert measure_rows(study, data_config)["checkerboard_4px", "real"].note.startswith("blank prints: 1;")


def test_prints_too_small_for_a_pattern_are_refused():
    rows = measure_rows(*create_study("crop", size=28))
    assert len(rows) == 4 and {(row.status, row.better) for row in rows.values()} == {("refused", "real")}
    assert "28x28 pixels are too small" in rows["checkerboard_2px", "real"].note
