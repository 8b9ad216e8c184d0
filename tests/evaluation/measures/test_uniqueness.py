"""Uniqueness from scores made by hand."""

import numpy as np
import pytest

from fpgan_jax.evaluation.matcher import matching
from fpgan_jax.evaluation.matcher.matching import Matcher
from fpgan_jax.evaluation.measures import uniqueness
from fpgan_jax.evaluation.statistics import verification
from tests.evaluation.measures.scored_study import (
    REFERENCE,
    SYNTHETIC,
    TableTool,
    create_study,
    prepare_unscaled,
)

STUDY = {
    "real": (REFERENCE, [11, 12, 13], [1, 2, 3]),
    "synthetic_new": (SYNTHETIC, [41, 42, 43, 44], [1, 1, 2, 3]),
    "synthetic": (SYNTHETIC, [51, 52], [-1, -1]),
}
# Person 1 has two prints, of which one is like person 2's.
SCORES = {(41, 42): 99, (41, 43): 50, (42, 43): 3, (12, 13): 7}


@pytest.fixture
def rows(monkeypatch):
    matching._templates.clear()
    monkeypatch.setattr(uniqueness, "prepare_prints", prepare_unscaled)
    monkeypatch.setattr(verification, "count_needed_impostors", lambda rate: 3)
    found = uniqueness.measure(create_study(**STUDY), None, Matcher(TableTool(SCORES), num_workers=0))
    return {(row.measure, row.collection): row for row in found.measures}, found


def test_pairs_of_persons_count_alike(rows):
    # Of persons 1 and 2 one of two pairs of prints reaches 8; of the other two pairs of persons none.
    row = rows[0]["nbis_collision_rate_at_far_0.01", "synthetic_new"]
    assert row.value == pytest.approx((1 / 2 + 0 + 0) / 3)
    assert (row.num_images, row.num_persons) == (4, 3)


def test_prints_of_one_person_are_not_compared(rows):
    assert rows[0]["nbis_between_persons_score", "synthetic_new"].value == pytest.approx(
        ((50 + 3) / 2 + 1 + 1) / 3
    )


def test_real_prints_stand_beside_them(rows):
    assert rows[0]["nbis_between_persons_score", "real"].value == pytest.approx((1 + 1 + 7) / 3)


def test_prints_of_nobody_known_are_refused(rows):
    row = rows[0]["nbis_collision_rate_at_far_0.01", "synthetic"]
    assert (row.status, row.note) == ("refused", "there are no two persons known")


def test_real_prints_comparisons_are_left_to_identity(rows):
    assert {row.probe_collection for row in rows[1].matches} == {"synthetic_new"}
    assert len(rows[1].matches) == 5 + 1


def test_prints_of_one_person_are_compared_with_one_another(rows):
    row = rows[0]["nbis_within_person_score", "synthetic_new"]
    assert (row.value, row.num_images, row.num_persons) == (99, 2, 1)
    assert rows[0]["nbis_within_person_rate_at_far_0.01", "synthetic_new"].value == 1
    row = rows[0]["nbis_within_person_score", "real"]
    assert (row.status, row.note) == ("refused", "no person has two prints")


def test_of_many_prints_of_one_person_the_first_are_compared(monkeypatch):
    # 4, 3 and 1 prints: 6 + 3 pairs; of at most 3 each 3 + 3.
    persons = np.array([1, 1, 1, 1, 2, 2, 2, 3])
    assert uniqueness.choose_within(persons, 9)[1] == 4
    groups, num_prints = uniqueness.choose_within(persons, 8)
    assert num_prints == 3 and [group.tolist() for group in groups] == [[0, 1, 2], [4, 5, 6]]


@pytest.mark.parametrize(
    ("max_pairs", "num_prints"),
    # 3 persons with 4, 4 and 2 prints: 16 + 8 + 8 = 32 pairs; of 3 at most 9 + 6 + 6 = 21; of 2 at most 12; of 1, 3.
    [(32, 4), (31, 3), (21, 3), (20, 2), (12, 2), (11, 1), (1, 1)],
)
def test_as_many_prints_a_person_as_the_pairs_allow(max_pairs, num_prints):
    persons = np.array([1, 1, 2, 2, 3, 1, 1, 2, 2, 3, -1])
    groups, chosen = uniqueness.choose_pairs(persons, max_pairs)
    assert chosen == num_prints
    assert [len(group) for group in groups] == [min(4, num_prints), min(4, num_prints), min(2, num_prints)]
