"""What recognizers' results amount to: means, paired differences and what is refused, by hand."""

import math

import pytest

from fpgan_jax.evaluation.recognition import table
from fpgan_jax.evaluation.recognition.comparisons import FingerRow
from fpgan_jax.evaluation.recognition.table import Average, Results

NAN = float("nan")


def create_rows(values):
    """Create rows from arm -> [finger][seed] -> TAR at FAR 1%; the equal error rate is half of what it lacks."""
    return [
        FingerRow(arm, seed, "uareu", 100 + finger, 28, tar, NAN, (1 - tar) / 2)
        for arm, fingers in values.items()
        for finger, seeds in enumerate(fingers)
        for seed, tar in enumerate(seeds)
    ]


VALUES = {
    "real": [[0.1], [0.2], [0.6]],
    "augmentation": [[0.2], [0.4], [0.9]],
    "new": [[0.3], [0.4], [0.95]],
}
# Student's t of two degrees of freedom.
T = 4.302653


def test_a_mean_weighs_every_finger_equally():
    average = Results(create_rows(VALUES)).average("augmentation", "uareu", "tar_1")
    # Deviation 0.36056 over the root of 3; no rate is above 1.
    assert average == pytest.approx((0.5, 0.0, 1.0))


def test_differences_are_paired_by_finger():
    found = Results(create_rows(VALUES)).compare("augmentation", "real", "uareu", "tar_1")
    # 0.1, 0.2 and 0.3: deviation 0.1.
    half = T * 0.1 / math.sqrt(3)
    assert found == pytest.approx((0.2, 0.2 - half, 0.2 + half))


def test_differences_are_paired_by_seed():
    values = {"real": [[0.1, 0.5]] * 3, "augmentation": [[0.2, 0.6], [0.3, 0.7], [0.4, 0.8]]}
    found = Results(create_rows(values)).compare("augmentation", "real", "uareu", "tar_1")
    # 0.1, 0.2 and 0.3 with either seed: seeds add nothing to the interval.
    half = T * 0.1 / math.sqrt(3)
    assert found == pytest.approx((0.2, 0.2 - half, 0.2 + half))


def test_a_refused_rate_has_no_number():
    results = Results(create_rows(VALUES))
    assert all(math.isnan(number) for number in results.average("new", "uareu", "tar_01"))
    refused = [cell for cell in table.create_difference_cells(results) if cell[1] == "TAR at FAR 0.1%"]
    assert {cell[4:] for cell in refused} == {("-", "-", "-", "-")}
    assert "too few pairs of fingers" in table.describe(results)


@pytest.mark.parametrize(
    ("average", "expected"),
    [
        (Average(0.04, 0.01, 0.07), True),
        (Average(0.04, -0.01, 0.09), False),
        (Average(0.02, 0.01, 0.03), False),
        (Average(0.04, NAN, NAN), False),
    ],
)
def test_the_goal_is_three_points_with_the_interval_above_0(average, expected):
    assert table.reaches_goal(average) == expected


def test_every_arm_is_compared_with_augmentation_and_with_the_renderer():
    assert table.list_comparisons(["real", "augmentation", "procedural", "new"]) == [
        ("augmentation", "real"),
        ("procedural", "augmentation"),
        ("new", "augmentation"),
        ("new", "procedural"),
    ]
    assert table.list_comparisons(["real", "augmentation", "new"])[1:] == [("new", "augmentation")]


def test_tables_and_figure_are_written(tmp_path):
    text = table.write_tables(create_rows(VALUES), str(tmp_path))
    # 0.1, 0 and 0.05.
    assert "uareu      TAR at FAR 1%     new           augmentation  +0.050" in text
    assert "new does not reach 3 points" in text
    table.draw(create_rows(VALUES), tmp_path / "recognition.png")
    assert (tmp_path / "recognition.png").stat().st_size > 0 and (tmp_path / "recognition.md").exists()


def test_recognizers_that_learned_nothing_are_pointed_out():
    rows = create_rows({"real": [[0.0]] * 3, "augmentation": [[0.01], [0.02], [0.03]]})
    assert "no better than chance" in table.describe(Results(rows))
