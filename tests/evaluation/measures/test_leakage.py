"""Leakage from scores made by hand."""

import dataclasses

import numpy as np
import pytest

from fpgan_jax.evaluation.matcher import matching
from fpgan_jax.evaluation.matcher.matching import Matcher
from fpgan_jax.evaluation.measures import leakage
from fpgan_jax.evaluation.statistics import verification
from tests.evaluation.measures.scored_study import (
    HELD_OUT,
    POPULATION,
    REFERENCE,
    SYNTHETIC,
    TableTool,
    create_study,
    prepare_unscaled,
)

STUDY = {
    "real": (REFERENCE, [11, 12], [1, 2]),
    "real_others": (POPULATION, [21, 22], [3, 4]),
    "synthetic_new": (SYNTHETIC, [41, 42, 43], [1, 2, -1]),
}
# Seen from the other side, prints 11 and 12 are 111 and 112.
SCORES = {(41, 11): 20, (41, 12): 30, (42, 22): 90, (43, 11): 40, (42, 111): 50, (12, 111): 6, (21, 12): 8}


@pytest.fixture
def study():
    made = create_study(**STUDY)
    real = made.collections["real"]
    images = real.images.copy()
    images[:, 0, -1] += 100
    return dataclasses.replace(
        made, collections=made.collections | {"real": dataclasses.replace(real, images=images)}
    )


@pytest.fixture
def rows(monkeypatch, study):
    matching._templates.clear()
    monkeypatch.setattr(leakage, "prepare_prints", prepare_unscaled)
    monkeypatch.setattr(verification, "count_needed_impostors", lambda rate: 3)
    found = leakage.measure(study, None, Matcher(TableTool(SCORES), num_workers=0))
    return {(row.measure, row.collection): row for row in found.measures}, found


def test_the_best_score_is_against_any_print_of_the_training_and_no_other(rows):
    # 30 (not the own person's 20), 1 (not the stranger's 90), 40 (of nobody known).
    assert rows[0]["nbis_best_score", "synthetic_new"].value == pytest.approx((30 + 1 + 40) / 3)


def test_the_source_is_the_own_finger_alone(rows):
    # 20 of finger 1 and 1 of finger 2; the third is nobody's. Real impostors score up to 8.
    assert rows[0]["nbis_source_score", "synthetic_new"].value == pytest.approx((20 + 1) / 2)
    row = rows[0]["nbis_source_rate_at_far_0.01", "synthetic_new"]
    assert (row.value, row.num_images) == (0.5, 2)
    # Each finger has one print in the training, and itself is no source.
    assert rows[0]["nbis_source_score", "real"].status == "refused"


def test_the_leak_rate_counts_prints_of_nobody_known_too(rows):
    # Real impostors score up to 8.
    row = rows[0]["nbis_leak_rate_at_far_0.01", "synthetic_new"]
    assert (row.value, row.num_images) == (pytest.approx(2 / 3), 3)


def test_strangers_show_what_chance_does(rows):
    assert rows[0]["nbis_best_score", "real_others"].value == pytest.approx((8 + 1) / 2)


def test_the_training_prints_are_compared_with_one_another_only(rows):
    row = rows[0]["nbis_best_score", "real"]
    assert (row.value, row.note.split(";")[0]) == (1, "each against the other persons' prints")


def test_a_mirrored_copy_is_found_in_the_mirrored_gallery_only(rows):
    assert rows[0]["nbis_mirrored_best_score", "synthetic_new"].value == pytest.approx((1 + 50 + 1) / 3)
    assert rows[0]["nbis_mirrored_leak_rate_at_far_0.01", "synthetic_new"].value == pytest.approx(1 / 3)


# Fingers 1 to 3 have a training print each, 11 to 13, and two held out; 41 is a copy of 11, 42 an impression of 12.
IMPRESSIONS = {
    "real": (REFERENCE, [11, 12, 13], [1, 2, 3]),
    "real_held_out": (HELD_OUT, [21, 22, 23, 24, 25, 26], [1, 1, 2, 2, 3, 3]),
    "real_others": (POPULATION, [31, 32], [4, 5]),
    "synthetic_new": (SYNTHETIC, [41, 42, 43], [1, 2, 3]),
}
# Of the nine pairs of real impressions eight score 60 and one 100, of which 95% score less than 84.
IMPRESSION_SCORES = {
    **{pair: 60 for pair in [(11, 21), (11, 22), (21, 22), (12, 23), (12, 24), (23, 24), (13, 25), (25, 26)]},
    **{(13, 26): 100, (41, 11): 200, (42, 12): 70, (42, 23): 90, (43, 13): 8},
}


@pytest.fixture
def measure_impressions(monkeypatch):
    matching._templates.clear()
    monkeypatch.setattr(leakage, "prepare_prints", prepare_unscaled)
    monkeypatch.setattr(verification, "count_needed_impostors", lambda rate: 3)

    def measure(min_fingers=3):
        monkeypatch.setattr(leakage, "MIN_COPY_FINGERS", min_fingers)
        matcher = Matcher(TableTool(IMPRESSION_SCORES), num_workers=0)
        found = leakage.measure(create_study(**IMPRESSIONS), None, matcher)
        return {(row.measure, row.collection): row for row in found.measures}

    return measure


def test_a_fingers_other_impressions_are_no_leak_of_a_real_print(measure_impressions):
    found = measure_impressions()
    for name in ("real", "real_held_out"):
        assert found["nbis_best_score", name].value == 1
        assert found["nbis_leak_rate_at_far_0.01", name].value == 0
    # All three synthetic prints match a training print; impostors score 1.
    assert found["nbis_leak_rate_at_far_0.01", "synthetic_new"].value == 1


def test_a_copy_scores_higher_than_second_impressions_do(measure_impressions):
    found = measure_impressions()
    threshold = found["nbis_copy_threshold", "real"]
    assert (threshold.value, threshold.num_persons) == (pytest.approx(60 + 0.6 * 40), 3)
    # 200 is a copy's; 70 to the source is not, and 90 is to a held-out impression.
    assert found["nbis_copy_rate", "synthetic_new"].value == pytest.approx(1 / 3)
    # Of six held-out impressions one scores 100 against its training print.
    assert found["nbis_copy_rate", "real_held_out"].value == pytest.approx(1 / 6)


def test_what_second_impressions_score_must_be_known(rows):
    row = rows[0]["nbis_copy_rate", "synthetic_new"]
    assert row.status == "refused" and "one real impression of each finger" in row.note


def test_few_fingers_cannot_tell_what_second_impressions_score(measure_impressions):
    row = measure_impressions(min_fingers=4)["nbis_copy_threshold", "real"]
    assert (row.status, row.note.split(";")[0]) == ("refused", "3 fingers have several real impressions")


def test_comparisons_with_the_mirrored_gallery_are_named_so(rows):
    matches = rows[1].matches
    assert {row.gallery_collection for row in matches} == {"real_mirrored"}
    assert len(matches) == (2 + 2 + 3) * 2
    assert np.max([row.score for row in matches]) == 50
