"""Intervals of few persons, against SciPy, numbers worked by hand, and simulations whose truth is known."""

import numpy as np
import pytest
from scipy import stats

from fpgan_jax.evaluation.statistics import intervals
from tests.evaluation.statistics import simulate_coverage


def compute(values, groups, **options):
    return intervals.compute_interval(np.array(values), np.array(groups), **options)


def test_a_print_a_person_is_students_t():
    values = np.random.default_rng(1).normal(10, 2, 7)
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    np.testing.assert_allclose(compute(values, range(7)), expected)


def test_equally_many_prints_a_person_are_students_t_of_their_means():
    values = np.random.default_rng(2).normal(size=(5, 4))
    expected = stats.ttest_1samp(values.mean(1), 0).confidence_interval(0.95)
    np.testing.assert_allclose(compute(values.ravel(), np.repeat(np.arange(5), 4)), expected)


def test_unequal_persons_by_hand():
    # Sums 0, 3, 30, sizes 3, 1, 2: mean 5.5; without each 11, 6, 0.75. Variance 2/3 of the squares about 5.9167.
    low, high = compute([0, 0, 0, 3, 10, 20], [1, 1, 1, 2, 3, 3])
    half = 4.302653 * np.sqrt(2 / 3 * ((11 - 71 / 12) ** 2 + (6 - 71 / 12) ** 2 + (0.75 - 71 / 12) ** 2))
    np.testing.assert_allclose([low, high], [5.5 - half, 5.5 + half], rtol=1e-6)


def test_a_statistic_of_several_columns():
    rows = np.random.default_rng(3).normal(size=(6, 2))
    ratio = compute(rows, range(6), statistic=lambda rows: rows[:, 0].sum() / rows[:, 1].sum())
    without = [np.delete(rows, place, 0).sum(0) for place in range(6)]
    spread = np.array([first / second for first, second in without])
    half = stats.t.ppf(0.975, 5) * np.sqrt(5 / 6 * ((spread - spread.mean()) ** 2).sum())
    value = rows[:, 0].sum() / rows[:, 1].sum()
    np.testing.assert_allclose(ratio, [value - half, value + half])


def test_prints_of_nobody_known_are_persons_of_their_own():
    assert compute([1, 2, 4, 8], [-1, -1, -1, -1]) == compute([1, 2, 4, 8], [-4, -3, -2, -1])
    assert intervals.count_persons(np.array([-1, -1, 5, 5])) == 3


def test_an_interval_is_cut_at_its_bounds():
    low, high = compute([0.8, 0.9, 1.0], range(3), bounds=(0, 1))
    assert high == 1 and 0.6 < low < 0.7


@pytest.mark.parametrize("values", [[1, 2, 3, 4], []])
def test_two_persons_have_no_interval(values):
    assert np.isnan(compute(values, [1, 1, 2, 2][: len(values)])).all()


@pytest.mark.parametrize("value", [0.0, 0.1, 255.0])
def test_equal_persons_have_no_interval(value):
    assert np.isnan(compute([value] * 7, range(7))).all()


def test_an_undefined_statistic_has_no_interval():
    values = [0, 0, 1]
    found = compute(values, range(3), statistic=lambda v: v[v > 0].mean() if v.any() else np.nan)
    assert np.isnan(found).all()


def test_why_there_is_none_is_said():
    none = intervals.NO_INTERVAL
    assert intervals.describe_missing_interval(2, none).endswith("2 persons, and fewer than 3 give none")
    assert "any of the 5 persons changes nothing" in intervals.describe_missing_interval(5, none)
    assert intervals.describe_missing_interval(5, (0.0, 1.0)) == ""


def test_prints_that_agree_are_worth_their_persons():
    # Clopper and Pearson's for 0 of 5: 1 - 0.025^(1/5).
    found = intervals.compute_rate_interval(np.zeros(50), np.repeat(np.arange(5), 10))
    np.testing.assert_allclose(found, [0, 1 - 0.025 ** (1 / 5)])


def test_a_rate_of_a_print_a_person_is_nearly_clopper_and_pearsons():
    expected = stats.binomtest(3, 20).proportion_ci(0.95, method="exact")
    found = intervals.compute_rate_interval(np.arange(20) < 3, np.arange(20))
    # The jackknife divides by n - 1.
    np.testing.assert_allclose(found, expected, atol=0.01)


