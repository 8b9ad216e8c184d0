"""Identity from scores made by hand: what is genuine, what an impostor, and what is refused."""

import dataclasses

import numpy as np
import pytest

from fpgan_jax.evaluation.matcher import gallery, matching
from fpgan_jax.evaluation.matcher.matching import Matcher
from fpgan_jax.evaluation.matcher.resolution import NoScaleError
from fpgan_jax.evaluation.measures import comparisons, identity
from fpgan_jax.evaluation.measures.family import Tools
from fpgan_jax.evaluation.statistics import verification
from tests.evaluation.measures import scored_study
from tests.evaluation.measures.scored_study import (
    BASELINE,
    HELD_OUT,
    POPULATION,
    REFERENCE,
    SYNTHETIC,
    TableTool,
    create_study,
    prepare_unscaled,
)

# Prints 11, 12, 13 are of persons 1, 2, 3, who are the reference; 21 to 24 are of persons 4 to 7.
STUDY = {
    "real": (REFERENCE, [11, 12, 13], [1, 2, 3]),
    "real_others": (POPULATION, [21, 22, 23, 24], [4, 5, 6, 7]),
    "altered_easy": (BASELINE, [31, 32, 33], [1, 2, 3]),
    "synthetic_new": (SYNTHETIC, [41, 42, 43, 44], [1, 2, 3, -1]),
}
SCORES = {
    (11, 12): 5,
    (11, 21): 7,
    (31, 11): 90,
    (32, 12): 80,
    (33, 13): 70,
    (31, 12): 9,
    (41, 11): 60,
    (41, 12): 30,
    (42, 12): 8,
    (42, 22): 12,
    (43, 13): 20,
    (44, 11): 99,
}


@pytest.fixture(autouse=True)
def forget_templates():
    matching._templates.clear()


@pytest.fixture(autouse=True)
def unscaled(monkeypatch):
    monkeypatch.setattr(identity, "prepare_prints", prepare_unscaled)


def create_matcher(scores=SCORES):
    return Matcher(TableTool(scores), num_workers=0)


def compare(study=STUDY, scores=SCORES):
    made = create_study(**study)
    return comparisons.compare_with_gallery(made, prepare_unscaled(made, None), create_matcher(scores))


@pytest.fixture
def few_impostors_do(monkeypatch):
    """Let 1% be told from 20 pairs of persons, so that it is: of 39 comparisons, none may pass."""
    monkeypatch.setattr(verification, "count_needed_impostors", lambda rate: 20 if rate == 0.01 else 3000)


def measure(study=STUDY, scores=SCORES):
    found = identity.measure(create_study(**study), None, create_matcher(scores))
    return {(row.measure, row.collection): row for row in found.measures}, found


def test_the_gallery_is_everybodys_real_print_the_references_first():
    made = compare().gallery
    assert made.persons.tolist() == [1, 2, 3, 4, 5, 6, 7]
    assert made.num_reference == 3


def test_real_impostors_are_each_pair_of_different_persons_real_prints_once():
    # 21 pairs of the gallery's 7 prints, and 3 altered prints against 6 other persons each.
    scores, persons = compare().impostors
    assert len(scores) == len(persons) == 21 + 18
    assert sorted(scores)[-4:] == [1, 5, 7, 9]
    # The altered print of person 1 and the real one of person 2.
    assert persons[scores == 9].tolist() == [[1, 2]]


def test_a_finger_is_in_no_more_pairs_for_having_more_copies():
    # Of seven persons 21 pairs, however many altered prints they have.
    assert compare().impostors.count_pairs() == 21


def test_a_print_does_not_meet_itself():
    scores = compare().scores
    assert np.isnan(scores["real"][0, 0]) and np.isnan(scores["real_others"][0, 3])
    assert scores["real"][0, 1] == 5 and scores["real_others"][0, 0] == 7


def test_a_large_population_is_cut(monkeypatch):
    monkeypatch.setattr(scored_study, "NUM_GALLERY_FINGERS", 5)
    found = compare()
    assert found.gallery.persons.tolist() == [1, 2, 3, 4, 5]
    assert np.isnan(found.scores["real_others"][2:]).all()


