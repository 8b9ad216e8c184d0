"""Experiment 3's table: against SciPy's paired t and numbers worked out by hand."""

import numpy as np
import pytest
from PIL import Image
from scipy import stats

from fpgan_jax.evaluation import utility_table
from fpgan_jax.evaluation.utility_table import ResultRow

ACCURACY = {
    "real": [0.50, 0.60, 0.55, 0.40, 0.70],
    "real+synthetic": [0.55, 0.75, 0.60, 0.52, 0.78],
    "all": [0.45, 0.50, 0.50, 0.30, 0.62],
}


def create_rows(accuracy=ACCURACY, *, test_sets=("altered_easy",), num_folders=5):
    return [
        ResultRow(
            condition, seed, f"gan_{seed % num_folders}" * (condition != "real"), test_set, 6, 2, value, 0.5
        )
        for test_set in test_sets
        for condition, values in accuracy.items()
        for seed, value in enumerate(values)
    ]


def find(summaries, condition, measure="accuracy"):
    (found,) = (s for s in summaries if (s.condition, s.measure) == (condition, measure))
    return found


def test_a_mean_has_students_interval():
    summary = find(utility_table.compute_summaries(create_rows()), "real")
    expected = stats.ttest_1samp(ACCURACY["real"], 0).confidence_interval(0.95)
    np.testing.assert_allclose((summary.mean, summary.low, summary.high), (0.55, *expected))


def test_a_difference_is_paired_by_seed():
    summary = find(utility_table.compute_summaries(create_rows()), "real+synthetic")
    expected = stats.ttest_rel(ACCURACY["real+synthetic"], ACCURACY["real"]).confidence_interval(0.95)
    # The differences are 0.05, 0.15, 0.05, 0.12, 0.08.
    np.testing.assert_allclose(
        (summary.difference, summary.difference_low, summary.difference_high), (0.09, *expected)
    )


def test_rows_may_come_in_any_order_of_seeds():
    rows = create_rows()
    shuffled = [rows[place] for place in np.random.default_rng(0).permutation(len(rows))]
    expected = find(utility_table.compute_summaries(rows), "all").difference_low
    assert find(utility_table.compute_summaries(shuffled), "all").difference_low == expected


@pytest.mark.parametrize(
    ("condition", "measure", "verdict"),
    [
        ("real", "accuracy", ""),
        ("real+synthetic", "accuracy", "better than real"),
        ("all", "accuracy", "worse than real"),
        ("all", "own_probability", "no difference shown"),
    ],
)
def test_the_verdict_is_on_which_side_of_zero_the_interval_lies(condition, measure, verdict):
    assert find(utility_table.compute_summaries(create_rows()), condition, measure).verdict == verdict


def test_an_interval_that_holds_zero_shows_no_difference():
    # The differences are 0.1 and -0.05.
    rows = create_rows({"real": [0.5, 0.5], "all": [0.6, 0.45]})
    assert find(utility_table.compute_summaries(rows), "all").verdict == "no difference shown"


def test_cells_stand_under_the_header():
    cells = utility_table.create_cells(utility_table.compute_summaries(create_rows()))
    assert {len(row) for row in cells} == {len(utility_table.HEADER)}
    assert cells[1][:7] == ("altered_easy", "accuracy", "real+synthetic", "6", "2", "5", "0.6400")
    # 0.09 -+ 2.776 * sqrt(0.0078 / 4 / 5)
    assert cells[1][9:] == ("+0.0900", "+0.0352", "+0.1448", "better than real")


def test_the_baseline_has_no_difference():
    cells = utility_table.create_cells(utility_table.compute_summaries(create_rows()))
    assert cells[0][9:] == ("-", "-", "-", "")


def describe(rows):
    return utility_table.describe(rows, utility_table.compute_summaries(rows))


def test_comparisons_are_counted():
    # Two conditions beside the baseline, two measures, two test sets.
    assert "8 comparisons" in describe(create_rows(test_sets=("altered_easy", "altered_hard")))


@pytest.mark.parametrize(("num_folders", "is_said"), [(5, False), (2, True), (1, True)])
def test_fewer_gans_than_seeds_are_said(num_folders, is_said):
    text = describe(create_rows(num_folders=num_folders))
    assert ("real+synthetic, all: fewer folders" in text) == is_said


@pytest.mark.parametrize(("values", "is_said"), [([1.0, 1.0], True), ([1.0, 0.9], False)])
def test_seeds_that_all_gave_the_same_are_said(values, is_said):
    rows = [
        ResultRow("real", seed, "", "altered_easy", 6, 2, value, 0.1 * seed)
        for seed, value in enumerate(values)
    ]
    assert ("interval of no width" in describe(rows)) == is_said


def test_every_form_is_written(tmp_path):
    text = utility_table.write_tables(create_rows(), str(tmp_path))
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        f"utility.{ending}" for ending in ("csv", "md", "tex", "txt")
    ]
    assert text.startswith((tmp_path / "utility.txt").read_text())


def test_the_picture_has_a_mean_for_every_condition(tmp_path, monkeypatch):
    drawn = []
    draw = utility_table.Figure.subplots

    def subplots(figure, *args, **options):
        axes = draw(figure, *args, **options)
        drawn.append(axes)
        return axes

    monkeypatch.setattr(utility_table.Figure, "subplots", subplots)
    utility_table.draw(create_rows(test_sets=("real", "altered_easy")), tmp_path / "figure.png")
    assert np.asarray(Image.open(tmp_path / "figure.png").convert("L")).std() > 10
    (axes,) = drawn
    assert axes.shape == (2, 1)  # the training prints are not drawn
    means = [container.lines[0].get_ydata()[0] for container in axes[0, 0].containers]
    np.testing.assert_allclose(means, [np.mean(values) for values in ACCURACY.values()])
