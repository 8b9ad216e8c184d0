"""Differences against SciPy and numbers worked by hand, and what is decided from them."""

import numpy as np
import pytest
from scipy import stats

from fpgan_jax.evaluation.statistics import differences
from fpgan_jax.evaluation.statistics.differences import Difference, judge
from tests.evaluation.statistics import simulate_coverage

NAN = float("nan")


def compute(values, persons, other_values, other_persons):
    return differences.compute_difference(
        *(np.array(part, float) for part in (values, persons, other_values, other_persons))
    )


def test_persons_in_both_are_paired():
    # Persons' means 1.5, 4, 8 and 0, 1, 2; person 9 and those of nobody known have no counterpart.
    found = compute([1, 2, 4, 8, 99, 50], [1, 1, 2, 3, 9, -1], [0, 1, 2, 7], [1, 2, 3, -1])
    expected = stats.ttest_1samp([1.5, 3, 6], 0).confidence_interval(0.95)
    np.testing.assert_allclose(found, [3.5, *expected, 3])


def test_strangers_are_independent_samples():
    first, second = [1.0, 2, 4, 9], [3.0, 3.5, 5, 6, 7]
    found = compute(first, [1, 2, 3, 4], second, [11, 12, 13, 14, 15])
    expected = stats.ttest_ind(first, second, equal_var=False).confidence_interval(0.95)
    np.testing.assert_allclose(found, [np.mean(first) - np.mean(second), *expected, 0])


def test_missing_values_are_left_out():
    found = compute([1, 2, 4, NAN], [1, 2, 3, 4], [0, 0, 1, 7, NAN], [1, 2, 3, 4, 4])
    assert found == compute([1, 2, 4], [1, 2, 3], [0, 0, 1], [1, 2, 3])


def test_two_persons_have_a_difference_and_no_interval():
    np.testing.assert_array_equal(compute([1, 2], [1, 2], [0, 0], [1, 2])[:3], [1.5, NAN, NAN])


def test_nothing_has_no_difference():
    assert np.isnan(compute([], [], [1], [1]).value)


def test_persons_who_all_differ_by_the_same_have_no_interval():
    np.testing.assert_array_equal(compute([1, 2, 3], [1, 2, 3], [0, 1, 2], [1, 2, 3]), [1, NAN, NAN, 3])


def test_intervals_are_combined_by_hand():
    # Zou and Donner: below by sqrt(3^2 + 4^2), above by sqrt(6^2 + 8^2).
    found = differences.combine_intervals((10, 7, 16), (4, -4, 8))
    np.testing.assert_allclose(found, [6, 6 - 5, 6 + 10, 0])


def test_a_number_without_an_interval_has_a_difference_without_one():
    np.testing.assert_array_equal(differences.combine_intervals((10, NAN, NAN), (4, 3, 8)), [6, NAN, NAN, 0])


@pytest.mark.parametrize(
    ("low", "high", "higher", "lower", "real"),
    [
        (-9, 9, "equivalent", "equivalent", "equivalent"),
        (1, 9, "equivalent", "equivalent", "equivalent"),  # of no account, though it is there
        (1, 11, "better", "worse", "worse"),
        (-11, -1, "worse", "better", "worse"),
        (-11, 9, "undecided", "undecided", "undecided"),
        (-78, -18, "worse", "better", "worse"),
        (NAN, NAN, "undecided", "undecided", "undecided"),
    ],
)
def test_verdicts_beside_one_set(low, high, higher, lower, real):
    one = Difference((low + high) / 2, low, high)
    assert [judge([one], better, 10) for better in ("higher", "lower", "real")] == [higher, lower, real]


@pytest.mark.parametrize(
    ("intervals", "verdict"),
    [
        ([(-30, -20), (-90, -80)], "worse"),  # below both
        ([(-30, -20), (20, 40)], "equivalent"),  # between them
        ([(-12, 3), (-60, -40)], "undecided"),
        ([(2, 40), (30, 90)], "better"),
        ([], "undecided"),
    ],
)
def test_verdicts_beside_several_sets(intervals, verdict):
    assert judge([Difference(0, *ends) for ends in intervals], "higher", 10) == verdict


def test_without_a_margin_nothing_is_equivalent():
    assert judge([Difference(0, -1, 1)], "higher", NAN) == "undecided"


def test_another_direction_is_refused():
    with pytest.raises(ValueError, match="better is ''"):
        judge([Difference(0, -1, 1)], "", 1)


# What must not happen is to happen in 2.5% of 1,000; three standard errors more are 4%.
@pytest.mark.parametrize(
    ("difference", "wrong"),
    [(0, "better"), (0, "worse"), (-simulate_coverage.MARGIN, "equivalent")],
)
def test_wrong_verdicts_are_as_seldom_as_they_are_said_to_be(difference, wrong):
    shares = simulate_coverage.measure_verdicts(difference, 5, num_simulations=1000, seed=0)
    assert shares[wrong] < 0.04
