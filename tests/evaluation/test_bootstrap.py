"""Intervals over persons and the spread of crossed seeds, against enumeration, SciPy and numbers worked by hand."""

import itertools

import numpy as np
import pytest
from scipy import stats

from fpgan_jax.evaluation import bootstrap


def compute(values, groups, *, num_resamples=20000, seed=0, **options):
    return bootstrap.compute_interval(
        np.array(values), np.array(groups), num_resamples=num_resamples, seed=seed, **options
    )


def test_interval_of_a_print_a_person_is_scipys():
    values = np.random.default_rng(1).normal(10, 2, 40)
    expected = stats.bootstrap(
        (values,), np.mean, n_resamples=50000, method="percentile", rng=np.random.default_rng(2)
    ).confidence_interval
    low, high = compute(values, range(40), num_resamples=50000)
    np.testing.assert_allclose([low, high], [expected.low, expected.high], atol=0.02)


def test_whole_persons_are_drawn():
    # Persons' sums 0, 3, 30 and sizes 3, 1, 2, over all 27 draws of three of them.
    values, groups = [0, 0, 0, 3, 10, 20], [1, 1, 1, 2, 3, 3]
    sums, sizes = np.array([0, 3, 30]), np.array([3, 1, 2])
    draws = [list(draw) for draw in itertools.product(range(3), repeat=3)]
    means = [sums[draw].sum() / sizes[draw].sum() for draw in draws]
    # Each draw often: the percentiles of 27 numbers fall between them, those of many resamples upon one.
    expected = np.percentile(np.repeat(means, 1000), [2.5, 97.5])
    np.testing.assert_allclose(compute(values, groups), expected)


def test_equal_prints_of_one_person_do_not_narrow_the_interval():
    values, groups = np.array([1.0, 2.0, 4.0, 9.0]), np.arange(4)
    np.testing.assert_array_equal(
        compute(np.repeat(values, 10), np.repeat(groups, 10)), compute(values, groups)
    )


def test_the_mean_of_all_resamples_at_once_is_that_of_each():
    values, groups = np.random.default_rng(3).normal(size=12), np.repeat(np.arange(4), 3)
    one_by_one = compute(values, groups, num_resamples=200, statistic=lambda rows: rows.mean())
    np.testing.assert_allclose(compute(values, groups, num_resamples=200), one_by_one)


def test_a_statistic_of_several_columns():
    # The slope through the origin of y = 2x is 2 in every resample.
    rows = np.stack([np.arange(1, 7), 2 * np.arange(1, 7)], axis=1)
    slope = compute(
        rows, range(6), num_resamples=100, statistic=lambda r: (r[:, 0] @ r[:, 1]) / (r[:, 0] @ r[:, 0])
    )
    np.testing.assert_allclose(slope, (2, 2))


def test_missing_values_are_left_out():
    # Person 4 has nothing else, and with that a fourth person's influence would be gone.
    with_missing = compute([1, np.nan, 2, 4, np.nan], [1, 1, 2, 3, 4])
    assert with_missing == compute([1, 2, 4], [1, 2, 3])


def test_prints_of_nobody_known_are_drawn_one_by_one():
    assert compute([1, 2, 4, 8], [-1, -1, -1, -1]) == compute([1, 2, 4, 8], [-4, -3, -2, -1])
    assert bootstrap.count_persons(np.array([-1, -1, 5, 5])) == 3


def test_two_persons_have_no_interval():
    assert np.isnan(compute([1, 2, 3, 4], [1, 1, 2, 2])).all()
    assert bootstrap.describe_missing_interval(2) == "no interval: 2 persons, and fewer than 3 give none"
    assert bootstrap.describe_missing_interval(3) == ""


def test_nothing_has_no_interval():
    assert np.isnan(compute([], [])).all()


def test_a_statistic_that_is_often_undefined_has_no_interval():
    # Of 3 persons, 8 of 27 draws miss the one with a value above 0.
    values = [0, 0, 1]
    assert np.isnan(
        compute(values, range(3), statistic=lambda v: v[v > 0].mean() if v.any() else np.nan)
    ).all()


def test_a_statistic_that_is_seldom_undefined_has_one():
    # All four alike with probability 4 / 256 = 1.6%.
    spread = compute([0, 1, 2, 3], range(4), statistic=lambda v: v.std() or np.nan)
    assert np.isfinite(spread).all()


