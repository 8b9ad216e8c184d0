"""Pixel measures of images whose distances are known by hand, and SSIM against its formula."""

import numpy as np
import pytest
from ml_collections import ConfigDict

from fpgan_jax.evaluation.measures import pixels
from fpgan_jax.evaluation.study.findings import MEASURED, REFUSED
from fpgan_jax.evaluation.study.print_collection import CONTROL, POPULATION, REFERENCE, SYNTHETIC, Study
from tests.evaluation.measures.ridge_study import create_collection

SIZE = 12


def flat(*levels):
    return np.stack([np.full((SIZE, SIZE), level, np.uint8) for level in levels])


def create_study(*collections):
    return Study(
        {collection.name: collection for collection in collections}, ConfigDict({"num_resamples": 200})
    )


REAL = create_collection("real", REFERENCE, flat(10, 100, 200), [1, 2, 3])


@pytest.fixture(scope="module")
def findings():
    return pixels.measure(
        create_study(
            REAL,
            create_collection("real_others", POPULATION, flat(55, 130), [8, 9]),
            # Person 1 twice, 2 twice, 3 once, one of nobody.
            create_collection("synthetic", SYNTHETIC, flat(13, 20, 90, 94, 200, 60), [1, 1, 2, 2, 3, -1]),
            create_collection("control_mean_print", CONTROL, flat(103, 103, 103), [1, 2, 3]),
        )
    )


def find(findings, measure, collection):
    (row,) = [r for r in findings.measures if (r.measure, r.collection) == (measure, collection)]
    return row


def find_values(findings, measure, collection):
    return [r.value for r in findings.images if (r.measure, r.collection) == (measure, collection)]


def test_l1_takes_bytes_without_overflow():
    np.testing.assert_array_equal(pixels.compute_l1(flat(10, 200), flat(200, 10)), [190, 190])


def test_l1_is_a_mean_over_pixels():
    image = flat(0)
    image[0, :6] = 100
    assert pixels.compute_l1(image, flat(0))[0] == 50


def test_psnr_by_hand():
    # Differences of 51 are a fifth of 255: 10 log10 25.
    assert pixels.compute_psnr(flat(60), flat(9))[0] == pytest.approx(10 * np.log10(25))


def test_psnr_of_equal_prints_is_finite():
    assert pixels.compute_psnr(flat(60), flat(60))[0] == 100


def test_each_print_is_compared_with_its_own_person(findings):
    np.testing.assert_array_equal(
        find_values(findings, "l1_to_reference", "synthetic"), [3, 10, 10, 6, 0, np.nan]
    )


def test_the_mean_is_over_prints_with_a_reference(findings):
    row = find(findings, "l1_to_reference", "synthetic")
    assert (row.value, row.num_images, row.num_persons) == (5.8, 5, 3)
    # Of three persons Student's interval is wide, and no difference is below 0.
    assert row.low == 0 and row.high > 8


def test_equal_prints_are_noted_beside_psnr(findings):
    assert find(findings, "psnr_to_reference", "synthetic").note == "two equal prints count as 100 dB"
    assert find(findings, "psnr_to_reference", "control_mean_print").note == ""


def test_the_reference_has_no_other_reference(findings):
    row = find(findings, "ssim_to_reference", "real")
    assert (row.status, row.note) == (
        REFUSED,
        "it is the reference, and has one print of each person",
    ) and np.isnan(row.value)


def test_strangers_have_no_reference(findings):
    assert (
        find(findings, "l1_to_reference", "real_others").note == "none of its persons has a reference print"
    )


def test_nearest_reference_may_be_anybodys(findings):
    np.testing.assert_array_equal(
        find_values(findings, "l1_to_nearest_reference", "synthetic"), [3, 10, 10, 6, 0, 40]
    )


def test_nearest_of_the_reference_is_another_persons(findings):
    row = find(findings, "l1_to_nearest_reference", "real")
    assert find_values(findings, "l1_to_nearest_reference", "real") == [90, 90, 100]
    assert row.note == "to the other persons' prints"


def test_two_persons_have_a_value_without_an_interval(findings):
    row = find(findings, "l1_to_nearest_reference", "real_others")
    assert row.value == 37.5 and np.isnan(row.low)
    assert row.note == "no interval: 2 persons, and fewer than 3 give none"


def test_diversity_is_among_one_persons_prints(findings):
    np.testing.assert_array_equal(
        find_values(findings, "l1_within_person", "synthetic"), [7, 7, 4, 4, np.nan, np.nan]
    )
    assert find(findings, "l1_within_person", "synthetic").value == 5.5


def test_diversity_of_single_prints_is_refused(findings):
    row = find(findings, "ssim_within_person", "control_mean_print")
    assert (row.status, row.note) == (REFUSED, "no person has two prints")


def test_the_yardstick_is_among_persons(findings):
    row = find(findings, "l1_between_persons", "real")
    assert row.value == pytest.approx((90 + 190 + 100) / 3)


def test_the_yardstick_takes_each_persons_first_print(findings):
    # 13, 90 and 200; the print of nobody known is left out.
    row = find(findings, "l1_between_persons", "synthetic")
    assert row.value == pytest.approx((77 + 187 + 110) / 3) and row.num_images == 3


def test_the_mean_print_does_not_differ_among_persons(findings):
    assert find(findings, "l1_between_persons", "control_mean_print").value == 0
    assert find(findings, "ssim_between_persons", "control_mean_print").value == pytest.approx(1)


def test_every_measure_has_a_row_of_every_collection(findings):
    measures = {row.measure for row in findings.measures}
    assert len(measures) == 8 and len(findings.measures) == 8 * 4
    assert {row.status for row in findings.measures} == {MEASURED, REFUSED}


def test_many_prints_and_persons_are_cut_and_it_is_said():
    persons = np.repeat(np.arange(1, 25), 1)
    crowd = create_collection("crowd", SYNTHETIC, flat(*range(24)), persons)
    replicas = create_collection("replicas", SYNTHETIC, flat(*range(12)), [1] * 12)
    found = pixels.measure(create_study(REAL, crowd, replicas))
    assert find(found, "l1_between_persons", "crowd").note == "20 of 24 persons"
    row = find(found, "l1_within_person", "replicas")
    assert row.num_images == 10 and row.note.startswith("the first 10 prints of each person")


def test_one_reference_print_has_no_nearest():
    found = pixels.measure(create_study(create_collection("real", REFERENCE, flat(1), [1])))
    assert find(found, "l1_to_nearest_reference", "real").note == "there is no other reference print"
