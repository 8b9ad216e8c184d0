"""Every pair of a test is compared once, and each finger's rates are those worked out by hand."""

import math

import numpy as np
import pytest

from fpgan_jax.evaluation.recognition import comparisons
from fpgan_jax.evaluation.recognition.comparisons import Comparisons, compare_all, measure_fingers, pool
from fpgan_jax.evaluation.statistics.verification import Impostors


def create_fingers(num_fingers, cosine=1.0):
    """Create two embeddings of every finger, of the given cosine, at right angles to all others."""
    size = 2 * num_fingers
    second = cosine * np.eye(size)[0::2] + math.sqrt(1 - cosine**2) * np.eye(size)[1::2]
    embeddings = np.stack([np.eye(size)[0::2], second], axis=1).reshape(-1, size)
    return embeddings.astype(np.float32), np.repeat(np.arange(1, num_fingers + 1), 2)


def test_pairs_are_counted_once():
    embeddings = np.array([[1, 0], [0.6, 0.8], [0, 1], [1, 0], [0, -1]], np.float32)
    found = compare_all(embeddings, np.array([7, 7, 7, 8, 9]))
    assert found.genuine_scores.tolist() == [6000, 0, 8000]
    assert found.genuine_fingers.tolist() == [7, 7, 7]
    pairs = [*map(sorted, found.impostors.persons.tolist())]
    assert sorted(map(tuple, pairs)) == [(7, 8)] * 3 + [(7, 9)] * 3 + [(8, 9)]
    assert sorted(found.impostors.scores.tolist()) == [-10000, -8000, 0, 0, 0, 6000, 10000]


def test_a_false_accept_rate_needs_enough_pairs_of_fingers():
    # 25 fingers have 300 pairs, 24 have 276.
    for num_fingers, is_refused in ((25, False), (24, True)):
        rows = measure_fingers(compare_all(*create_fingers(num_fingers)), arm="a", seed=0, test_set="t")
        assert len(rows) == num_fingers and {row.num_genuine for row in rows} == {1}
        assert {math.isnan(row.tar_1) for row in rows} == {is_refused}
        assert all(math.isnan(row.tar_01) for row in rows)


def test_fingers_are_accepted_above_the_impostors():
    embeddings, fingers = create_fingers(25, 0.5)
    # The two prints of finger 1 have nothing in common, as any two fingers.
    embeddings[1] = np.eye(50)[1]
    rows = measure_fingers(compare_all(embeddings, fingers), arm="a", seed=3, test_set="t")
    assert [row.tar_1 for row in rows] == [0] + [1] * 24
    assert (rows[0].arm, rows[0].seed, rows[0].test_set, rows[0].finger) == ("a", 3, "t", 1)


def test_errors_at_the_equal_error_threshold():
    # Finger 1: 1 of 2 rejected; finger 2: 0 of 2. Of 4 impostors 1 is accepted: EER 0.25 at threshold 50.
    found = Comparisons(
        np.array([40.0, 60, 50, 70]),
        np.array([1, 1, 2, 2]),
        Impostors(np.array([10.0, 20, 30, 55]), np.array([[1, 2], [1, 3], [2, 3], [3, 2]])),
    )
    rows = measure_fingers(found, arm="a", seed=0, test_set="t")
    # Finger 1 is in 2 impostor comparisons, none accepted; finger 2 in 3, of which the last is.
    assert [row.equal_error for row in rows] == pytest.approx([(1 / 2 + 0) / 2, (0 + 1 / 3) / 2])


def test_sets_are_pooled_under_one_threshold_and_not_compared():
    first, second = compare_all(*create_fingers(3)), compare_all(*create_fingers(2, 0.5))
    pooled = pool([first, second])
    assert pooled.genuine_scores.tolist() == [10000] * 3 + [5000] * 2
    assert pooled.impostors.count_pairs() == 3 + 1
    assert len(np.unique(pooled.genuine_fingers)) == 5
    assert len(pooled.impostors.scores) == 3 * 4 + 1 * 4
    assert comparisons.POOLED == "all"
