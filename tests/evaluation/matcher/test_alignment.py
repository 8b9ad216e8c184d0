"""Rigid alignment of minutiae that were turned, shifted and disturbed by known amounts."""

import numpy as np
import pytest

from fpgan_jax.evaluation.matcher import alignment
from fpgan_jax.evaluation.matcher.nist_tools import Minutiae


def draw(seed, count=30):
    rng = np.random.default_rng(seed)
    return create(rng.uniform(30, 270, count), rng.uniform(30, 330, count), rng.uniform(0, 2 * np.pi, count))


def create(x, y, direction):
    x, y = np.asarray(x, float), np.asarray(y, float)
    kinds = np.ones(len(x), bool)
    return Minutiae(x, y, np.asarray(direction, float) % (2 * np.pi), kinds, kinds.astype(float))


def move(found, degrees, shift):
    """Turn minutiae by an angle from +x towards the bottom, about the origin, then shift them."""
    points = (found.x + 1j * found.y) * np.exp(1j * np.radians(degrees)) + complex(*shift)
    # Directions count towards the top.
    return create(points.real, points.imag, found.direction - np.radians(degrees))


@pytest.mark.parametrize(
    ("degrees", "shift"), [(0, (0, 0)), (17, (40, -25)), (-150, (-90, 200)), (90, (5, 300))]
)
def test_a_print_that_was_turned_and_shifted_keeps_every_minutia(degrees, shift):
    found = draw(0)
    common = alignment.align(found, move(found, degrees, shift))
    np.testing.assert_array_equal(common.pairs, np.stack([np.arange(30)] * 2, axis=1))
    assert (common.num_first, common.num_second) == (30, 30)
    middle = complex(found.x.mean(), found.y.mean())
    expected = abs(middle * np.exp(1j * np.radians(degrees)) + complex(*shift) - middle)
    found = np.degrees(common.turn), common.shift, common.residual
    np.testing.assert_allclose(found, (degrees, expected, 0), atol=1e-6)


def test_a_jitter_below_the_tolerance_costs_few():
    found, rng = draw(1), np.random.default_rng(5)
    moved = move(found, 30, (20, 10))
    moved = create(
        moved.x + rng.normal(0, 2.5, 30),
        moved.y + rng.normal(0, 2.5, 30),
        moved.direction + rng.normal(0, 0.1, 30),
    )
    common = alignment.align(found, moved)
    assert len(common.pairs) >= 28 and (common.pairs[:, 0] == common.pairs[:, 1]).all()
    # Of 2.5 px along each axis.
    assert common.residual == pytest.approx(2.5 * np.sqrt(2), rel=0.25)


def test_minutiae_outside_the_common_part_are_not_counted():
    # The second print shows the left part only, x below 150; its hull is widened by 20 pixels.
    found = draw(2, 60)
    is_left = found.x < 150
    part = Minutiae(*(values[is_left] for values in found))
    common = alignment.align(found, move(part, 20, (7, 7)))
    assert len(common.pairs) == is_left.sum() == common.num_second
    assert is_left.sum() <= common.num_first <= (found.x < 171).sum()


def test_strangers_have_less_in_common_than_half():
    shares = [
        len(common.pairs) / max(1, common.num_first)
        for seed in range(5)
        for common in [alignment.align(draw(seed), draw(seed + 50))]
    ]
    assert np.mean(shares) < 0.5


def test_an_opposite_direction_is_no_partner():
    found = draw(3)
    assert (
        len(alignment.align(found, found._replace(direction=(found.direction + np.pi) % (2 * np.pi))).pairs)
        < 15
    )


def test_pairs_are_chosen_so_that_most_have_a_partner():
    # The nearest pair, 8 and 10, would leave 0 and 18 without one.
    distances = np.abs(np.array([0.0, 10.0])[:, None] - np.array([8.0, 18.0]))
    assert len(alignment._pair(distances, np.zeros((2, 2)))) == 2


@pytest.mark.parametrize(
    ("distance", "degrees", "num_pairs"), [(10, 0, 1), (11, 0, 0), (0, 22.5, 1), (0, -337.5, 1), (0, 34, 0)]
)
def test_how_near_is_near(distance, degrees, num_pairs):
    assert len(alignment._pair(np.array([[distance]]), np.radians([[degrees]]))) == num_pairs


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_minutiae_have_nothing_in_common(count):
    few = Minutiae(*(values[:count] for values in draw(4)))
    assert alignment.align(few, draw(4)).num_first == 0
    assert len(alignment.align(draw(4), few).pairs) == 0


def test_least_squares_recover_a_rotation_and_a_shift():
    points = np.random.default_rng(0).uniform(0, 300, (8, 2))
    # From +x towards +y, which is down: (1, 0) becomes (cos, sin).
    moved = np.array(
        [[np.cos(0.3) * x - np.sin(0.3) * y + 7, np.sin(0.3) * x + np.cos(0.3) * y - 4] for x, y in points]
    )
    turn, shift = alignment._fit(points, moved)
    assert turn == pytest.approx(0.3)
    np.testing.assert_allclose(shift, (7, -4), atol=1e-9)
