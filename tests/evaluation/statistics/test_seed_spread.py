"""The spread of crossed seeds, against SciPy and numbers worked by hand."""

import numpy as np
import pytest
from scipy import stats

from fpgan_jax.evaluation.statistics import seed_spread

# Grand mean 6; rows 4, 8; columns 5, 6, 7; rest [[0, 1, -1], [0, -1, 1]].
TABLE = np.array([[3.0, 5.0, 4.0], [7.0, 7.0, 10.0]])


def test_spread_by_hand():
    # Squares: rows 3 * (4 + 4) = 24, columns 2 * (1 + 0 + 1) = 4, rest 4; with 1, 2, 2 degrees: 24, 2, 2.
    spread = seed_spread.compute_spread(TABLE)
    np.testing.assert_allclose(spread.mean, 6)
    np.testing.assert_allclose(
        [spread.std_gan, spread.std_classifier, spread.std_rest], [np.sqrt(22 / 3), 0, np.sqrt(2)]
    )


def test_interval_where_one_kind_of_seed_shows():
    # The classifier's component is 0: the two rows' means 4 and 8 are a sample of two.
    expected = stats.t.interval(0.95, 1, 6, np.std([4, 8], ddof=1) / np.sqrt(2))
    np.testing.assert_allclose(seed_spread.compute_spread(TABLE)[1:3], expected)


def test_interval_where_both_kinds_show():
    # Rows 1, 3, 8 and columns -2, 2 added, then rest [[1, -1], [-1, 1], [0, 0]].
    table = np.array([[0.0, 2.0], [0.0, 6.0], [6.0, 10.0]])
    rows, columns, rest = 2 * (9 + 1 + 16) / 2, 3 * (4 + 4) / 1, 4 / 2
    variance = (rows + columns - rest) / 6
    freedom = (rows + columns - rest) ** 2 / (rows**2 / 2 + columns**2 / 1 + rest**2 / 2)
    spread = seed_spread.compute_spread(table)
    np.testing.assert_allclose(spread[1:3], stats.t.interval(0.95, freedom, 4, np.sqrt(variance)))
    np.testing.assert_allclose(spread[3:], np.sqrt([(rows - rest) / 2, (columns - rest) / 3, rest]))


def test_interval_holds_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(0)
    hits = []
    for _ in range(1000):
        table = rng.normal(0, 1, (4, 1)) + rng.normal(0, 1, (1, 4)) + rng.normal(0, 0.5, (4, 4))
        spread = seed_spread.compute_spread(table)
        hits.append(spread.low < 0 < spread.high)
    assert 0.93 < np.mean(hits) < 0.985


def test_one_classifier_seed_leaves_the_rest_with_the_gan():
    spread = seed_spread.compute_spread(np.array([[1.0], [2.0], [6.0]]))
    expected = stats.t.interval(0.95, 2, 3, np.std([1, 2, 6], ddof=1) / np.sqrt(3))
    np.testing.assert_allclose(spread, [3, *expected, np.std([1, 2, 6], ddof=1), np.nan, np.nan])


def test_one_gan_seed_leaves_the_rest_with_the_classifier():
    spread = seed_spread.compute_spread(np.array([[1.0, 2.0, 6.0]]))
    np.testing.assert_allclose(spread[3:], [np.nan, np.std([1, 2, 6], ddof=1), np.nan])


def test_one_cell_has_but_a_mean():
    np.testing.assert_array_equal(seed_spread.compute_spread(np.array([[0.5]])), [0.5] + [np.nan] * 5)


def test_equal_cells_have_no_spread_and_no_interval():
    # A third has no exact form, so that the mean of nine is another number.
    spread = seed_spread.compute_spread(np.full((3, 3), 1 / 3))
    np.testing.assert_allclose(spread, [1 / 3, np.nan, np.nan, 0, 0, 0], atol=1e-15)


def test_equal_differences_of_seeds_have_no_interval():
    # 0.5 - 0.4 is not 0.6 - 0.5 to the last bit.
    spread = seed_spread.compute_spread(np.array([[0.5 - 0.4, 0.6 - 0.5, 0.7 - 0.6]]))
    assert np.isnan([spread.low, spread.high]).all()


def test_two_seeds_have_no_interval():
    spread = seed_spread.compute_spread(np.array([[1.0, 2.0]]))
    np.testing.assert_allclose(spread, [1.5, np.nan, np.nan, np.nan, np.sqrt(0.5), np.nan])


@pytest.mark.parametrize("table", [np.zeros((0, 3)), np.zeros(3), np.array([[1.0, np.nan], [1.0, 2.0]])])
def test_a_table_with_gaps_is_refused(table):
    with pytest.raises(ValueError, match="expected finite values"):
        seed_spread.compute_spread(table)


def test_an_average_of_what_is_not_finite_has_no_number():
    assert np.isnan(seed_spread.average(np.array([[1.0, np.nan, 3.0]]))).all()
    np.testing.assert_allclose(seed_spread.average(TABLE), seed_spread.compute_spread(TABLE)[:3])