def test_lengths_must_agree():
    with pytest.raises(ValueError, match="3 values and 2 groups"):
        compute([1, 2, 3], [1, 2])


def test_lengths_of_both_samples_must_agree():
    with pytest.raises(ValueError, match="2 values and 1 groups"):
        bootstrap.compute_difference_interval([1], [1], [1, 2], [1], num_resamples=100, seed=0)


def test_a_seed_draws_again_the_same():
    values, groups = [1, 2, 4, 9], range(4)
    # At 101 resamples the percentiles still depend on the draws.
    first, again, other = (
        compute(values, groups, num_resamples=101, seed=seed, statistic=np.median) for seed in (5, 5, 6)
    )
    assert first == again != other


def test_drawn_places_are_all_of_the_drawn_persons():
    groups = np.array([7, 8, 7, 9])
    draws = list(bootstrap.draw_persons(groups, num_resamples=50, seed=0))
    counts = [np.bincount(draw, minlength=4) for draw in draws]
    assert all(c[0] == c[2] and c[0] + c[1] + c[3] == 3 for c in counts)
    assert len({tuple(c) for c in counts}) > 5


def test_a_difference_draws_both_samples_persons_together():
    # Persons differ by tens, the two samples by 1 in each: the difference is certain.
    difference = bootstrap.compute_difference_interval(
        [11, 21, 31, 41], [1, 2, 3, 4], [40, 30, 20, 10], [4, 3, 2, 1], num_resamples=500, seed=0
    )
    np.testing.assert_allclose(difference, (1, 1, 1))


def test_a_difference_is_of_the_persons_in_both():
    difference, low, high = bootstrap.compute_difference_interval(
        [1, 2, 3, 4, 99],
        [1, 2, 3, 4, 5],
        [0, 0, 0, 0, 0, -50],
        [1, 1, 2, 3, 4, 6],
        num_resamples=2000,
        seed=0,
    )
    assert difference == 2.5
    # With every other value 0: the interval of 1, 2, 3, 4 itself.
    np.testing.assert_allclose((low, high), compute([1, 2, 3, 4], range(4), num_resamples=2000))


def test_a_difference_of_strangers_is_not_a_number():
    assert np.isnan(
        bootstrap.compute_difference_interval([1, 2], [1, -1], [1, 2], [3, -1], num_resamples=100, seed=0)
    ).all()


def test_a_difference_of_another_statistic():
    result = bootstrap.compute_difference_interval(
        [3, 5, 7], [1, 2, 3], [1, 2, 4], [1, 2, 3], statistic=np.max, num_resamples=2000, seed=0
    )
    # Differences of the maxima by the highest person drawn: 2, 3, 3.
    np.testing.assert_allclose(result, (3, 2, 3))


def test_pairs_of_one_person_with_themself_do_not_count():
    matrix = np.array([[99, 1, 2], [1, 99, 6], [2, 6, np.nan]])
    mean, low, high = bootstrap.compute_pair_interval(matrix, num_resamples=20000, seed=0)
    # Drawn: all three (mean 3) in 6 of 27, two of them in 18 of 27 (1, 2 or 6 alike), one alone in 3 of 27.
    assert mean == 3
    assert np.isnan([low, high]).all()  # 11% of the draws have no pair


def test_interval_of_pairs_is_as_wide_as_their_mean_is_uncertain():
    # The mean absolute difference of 25 normal values, in 400 samples and in one sample's bootstrap.
    rng = np.random.default_rng(0)
    samples = rng.normal(size=(400, 25))
    distances = np.abs(samples[:, :, None] - samples[:, None, :])
    spread = np.std(distances.sum((1, 2)) / (25 * 24))
    widths = [
        np.subtract(*bootstrap.compute_pair_interval(d, num_resamples=500, seed=1)[:0:-1])
        for d in distances[:40]
    ]
    np.testing.assert_allclose(np.mean(widths), 2 * 1.96 * spread, rtol=0.1)


def test_two_persons_have_a_pair_and_no_interval():
    result = bootstrap.compute_pair_interval(np.array([[0, 4], [4, 0]]), num_resamples=100, seed=0)
    np.testing.assert_array_equal(result, (4, np.nan, np.nan))


