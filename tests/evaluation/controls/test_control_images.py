"""Controls: each is wrong in the way that its name says, and right in all others."""

import numpy as np
import pytest

from configs import twin_p50
from fpgan_jax.data import preprocessing
from fpgan_jax.data.procedural.impressions import create_empty_scan
from fpgan_jax.evaluation.controls import control_images
from fpgan_jax.evaluation.study.print_collection import POPULATION, REFERENCE
from tests.evaluation.measures.ridge_study import create_collection, draw_ridges

PERSONS = (3, 5, 8)


@pytest.fixture(scope="module")
def data():
    return twin_p50.get_config().data


@pytest.fixture(scope="module")
def real():
    return create_collection("real", REFERENCE, [draw_ridges(person) for person in PERSONS], PERSONS)


@pytest.fixture(scope="module")
def others():
    persons = range(20, 27)
    return create_collection("real_others", POPULATION, [draw_ridges(person) for person in persons], persons)


@pytest.fixture(scope="module")
def made(real, others, data):
    return {control.name: control for control in control_images.create_controls(real, others, data, seed=4)}


def test_all_are_there_in_order(made):
    assert list(made) == list(control_images.DESCRIPTIONS)
    assert all(control.description for control in made.values())


def test_each_has_a_print_of_each_person(made):
    assert all(tuple(control.persons) == PERSONS for control in made.values())


def test_all_filenames_differ(made):
    names = [name for control in made.values() for name in control.filenames]
    assert len(set(names)) == len(names) == 33


def test_of_a_finger_with_several_impressions_the_first_is_taken_and_another_finger_follows(data):
    ridges = [draw_ridges(number) for number in range(5)]
    real = create_collection("real", REFERENCE, ridges, (3, 3, 5, 5, 5))
    made = {control.name: control for control in control_images.create_controls(real, None, data, seed=0)}
    np.testing.assert_array_equal(made["control_exact_copy"].images, real.images[[0, 2]])
    np.testing.assert_array_equal(made["control_other_person"].images, real.images[[2, 0]])


def test_other_persons_are_strangers_each_once(made, others):
    found = [
        [place for place, image in enumerate(others.images) if (image == control).all()]
        for control in made["control_other_person"].images
    ]
    assert sorted(found) == [[0], [2], [4]]


def test_without_strangers_other_persons_are_the_next(real, data):
    made = control_images.create_controls(real, None, data, seed=0)
    np.testing.assert_array_equal(made[0].images, real.images[[1, 2, 0]])


def test_one_person_alone_has_no_other(real, data):
    alone = create_collection("real", REFERENCE, real.images[:1], PERSONS[:1])
    names = [control.name for control in control_images.create_controls(alone, None, data, seed=0)]
    left_out = {"control_other_person", "control_average_of_two", "control_mosaic"}
    assert names == [name for name in control_images.DESCRIPTIONS if name not in left_out]


def test_white_noise_has_all_gray_levels_equally_often(made):
    images = made["control_white_noise"].images
    counts = np.bincount(images.ravel(), minlength=256)
    expected = images.size / 256
    # Chi-square with 255 degrees of freedom: mean 255, deviation 22.6.
    assert 255 - 90 < ((counts - expected) ** 2 / expected).sum() < 255 + 90


def test_white_noise_of_two_persons_differs(made):
    first, second = made["control_white_noise"].images[:2]
    assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 0.05


def test_low_pass_noise_is_smooth(made):
    def correlate(images, shift):
        return np.corrcoef(images[:, :, shift:].ravel(), images[:, :, :-shift].ravel())[0, 1]

    images = made["control_low_pass_noise"].images.astype(float)
    # Gaussian smoothing of white noise by sigma correlates pixels at d by exp(-d^2 / (4 sigma^2)): 0.75 for the next
    # one with sigma = 0.2 * 4.6. Clipped grays lower it a little.
    assert 0.6 < correlate(images, 1) < 0.8
    assert abs(correlate(images, 6)) < 0.05


def test_low_pass_noise_has_the_mean_of_the_prints(made, real):
    means = made["control_low_pass_noise"].images.mean((1, 2))
    np.testing.assert_allclose(means, real.images.mean((1, 2)), atol=8)


def test_blurring_leaves_a_tenth_of_the_ridges_contrast(data):
    # Straight ridges, 28 to the image, of a sensor that nobody knows.
    data = data.copy_and_resolve_references()
    data.source = "paired_folder"
    columns = np.arange(128)
    wave = np.broadcast_to(128 + 100 * np.cos(2 * np.pi * columns * 28 / 128), (128, 128))
    real = create_collection("real", REFERENCE, np.rint(wave)[None], [1])
    made = {control.name: control for control in control_images.create_controls(real, None, data, seed=0)}
    inner = made["control_blurred"].images[0, :, 16:-16].astype(float)
    assert inner.std() == pytest.approx(0.1 * 100 / np.sqrt(2), abs=0.5)


