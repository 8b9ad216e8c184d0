"""Which impressions are compared, counted by hand."""

import numpy as np
import pytest

from fpgan_jax.evaluation.experiments import impression_trial

# Three fingers with three impressions, two and one.
FINGERS = np.array([4, 4, 4, 7, 7, 9])


def test_genuine_are_each_two_impressions_of_one_finger():
    pairs = impression_trial.choose_genuine(FINGERS).tolist()
    assert sorted(map(tuple, pairs)) == [(0, 1), (0, 2), (1, 2), (3, 4)]


def test_all_impostors_are_compared_where_they_are_few():
    pairs = {frozenset(pair) for pair in impression_trial.choose_impostors(FINGERS, 100).tolist()}
    assert len(pairs) == 3 * 2 + 3 * 1 + 2 * 1
    assert all(len(set(FINGERS[list(pair)])) == 2 for pair in pairs)


@pytest.mark.parametrize(("max_pairs", "num_each"), [(1, 1), (3, 1), (6, 2)])
def test_each_two_fingers_have_as_many(max_pairs, num_each):
    pairs = impression_trial.choose_impostors(FINGERS, max_pairs)
    counts = np.unique(FINGERS[pairs], axis=0, return_counts=True)[1]
    assert counts.tolist() == [num_each] * 3


def test_every_impression_takes_part():
    fingers = np.repeat(np.arange(10), 8)
    pairs = impression_trial.choose_impostors(fingers, 450)
    assert len(pairs) == 450 == len(np.unique(pairs, axis=0))
    assert set(pairs.ravel().tolist()) == set(range(80))