def test_a_slow_matcher_compares_fewer_others_but_all_that_the_strictest_rate_needs():
    persons = np.array([1, 1, 2, 3, 4, 5, 6, 7])
    made = gallery.Gallery(
        np.zeros((8, 2, 2), np.uint8), persons, ("real",) * 8, tuple("abcdefgh"), np.zeros(8, bool), 4
    )
    chosen = comparisons.choose_comparisons(np.array([2, -1]), made, 2)
    # Of the own finger all; of the reference's four and of the others' four one each, in turn.
    assert np.argwhere(chosen).tolist() == [[0, 0], [0, 2], [0, 4], [1, 1], [1, 5]]
    assert comparisons.choose_comparisons(np.array([2]), made, None).all()
    images = np.arange(8, dtype=np.uint8)[:, None, None] * np.ones((2, 2), np.uint8)
    slow = Matcher(TableTool({}), num_workers=0, max_others=2)
    scores = comparisons._compare_within(dataclasses.replace(made, images=images), slow)
    is_known = ~np.isnan(scores)
    assert is_known[0, 1] and not is_known.diagonal().any() and (is_known == is_known.T).all()
    # All 21 pairs of seven fingers, far fewer than the 3,000 needed, are compared once at least.
    first, second = np.nonzero(np.triu(is_known, 1))
    assert (
        len(
            {(persons[i], persons[j]) for i, j in zip(first, second, strict=True) if persons[i] != persons[j]}
        )
        == 21
    )


def test_a_rate_is_refused_without_enough_impostors():
    rows, _ = measure()
    row = rows["nbis_match_rate_at_far_0.01", "synthetic_new"]
    assert row.status == "refused"
    assert "21 pairs of persons; 300 are needed" in row.note


@pytest.mark.usefixtures("few_impostors_do")
def test_the_threshold_lies_above_all_impostors_where_one_percent_is_less_than_one():
    rows, _ = measure()
    assert rows["nbis_threshold_at_far_0.01", "real"].value == 10
    assert rows["nbis_threshold_at_far_0.001", "real"].status == "refused"


@pytest.mark.parametrize(
    ("added", "threshold"),
    [
        # A tenth of 21 unaltered comparisons is 2, below which comes 18; of all 39 it is 3, below which comes 9.
        ({(11, 22): 20, (12, 21): 19, (12, 22): 18}, 19),
        # Of all it is 3 again, below which comes 27; of the unaltered ones, 1.
        ({(31, 12): 30, (32, 11): 29, (33, 11): 28, (33, 12): 27}, 28),
    ],
)
def test_the_stricter_threshold_counts_of_unaltered_impostors_and_all(monkeypatch, added, threshold):
    monkeypatch.setattr(comparisons, "FALSE_ACCEPT_RATES", (0.1,))
    monkeypatch.setattr(verification, "count_needed_impostors", lambda rate: 20)
    assert compare(scores=SCORES | added).thresholds == {0.1: threshold}


def test_copies_do_not_make_a_threshold(monkeypatch):
    # 39 comparisons, of 21 pairs of persons.
    monkeypatch.setattr(verification, "count_needed_impostors", lambda rate: 22)
    assert np.isnan(list(compare().thresholds.values())).all()


@pytest.mark.usefixtures("few_impostors_do")
def test_a_threshold_has_an_interval():
    rows, _ = measure()
    row = rows["nbis_threshold_at_far_0.01", "real"]
    # 9 reaches furthest; drawn without its persons, 7, 5 or 1.
    assert (row.low, row.high) == (2, 10)


def test_a_print_that_is_another_persons_very_image_is_no_impostor_of_it():
    # Person 2's own real print, called person 1's. Of the six others' prints one is itself, one gives 4, four give 1.
    study = STUDY | {"control_other_person": (SYNTHETIC, [12], [1])}
    rows, _ = measure(study, SCORES | {(12, 12): 300, (12, 13): 4})
    assert rows["nbis_impostor_score", "control_other_person"].value == pytest.approx(8 / 5)
    assert rows["nbis_rank_1", "control_other_person"].value == 0