def test_mean_print_is_everyones(made, real):
    expected = np.rint(real.images.astype(float).mean(0))
    np.testing.assert_array_equal(made["control_mean_print"].images, np.stack([expected] * 3))


def test_average_is_with_the_next_person(made, real):
    expected = np.rint((real.images[2].astype(float) + real.images[0]) / 2)
    np.testing.assert_array_equal(made["control_average_of_two"].images[2], expected)


def test_mosaic_is_half_and_half(made, real):
    mosaic = made["control_mosaic"].images[0]
    np.testing.assert_array_equal(mosaic[:, :64], real.images[0, :, :64])
    np.testing.assert_array_equal(mosaic[:, 64:], real.images[1, :, 64:])


def test_mirrored_exchanges_left_and_right(made, real):
    np.testing.assert_array_equal(made["control_mirrored"].images, real.images[:, :, ::-1])


def test_bare_frame_is_white_where_the_frame_is_cropped(made):
    assert (made["control_bare_frame"].images == 255).all()


def test_exact_copy_is_the_print(made, real):
    np.testing.assert_array_equal(made["control_exact_copy"].images, real.images)


def test_checkered_is_lighter_and_darker_by_four_levels(made, real):
    signs = np.tile([[1, -1], [-1, 1]], (64, 64))
    expected = np.clip(real.images + 4 * signs, 0, 255)
    np.testing.assert_array_equal(made["control_checkered"].images, expected)


def test_the_same_seed_makes_the_same(made, real, others, data):
    again = control_images.create_controls(real, others, data, seed=4)
    assert all((control.images == made[control.name].images).all() for control in again)


def test_another_seed_makes_other_noise(made, real, others, data):
    again = control_images.create_controls(real, others, data, seed=5)
    names = [control.name for control in again if (control.images != made[control.name].images).any()]
    assert names == ["control_white_noise", "control_low_pass_noise"]


def test_prints_of_another_size_are_refused(real, data):
    small = create_collection("real", REFERENCE, real.images[:, :64, :64], PERSONS)
    with pytest.raises(ValueError, match=r"images \(64, 64\), but config\.data makes them \(128, 128\)"):
        control_images.create_controls(small, None, data, seed=0)


def test_prints_without_ridges_have_controls_too(data):
    blank = create_collection("real", REFERENCE, np.full((2, 128, 128), 255), [1, 2])
    assert len(control_images.create_controls(blank, None, data, seed=0)) == 11


def test_where_the_frame_is_kept_a_control_has_it():
    data = twin_p50.get_config().data
    data.frame = "keep"
    scans = [np.full((103, 96), gray, np.uint8) for gray in (90, 120, 150)]
    empty = create_empty_scan()
    for scan in scans:
        scan[np.where(empty != 255)] = empty[np.where(empty != 255)]
        scan[40:60, 20:40] = 0
    images = [preprocessing.preprocess_print(scan, data)[..., 0] for scan in scans]
    real = create_collection("real", REFERENCE, images, PERSONS)
    expected = preprocessing.preprocess_print(empty, data)[..., 0]
    for control in control_images.create_controls(real, None, data, seed=0):
        # The black band below and to the right, and the bevel's first line; interpolation blurs what is next to them.
        np.testing.assert_array_equal(control.images[:, 126:], np.stack([expected[126:]] * 3))
        np.testing.assert_array_equal(control.images[:, :, 126:], np.stack([expected[:, 126:]] * 3))
        np.testing.assert_allclose(control.images[:, 0, 5:120].astype(int), expected[0, 60], atol=1)


def test_where_the_frame_is_kept_only_what_is_within_is_mirrored():
    data = twin_p50.get_config().data
    data.frame = "keep"
    scan = create_empty_scan()
    scan[40:60, 4:24] = 0
    image = preprocessing.preprocess_print(scan, data)[..., 0]
    real = create_collection("real", REFERENCE, image[None], [1])
    made = {control.name: control for control in control_images.create_controls(real, None, data, seed=0)}
    # The patch lay 2 px from the left edge of the inside, columns 2-91 of 96: now columns 70-89.
    row = made["control_mirrored"].images[0, 64]
    assert (row[10:85] > 200).all() and (row[96:116] < 20).all()