def test_the_effective_size_of_a_rate_by_hand():
    # Persons' rates 1, 1, 0.5, 1: variance of the mean 0.0625 / 4, so 0.875 * 0.125 / 0.015625 = 7 prints are worth
    # 7 (t(7) / t(3))^2 of the 8.
    is_true = np.array([1, 1, 1, 1, 0, 1, 1, 1])
    size = 7 * (stats.t.ppf(0.975, 7) / stats.t.ppf(0.975, 3)) ** 2
    expected = (
        stats.beta.ppf(0.025, 0.875 * size, 0.125 * size + 1),
        stats.beta.ppf(0.975, 0.875 * size + 1, 0.125 * size),
    )
    found = intervals.compute_rate_interval(is_true, np.repeat(np.arange(4), 2))
    np.testing.assert_allclose(found, expected)


def test_two_persons_have_no_rate_interval():
    assert np.isnan(intervals.compute_rate_interval(np.array([0, 1, 1]), np.array([1, 2, 2]))).all()


PAIRS = np.array([[99.0, 1, 2, 3], [1, 99, 6, 0], [2, 6, np.nan, 6], [3, 0, 6, 0]])


def test_pairs_of_persons_by_hand():
    # Mean 18 / 6; without each person 12 / 3, 11 / 3, 4 / 3, 9 / 3.
    half = stats.t.ppf(0.975, 3) * np.sqrt(3 / 4 * sum((x - 3) ** 2 for x in (4, 11 / 3, 4 / 3, 3)))
    np.testing.assert_allclose(intervals.compute_pair_interval(PAIRS), [3, 3 - half, 3 + half])


def test_a_rate_over_pairs_without_any_counts_pairs_of_persons():
    # Of five persons, 10 pairs: 1 - 0.025^(1/10).
    found = intervals.compute_pair_interval(np.zeros((5, 5)), is_rate=True)
    np.testing.assert_allclose(found, [0, 0, 1 - 0.025 ** (1 / 10)])


@pytest.mark.parametrize("is_rate", [False, True])
def test_two_persons_have_a_pair_and_no_interval(is_rate):
    found = intervals.compute_pair_interval(np.array([[0, 0.5], [0.5, 0]]), is_rate=is_rate)
    np.testing.assert_array_equal(found, (0.5, np.nan, np.nan))
    for num_persons in (0, 1):
        matrix = np.zeros((num_persons, num_persons))
        assert np.isnan(intervals.compute_pair_interval(matrix, is_rate=is_rate)).all()


def test_two_samples_by_hand():
    # Welch's interval of the difference of two means.
    first, second = np.array([1.0, 2, 4, 9]), np.array([3.0, 3.5, 5])
    expected = stats.ttest_ind(first, second, equal_var=False).confidence_interval(0.95)
    left_out = [
        [np.delete(first, place).mean() - second.mean() for place in range(4)],
        [first.mean() - np.delete(second, place).mean() for place in range(3)],
    ]
    value = first.mean() - second.mean()
    found = intervals.find_jackknife_interval(value, *map(np.array, left_out))
    np.testing.assert_allclose(found, expected)


def test_a_skewed_number_by_hand():
    left_out = np.array([8.0, 11, 9, 14])
    scale = np.sqrt(3 / 4 * ((left_out - 10.5) ** 2).sum())
    scaled = np.arcsinh(left_out / scale)
    half = stats.t.ppf(0.975, 3) * np.sqrt(3 / 4 * ((scaled - scaled.mean()) ** 2).sum())
    middle = np.arcsinh(10 / scale)
    expected = scale * np.sinh([middle - half, middle + half])
    np.testing.assert_allclose(intervals.find_skewed_interval(10, left_out), expected)


def test_a_skewed_number_that_does_not_vary_has_no_interval():
    assert np.isnan(intervals.find_skewed_interval(2, np.full(5, 2.0))).all()


# Of 400 simulations a share of 0.95 has a standard error of 0.011.
@pytest.mark.parametrize("case", ["mean", "rate 0.95", "scores of pairs", "collisions 1%", "EER 7%", "kid"])
def test_five_persons_are_covered(case):
    assert simulate_coverage.measure(case, 5, num_simulations=400, seed=1).after > 0.925


@pytest.mark.parametrize("case", ["mean", "rate 0.95", "collisions 1%"])
def test_the_percentile_bootstrap_does_not_cover_five_persons(case):
    assert simulate_coverage.measure(case, 5, num_simulations=200, seed=1, num_resamples=200).before < 0.9