@pytest.mark.usefixtures("few_impostors_do")
def test_the_match_rate_is_of_prints_whose_person_is_known():
    rows, _ = measure()
    row = rows["nbis_match_rate_at_far_0.01", "synthetic_new"]
    # 60 and 20 reach 10, 8 does not; the print of nobody known is left out.
    assert row.value == pytest.approx(2 / 3)
    assert (row.num_images, row.num_persons) == (3, 3)


@pytest.mark.usefixtures("few_impostors_do")
def test_real_against_real_stands_beside_it():
    rows, _ = measure()
    assert rows["nbis_match_rate_at_far_0.01", "altered_easy"].value == 1


def test_genuine_and_impostor_scores():
    rows, _ = measure()
    assert rows["nbis_genuine_score", "synthetic_new"].value == pytest.approx((60 + 8 + 20) / 3)
    # The print of nobody known is nobody's impostor: (30 + 5) / 6, (12 + 5) / 6, 1.
    assert rows["nbis_impostor_score", "synthetic_new"].value == pytest.approx((35 / 6 + 17 / 6 + 1) / 3)


def test_rank_1_needs_the_own_person_alone_in_front():
    rows, _ = measure()
    # The print of person 2 scores 12 against person 5.
    assert rows["nbis_rank_1", "synthetic_new"].value == pytest.approx(2 / 3)
    tied, _ = measure(scores=SCORES | {(42, 12): 12})
    assert tied["nbis_rank_1", "synthetic_new"].value == pytest.approx(2 / 3)


def test_the_equal_error_rate_is_of_the_collections_own_scores():
    rows, _ = measure()
    # Genuine 60, 20, 8; impostors 30, 12 and sixteen 1: at 12 two of 18 pass, one of three fails; at 20 one and one.
    # At 8, where no genuine one fails, two pass: nearest.
    row = rows["nbis_eer", "synthetic_new"]
    assert row.value == pytest.approx((2 / 18 + 0) / 2)
    assert "3 genuine and 18 impostor comparisons" in row.note


def test_the_reference_has_no_genuine_score():
    rows, _ = measure()
    row = rows["nbis_genuine_score", "real"]
    assert (row.status, row.note) == ("refused", gallery.ONE_IMPRESSION_REASON)


def test_comparisons_of_real_prints_stand_once_in_the_rows():
    _, found = measure()
    pairs = [(row.probe_filename, row.gallery_filename) for row in found.matches]
    assert len(pairs) == len(set(pairs)) == 21 + 3 * 7 + 4 * 7
    assert not {(second, first) for first, second in pairs} & set(pairs)


def test_each_print_has_its_score():
    _, found = measure()
    scores = {row.filename: row.value for row in found.images if row.measure == "nbis_genuine_score"}
    assert scores["synthetic_new_0"] == 60
    assert np.isnan(scores["synthetic_new_3"])


def test_one_person_alone_has_no_equal_error_rate():
    study = {"real": (REFERENCE, [11], [1]), "synthetic_new": (SYNTHETIC, [41], [1])}
    rows, _ = measure(study)
    assert rows["nbis_eer", "synthetic_new"].status == "refused"


# Fingers 1 and 2 have a training print, 11 and 12, and two held out, 13 to 16; of 41 and 42 the sources are 11 and 12.
IMPRESSIONS = {
    "real": (REFERENCE, [11, 12], [1, 2]),
    "real_held_out": (HELD_OUT, [13, 14, 15, 16], [1, 1, 2, 2]),
    "real_others": (POPULATION, [21, 22, 23, 24], [4, 4, 5, 5]),
    "synthetic": (SYNTHETIC, [41, 42], [1, 2]),
}
IMPRESSION_SCORES = {
    **{(11, 13): 40, (11, 14): 50, (13, 14): 6, (12, 15): 90, (12, 16): 9, (15, 16): 30},
    **{(21, 22): 70, (23, 24): 80},
    **{(41, 11): 300, (41, 13): 60, (41, 14): 4, (42, 12): 400, (42, 15): 2, (42, 16): 3, (42, 13): 5},
}


