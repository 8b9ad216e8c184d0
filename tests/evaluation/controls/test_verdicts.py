"""Verdicts from rows made by hand: what is compared with what, and how."""

import math

import numpy as np
import pytest
from ml_collections import ConfigDict
from scipy import stats

from fpgan_jax.evaluation.controls import verdicts
from fpgan_jax.evaluation.study import print_collection
from fpgan_jax.evaluation.study.findings import REFUSED, ImageRow, MeasureRow
from fpgan_jax.evaluation.study.print_collection import Study
from tests.evaluation.measures.ridge_study import create_collection
from tests.evaluation.measures.scored_study import BASELINE, HELD_OUT, POPULATION, REFERENCE, create_study
from tests.evaluation.study import made_up_study

NAN = float("nan")
ROLES = {
    "real": print_collection.REFERENCE,
    "altered_easy": print_collection.BASELINE,
    "altered_hard": print_collection.BASELINE,
    "synthetic_new": print_collection.SYNTHETIC,
    "control_blurred": print_collection.CONTROL,
}
SCORE = "nbis_genuine_score"


@pytest.fixture(scope="module")
def study():
    blank = np.zeros((1, 2, 2), np.uint8)
    return Study(
        {name: create_collection(name, role, blank, [1]) for name, role in ROLES.items()}, ConfigDict()
    )


def create_row(collection, value, low=NAN, high=NAN, *, measure=SCORE, better="higher", **fields):
    return MeasureRow("identity", measure, collection, value, low, high, 5, 5, better=better, **fields)


def create_images(collection, values, measure=SCORE):
    return [
        ImageRow(measure, collection, person, f"{place}.png", value)
        for place, (person, value) in enumerate(values)
    ]


def test_persons_are_compared_each_with_themself(study):
    # Means 71 and 119 of persons who differ by as much again, all lower by about 48.
    real = [(1, 60.0), (2, 90), (3, 119), (4, 148), (5, 178)]
    own = [(1, 20.0), (2, 40), (3, 71), (4, 94), (5, 130)]
    rows = [create_row("altered_hard", 119, 60, 178), create_row("synthetic_new", 71, 20, 130)]
    images = [*create_images("altered_hard", real), *create_images("synthetic_new", own)]
    (row,) = verdicts.judge_synthetic(study, rows, images)
    expected = stats.ttest_rel([v for _, v in own], [v for _, v in real]).confidence_interval(0.95)
    np.testing.assert_allclose((row.difference, row.low, row.high), (-48, *expected))
    assert (row.nearest, row.num_paired, row.margin, row.verdict) == ("altered_hard", 5, 10, "worse")


def test_a_rate_is_compared_by_both_intervals(study):
    rate = "nbis_match_rate_at_far_0.01"
    rows = [
        create_row("altered_easy", 1.0, 0.5, 1.0, measure=rate),
        create_row("synthetic_new", 0.0, 0.0, 0.4, measure=rate),
    ]
    # Though every print has a number: persons' differences are all the same.
    images = [
        *create_images("altered_easy", [(1, 1.0), (2, 1), (3, 1)], rate),
        *create_images("synthetic_new", [(1, 0.0), (2, 0), (3, 0)], rate),
    ]
    (row,) = verdicts.judge_synthetic(study, rows, images)
    assert (row.difference, row.low, row.num_paired) == (-1, -1, 0)
    assert row.high == pytest.approx(-1 + math.hypot(0.4, 0.5)) and row.verdict == "worse"


def test_the_nearest_real_prints_are_named_and_all_are_judged_by(study):
    rows = [
        create_row("altered_easy", 271, 250, 290),
        create_row("altered_hard", 134, 120, 150),
        create_row("synthetic_new", 150, 140, 160),
    ]
    # Between the two, so that it is as some real prints are or more, and as some are or less.
    (row,) = verdicts.judge_synthetic(study, rows, [])
    assert (row.nearest, row.difference, row.verdict) == ("altered_hard", 16, "equivalent")


@pytest.mark.parametrize(
    "other", [create_row("control_blurred", 1, 0, 2), create_row("synthetic_new", NAN, status=REFUSED)]
)
def test_what_is_no_number_of_synthetic_prints_is_not_judged(study, other):
    assert verdicts.judge_synthetic(study, [create_row("altered_easy", 1, 0, 2), other], []) == []


def test_what_has_no_better_direction_is_not_judged(study):
    rows = [create_row(name, 1, 0, 2, better="") for name in ("altered_easy", "synthetic_new")]
    assert verdicts.judge_synthetic(study, rows, []) == []


def test_without_real_prints_nothing_is_judged(study):
    rows = [create_row("control_blurred", 1, 0, 2), create_row("synthetic_new", 1, 0, 2)]
    assert verdicts.judge_synthetic(study, rows, []) == []


@pytest.mark.parametrize(
    ("measure", "margin"),
    [
        ("nbis_match_rate_at_far_0.001", 0.05),
        ("fingerprint_recognition_mirrored_leak_rate_at_far_0.01", 0.05),
        ("similarity_frame_crop", 0.05),
        ("lost_share", 0.05),
        ("ssim_within_person", 0.05),
        ("l1_to_nearest_reference", 5),
        ("ridge_period", 0.15),  # 3% of 5 pixels
    ],
)
def test_margins(measure, margin):
    assert verdicts.find_margin(measure, 5.0) == pytest.approx(margin)


def test_every_measure_of_a_report_has_a_margin_but_distances_of_distributions():
    study = made_up_study.create_study(num_persons=2, num_replicas=1, size=16)
    measures = {row.measure for row in made_up_study.create_measures(study) if row.better}
    missing = {measure for measure in measures if math.isnan(verdicts.find_margin(measure, 1.0))}
    assert missing <= {"kid", "frechet_distance", "frechet_distance_all_features"}


COLLECTIONS = {
    "real": (REFERENCE, [1], [1]),
    "real_held_out": (HELD_OUT, [2], [1]),
    "real_others": (POPULATION, [3], [2]),
    "altered_easy": (BASELINE, [4], [1]),
}


@pytest.mark.parametrize(
    ("family", "measure", "expected"),
    [
        ("identity", "nbis_match_rate_at_far_0.01", ["real_held_out"]),
        ("identity", "nbis_failure_to_enrol", ["real", "real_held_out", "real_others"]),
        ("identity", "fingerprint_recognition_failure_to_enrol", ["real", "real_held_out", "real_others"]),
        ("leakage", "nbis_leak_rate_at_far_0.01", ["real_others"]),
        ("leakage", "nbis_copy_rate", ["real_held_out"]),
        ("pixels", "ssim_to_reference", ["real_held_out"]),
        ("quality", "nfiq2", ["real", "real_held_out", "real_others"]),
    ],
)
def test_held_out_impressions_are_real_against_real(family, measure, expected):
    rows = [MeasureRow(family, measure, name, 1.0, 0.5, 1.5, 1, 1) for name in COLLECTIONS]
    assert [row.collection for row in verdicts.choose_real(create_study(**COLLECTIONS), rows)] == expected
