"""The helpers of sweep files."""

import math

import pytest

from fpgan_jax.errors import UserError
from fpgan_jax.sweeps.axes import axis, choice, draw, grid, log_uniform, seeds, uniform, zip_axes


def test_a_grid_has_each_with_each_and_the_last_changes_fastest():
    assert grid(axis("a", (1, 2)), axis("b", "xy")) == [
        {"a": 1, "b": "x"},
        {"a": 1, "b": "y"},
        {"a": 2, "b": "x"},
        {"a": 2, "b": "y"},
    ]


def test_zipped_axes_go_together():
    assert zip_axes(axis("a", (1, 2)), axis("b", (3, 4))) == [{"a": 1, "b": 3}, {"a": 2, "b": 4}]


def test_seeds_are_an_axis():
    assert grid(axis("a", (1,)), seeds(2)) == [{"a": 1, "seed": 0}, {"a": 1, "seed": 1}]


def test_a_zip_of_unequal_axes_is_refused():
    with pytest.raises(UserError, match="zip_axes: the axes have 1, 2 values"):
        zip_axes(axis("a", (1, 2)), axis("b", (3,)))


@pytest.mark.parametrize("combine", [grid, zip_axes])
def test_two_axes_of_one_field_are_refused(combine):
    with pytest.raises(UserError, match="a: set by two axes"):
        combine(axis("a", (1,)), axis("a", (2,)))


def test_the_same_seed_draws_the_same_and_a_longer_list_begins_with_the_shorter():
    draws = {"a": uniform(0, 1), "b": choice("xyz")}
    assert draw(5, draws, seed=3)[:2] == draw(2, draws, seed=3)
    assert draw(2, draws, seed=3) != draw(2, draws, seed=4)


def test_a_uniform_draw_fills_its_range():
    values = [run["a"] for run in draw(400, {"a": uniform(2.0, 4.0)})]
    # Of 400, the mean's standard error is 2 / sqrt(12 x 400) = 0.029.
    assert min(values) >= 2 and max(values) <= 4
    assert sum(values) / 400 == pytest.approx(3, abs=5 * 0.029)


def test_a_log_uniform_draw_is_uniform_in_the_logarithm():
    values = [math.log10(run["a"]) for run in draw(400, {"a": log_uniform(1e-5, 1e-1)})]
    # The mean's standard error is 4 / sqrt(12 x 400) = 0.058.
    assert min(values) >= -5 and max(values) <= -1
    assert sum(values) / 400 == pytest.approx(-3, abs=5 * 0.058)


def test_drawn_numbers_have_three_digits():
    assert all(run["a"] == float(f"{run['a']:.2e}") for run in draw(20, {"a": log_uniform(1e-5, 1e-1)}))