@pytest.fixture
def impression_rows(monkeypatch):
    # 1% can be told from the 6 pairs of four fingers, 0.1% not.
    monkeypatch.setattr(verification, "count_needed_impostors", lambda rate: 6 if rate == 0.01 else 7)
    rows, _ = measure(IMPRESSIONS, IMPRESSION_SCORES)
    return rows


def test_impressions_of_one_finger_are_no_impostors():
    # Of 10 prints, 4 x 6 + 2 x 2 pairs of two fingers and more: 45 pairs less 3 + 3 + 1 + 1 of one finger.
    found = compare(IMPRESSIONS, IMPRESSION_SCORES)
    assert len(found.impostors.scores) == 45 - 8 and found.impostors.count_pairs() == 6
    assert sorted(found.real_genuine_scores) == [6, 9, 30, 40, 50, 70, 80, 90]


def test_real_prints_are_compared_with_their_fingers_other_impressions(impression_rows):
    # 11: 40, 50; 12: 90, 9. Held out 13: 40, 6; 14: 50, 6; 15: 90, 30; 16: 9, 30.
    assert impression_rows["nbis_genuine_score", "real"].value == pytest.approx((45 + 49.5) / 2)
    held_out = impression_rows["nbis_genuine_score", "real_held_out"].value
    assert held_out == pytest.approx((23 + 28 + 60 + 19.5) / 4)
    assert impression_rows["nbis_genuine_score", "real_others"].value == pytest.approx(
        (70 + 70 + 80 + 80) / 4
    )


def test_synthetic_prints_are_compared_with_held_out_impressions_only(impression_rows):
    # Not the sources' 300 and 400.
    row = impression_rows["nbis_genuine_score", "synthetic"]
    assert row.value == pytest.approx((32 + 2.5) / 2)
    # No impostor scores more than 1, so 2 is the threshold; all of the 4 genuine comparisons reach it.
    rate = impression_rows["nbis_match_rate_at_far_0.01", "synthetic"]
    assert rate.value == 1 and "held out of training" in rate.note


def test_the_best_of_a_fingers_impressions_counts_for_rank_1(impression_rows):
    # 42 scores 5 against finger 1, 2 and 3 against its own.
    assert impression_rows["nbis_rank_1", "synthetic"].value == 0.5


def test_the_error_rate_is_of_all_genuine_comparisons(impression_rows):
    # Genuine 60, 4, 2, 3; impostors 5 and twenty... of the two prints: 2 x 7 others each, all but one at 1.
    row = impression_rows["nbis_eer", "synthetic"]
    assert "4 genuine and 14 impostor comparisons" in row.note


def test_a_print_that_does_not_even_match_itself_fails_to_enroll(few_impostors_do):
    rows, _ = measure(scores=SCORES | {(41, 41): 9, (42, 42): 10})
    # The threshold is 10.
    assert rows["nbis_failure_to_enrol", "synthetic_new"].value == 0.25
    assert rows["nbis_failure_to_enrol", "real"].value == 0
    assert "1 of 4 prints cannot be compared" in rows["nbis_match_rate_at_far_0.01", "synthetic_new"].note


def test_without_a_threshold_a_print_that_scores_nothing_fails_to_enroll():
    rows, _ = measure(scores=SCORES | {(41, 41): 1, (42, 42): 0})
    assert rows["nbis_failure_to_enrol", "synthetic_new"].value == 0.25


def test_prints_without_a_scale_are_refused_in_one_row(monkeypatch):
    def prepare(study, data_config):
        raise NoScaleError("the reference prints show no ridge period")

    monkeypatch.setattr(identity, "prepare_prints", prepare)
    tools = Tools(None, {"nbis": create_matcher()})
    (row,) = identity.FAMILY.compute(create_study(**STUDY), tools).measures
    assert (row.status, row.note) == ("refused", "the reference prints show no ridge period")
