"""Thresholds and error rates, against counts by hand and by brute force."""

import numpy as np
import pytest

from fpgan_jax.evaluation.statistics import intervals, verification
from fpgan_jax.evaluation.statistics.verification import Impostors


@pytest.mark.parametrize(("rate", "needed"), [(0.01, 300), (0.001, 3000), (0.03, 100), (0.07, 43)])
def test_the_rule_of_three(rate, needed):
    assert verification.count_needed_impostors(rate) == needed


@pytest.mark.parametrize(
    ("rate", "threshold"),
    [
        (0.0, 10),  # above 9, the highest
        (0.1, 7),  # one of ten may pass: the 9, not the 6
        (0.19, 7),
        (0.2, 6),  # 9 and 6
        (0.3, 6),  # 5 is there twice, so that a third cannot pass without a fourth
        (0.4, 5),
        (0.9, 1),
    ],
)
def test_the_threshold_lets_no_more_impostors_pass_than_the_rate(rate, threshold):
    impostors = np.array([9, 5, 0, 1, 6, 2, 3, 4, 5, 1.0])
    assert verification.find_threshold(impostors, rate) == threshold


def test_the_threshold_is_the_lowest_whole_number_that_does():
    rng = np.random.default_rng(0)
    for _ in range(20):
        impostors = rng.integers(0, 30, 200).astype(float)
        lowest = next(t for t in range(32) if np.mean(impostors >= t) <= 0.05)
        assert verification.find_threshold(impostors, 0.05) == lowest


def test_a_rate_that_is_a_whole_number_of_comparisons_is_not_lost_to_rounding():
    # 0.07 * 100 is 7.000000000000001, 0.29 * 100 is 28.999999999999996.
    impostors = np.arange(100.0)
    assert verification.find_threshold(impostors, 0.29) == 71


def test_a_threshold_needs_scores():
    with pytest.raises(ValueError, match="no impostor scores"):
        verification.find_threshold(np.zeros(0), 0.01)


def test_equal_error_by_hand():
    # At 5: one impostor of four passes, one genuine of four does not.
    genuine, impostors = np.array([9.0, 8, 7, 3]), np.array([5.0, 2, 1, 0])
    assert verification.compute_equal_error(genuine, impostors) == (0.25, 5)


def test_equal_error_of_scores_that_do_not_overlap():
    assert verification.compute_equal_error(np.array([10.0, 11]), np.array([1.0, 2])) == (0, 10)


def test_equal_error_where_the_rates_do_not_meet_is_their_mean():
    # At 5 all three impostors pass and no genuine one fails; at 6 none passes and one of two fails; at 7 none, and one.
    genuine, impostors = np.array([5.0, 7]), np.array([5.0, 5, 5])
    assert verification.compute_equal_error(genuine, impostors) == (0.25, 7)


def test_equal_error_of_equal_distributions_is_a_half():
    scores = np.arange(1000.0)
    assert verification.compute_equal_error(scores, scores).rate == pytest.approx(0.5, abs=1e-3)


def test_equal_error_against_brute_force():
    rng = np.random.default_rng(1)
    genuine, impostors = rng.normal(2, 1, 80), rng.normal(0, 1, 300)
    rates = [
        ((impostors >= t).mean(), (genuine < t).mean())
        for t in sorted({*genuine.tolist(), *impostors.tolist()})
    ]
    nearest = min(rates, key=lambda pair: abs(pair[0] - pair[1]))
    assert verification.compute_equal_error(genuine, impostors).rate == pytest.approx(sum(nearest) / 2)


def test_equal_error_without_scores_is_not_a_number():
    assert np.isnan(verification.compute_equal_error(np.zeros(0), np.ones(3)).rate)


def create_impostors(scores):
    """Create each pair of a matrix's persons once."""
    pairs = np.argwhere(np.triu(np.ones_like(scores), 1))
    return Impostors(np.asarray(scores, float)[tuple(pairs.T)], pairs)


def test_copies_add_no_pairs_of_persons():
    persons = np.array([[1, 2], [2, 1], [1, 2], [1, 3]])
    assert Impostors(np.zeros(4), persons).count_pairs() == 2


def test_a_thresholds_interval_draws_persons():
    # The same draws, one after the other, with the comparisons written out.
    # Half of an even number of comparisons is one of the numbers of those that are accepted.
    impostors = create_impostors(np.random.default_rng(0).integers(0, 300, (12, 12)))
    rng, thresholds = np.random.default_rng(5), []
    for _ in range(50):
        times = np.bincount(rng.integers(12, size=12), minlength=12)
        drawn = np.repeat(impostors.scores, times[impostors.persons].prod(1))
        thresholds.append(verification.find_threshold(drawn, 0.5))
    found = verification.find_threshold_interval(impostors, 0.5, num_resamples=50, seed=5)
    np.testing.assert_allclose(found, np.percentile(thresholds, [2.5, 97.5]))


def test_a_threshold_of_two_persons_has_no_interval():
    impostors = create_impostors(np.ones((2, 2)))
    assert np.isnan(verification.find_threshold_interval(impostors, 0.01, num_resamples=100, seed=0)).all()


def test_an_equal_error_rate_of_nothing_wrong_is_worth_its_persons():
    # Ten prints of each of five persons: as 0 of 5.
    impostors = create_impostors(np.ones((5, 5)))
    found = verification.compute_equal_error_interval(
        np.full(50, 9.0), np.repeat(np.arange(5), 10), impostors
    )
    np.testing.assert_allclose(found, [0, 1 - 0.025 ** (1 / 5)])


def test_an_equal_error_rates_interval_leaves_persons_out_of_both_kinds():
    scores = np.random.default_rng(1).normal(0, 1, (6, 6))
    impostors, persons = create_impostors(scores), np.repeat(np.arange(6), 4)
    genuine = np.random.default_rng(2).normal(1, 1, 24)
    rate, threshold = verification.compute_equal_error(genuine, impostors.scores)
    left_out = [
        (
            np.mean(genuine[persons != person] < threshold)
            + np.mean(impostors.scores[~(impostors.persons == person).any(1)] >= threshold)
        )
        / 2
        for person in range(6)
    ]
    expected = intervals.find_rate_interval(rate, np.array(left_out), max_size=24, size_if_certain=6)
    assert verification.compute_equal_error_interval(genuine, persons, impostors) == expected


def test_an_equal_error_rate_that_hangs_on_one_person_has_no_interval():
    impostors = Impostors(np.ones(2), np.array([[1, 2], [1, 3]]))
    found = verification.compute_equal_error_interval(np.full(3, 9.0), np.array([1, 2, 3]), impostors)
    assert np.isnan(found).all()
