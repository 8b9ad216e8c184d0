"""Which new fingers are refused, by a matcher whose scores are set."""

import numpy as np
import pytest

from fpgan_jax.enlarging import refusal
from fpgan_jax.enlarging.finger_sources import Finger
from fpgan_jax.errors import UserError

TRAINING_PIXELS = (101, 102)


class SetScores:
    """A matcher of prints that are their first pixel; a print's second is 1 where it is mirrored."""

    def __init__(self, **scores):
        self._scores = {tuple(sorted(map(int, name.split("_")[1:]))): score for name, score in scores.items()}

    def compare(self, probes, gallery, pairs, label=""):
        def find(probe, other):
            first, is_mirrored = (probe[0, 1], True) if probe[0, 1] else (probe[0, 0], False)
            return self._scores.get(tuple(sorted((int(first) + 200 * is_mirrored, int(other[0, 0])))), 5)

        return np.array([find(probes[i], gallery[j]) for i, j in pairs], float)


def choose(num_fingers, known=(), **scores):
    return refusal.choose_fingers(
        (Finger(n, f"{n}", f"new:0:{n}") for n in range(1, 50)),
        num_fingers,
        load_print=lambda source: np.array([[int(source.split(":")[2]), 0]], np.uint8),
        training_images=np.array([[[pixel, 0]] for pixel in TRAINING_PIXELS], np.uint8),
        training_names=("a.png", "b.png"),
        matcher=SetScores(**scores),
        known=known,
    )


def summarise(rows):
    return [(row.number, row.is_refused, row.kind, row.other, row.score) for row in rows if row.score > 5]


def test_fingers_that_match_nothing_are_taken():
    rows = choose(3)
    assert [(row.number, row.is_refused) for row in rows] == [(1, 0), (2, 0), (3, 0)]
    assert refusal.describe_choice(rows) == "3 new fingers, 0 refused"


def test_a_match_with_a_training_print_is_refused_and_the_next_finger_taken():
    rows = choose(2, s_1_102=28)
    assert [(row.number, row.is_refused) for row in rows] == [(1, 1), (2, 0), (3, 0)]
    assert summarise(rows) == [(1, 1, "training", "b.png", 28)]
    assert refusal.describe_choice(rows) == "2 new fingers, 1 refused (1 by training)"


def test_a_score_of_27_is_no_match():
    assert summarise(choose(2, s_1_102=27)) == [(1, 0, "training", "b.png", 27)]


def test_a_match_with_a_mirrored_training_print_is_refused():
    # Finger 2's mirror image is 202 to the matcher.
    assert summarise(choose(2, s_202_101=40)) == [(2, 1, "mirrored_training", "a.png", 40)]


def test_of_two_that_match_the_later_is_refused():
    assert summarise(choose(3, s_1_3=30)) == [(3, 1, "earlier", "new:0:1", 30)]


def test_a_match_with_a_refused_finger_does_not_count():
    rows = choose(2, s_1_101=50, s_1_2=60)
    assert summarise(rows) == [(1, 1, "training", "a.png", 50)] and len(rows) == 3


def test_what_is_known_is_not_found_again_and_counts():
    known = choose(2, s_1_101=50)
    rows = choose(3, known, s_2_4=30, s_1_5=99)
    assert rows[:3] == known
    assert summarise(rows[3:]) == [(4, 1, "earlier", "new:0:2", 30)] and rows[-1].number == 5


def test_it_ends_where_nearly_all_are_refused():
    scores = {f"s_{n}_101": 50 for n in range(1, 50)}
    with pytest.raises(UserError, match="--num_identities=1: of 20 new fingers 20 match"):
        choose(1, **scores)