def test_one_person_has_no_pair():
    assert np.isnan(bootstrap.compute_pair_interval(np.zeros((1, 1)), num_resamples=100, seed=0)).all()


def test_counts_are_those_of_the_drawn_persons():
    counts = bootstrap.draw_counts(4, num_resamples=30, seed=2)
    draws = bootstrap.draw_persons(np.arange(4), num_resamples=30, seed=2)
    np.testing.assert_array_equal(counts, [np.bincount(draw, minlength=4) for draw in draws])


# Grand mean 6; rows 4, 8; columns 5, 6, 7; rest [[0, 1, -1], [0, -1, 1]].
TABLE = np.array([[3.0, 5.0, 4.0], [7.0, 7.0, 10.0]])


def test_spread_by_hand():
    # Squares: rows 3 * (4 + 4) = 24, columns 2 * (1 + 0 + 1) = 4, rest 4; with 1, 2, 2 degrees: 24, 2, 2.
    spread = bootstrap.compute_spread(TABLE)
    np.testing.assert_allclose(spread.mean, 6)
    np.testing.assert_allclose(
        [spread.std_gan, spread.std_classifier, spread.std_rest], [np.sqrt(22 / 3), 0, np.sqrt(2)]
    )


def test_interval_where_one_kind_of_seed_shows():
    # The classifier's component is 0: the two rows' means 4 and 8 are a sample of two.
    expected = stats.t.interval(0.95, 1, 6, np.std([4, 8], ddof=1) / np.sqrt(2))
    np.testing.assert_allclose(bootstrap.compute_spread(TABLE)[1:3], expected)


def test_interval_where_both_kinds_show():
    # Rows 1, 3, 8 and columns -2, 2 added, then rest [[1, -1], [-1, 1], [0, 0]].
    table = np.array([[0.0, 2.0], [0.0, 6.0], [6.0, 10.0]])
    rows, columns, rest = 2 * (9 + 1 + 16) / 2, 3 * (4 + 4) / 1, 4 / 2
    variance = (rows + columns - rest) / 6
    freedom = (rows + columns - rest) ** 2 / (rows**2 / 2 + columns**2 / 1 + rest**2 / 2)
    spread = bootstrap.compute_spread(table)
    np.testing.assert_allclose(spread[1:3], stats.t.interval(0.95, freedom, 4, np.sqrt(variance)))
    np.testing.assert_allclose(spread[3:], np.sqrt([(rows - rest) / 2, (columns - rest) / 3, rest]))


def test_interval_holds_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(0)
    hits = []
    for _ in range(1000):
        table = rng.normal(0, 1, (4, 1)) + rng.normal(0, 1, (1, 4)) + rng.normal(0, 0.5, (4, 4))
        spread = bootstrap.compute_spread(table)
        hits.append(spread.low < 0 < spread.high)
    assert 0.93 < np.mean(hits) < 0.985


def test_one_classifier_seed_leaves_the_rest_with_the_gan():
    spread = bootstrap.compute_spread(np.array([[1.0], [2.0], [6.0]]))
    expected = stats.t.interval(0.95, 2, 3, np.std([1, 2, 6], ddof=1) / np.sqrt(3))
    np.testing.assert_allclose(spread, [3, *expected, np.std([1, 2, 6], ddof=1), np.nan, np.nan])


def test_one_gan_seed_leaves_the_rest_with_the_classifier():
    spread = bootstrap.compute_spread(np.array([[1.0, 2.0, 6.0]]))
    np.testing.assert_allclose(spread[3:], [np.nan, np.std([1, 2, 6], ddof=1), np.nan])


def test_one_cell_has_but_a_mean():
    np.testing.assert_array_equal(bootstrap.compute_spread(np.array([[0.5]])), [0.5] + [np.nan] * 5)


def test_equal_cells_have_no_spread():
    np.testing.assert_array_equal(bootstrap.compute_spread(np.full((3, 3), 0.5)), [0.5, 0.5, 0.5, 0, 0, 0])


@pytest.mark.parametrize("table", [np.zeros((0, 3)), np.zeros(3), np.array([[1.0, np.nan], [1.0, 2.0]])])
def test_a_table_with_gaps_is_refused(table):
    with pytest.raises(ValueError, match="expected finite values"):
        bootstrap.compute_spread(table)
