"""Experiment 3's table: against SciPy's paired t and numbers worked out by hand."""

import numpy as np
import pytest
from PIL import Image
from scipy import stats

from fpgan_jax.evaluation.experiments import utility_table
from fpgan_jax.evaluation.experiments.utility_table import ResultRow

ACCURACY = {
    "real": [0.50, 0.60, 0.55, 0.40, 0.70],
    "real+synthetic": [0.55, 0.75, 0.60, 0.52, 0.78],
    "real+augmentation": [0.70, 0.80, 0.72, 0.66, 0.92],
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


def find(condition, *others, rows=None, measure="accuracy"):
    """Find the summary of a condition, or its difference to another one."""
    found = utility_table.compute_summaries(rows or create_rows())
    if others:
        found = [d for d in utility_table.compute_differences(found) if d.other == others[0]]
    (found,) = (one for one in found if (one.condition, one.measure) == (condition, measure))
    return found


def test_a_mean_has_students_interval():
    summary = find("real")
    expected = stats.ttest_1samp(ACCURACY["real"], 0).confidence_interval(0.95)
    np.testing.assert_allclose((summary.mean, summary.low, summary.high), (0.55, *expected))


def test_the_interval_of_a_share_ends_at_one():
    values = [0.9, 1.0, 1.0, 1.0, 1.0]
    assert stats.ttest_1samp(values, 0).confidence_interval(0.95).high > 1
    summary = find("real", rows=create_rows({"real": values}))
    assert summary.high == 1 and summary.low == pytest.approx(
        stats.ttest_1samp(values, 0).confidence_interval(0.95).low
    )


@pytest.mark.parametrize(
    ("condition", "other", "mean"),
    [
        ("real+synthetic", "real", 0.09),  # of 0.05, 0.15, 0.05, 0.12, 0.08
        ("all", "real+augmentation", -0.286),  # of -0.25, -0.3, -0.22, -0.36, -0.3
    ],
)
def test_a_difference_is_paired_by_seed(condition, other, mean):
    difference = find(condition, other)
    expected = stats.ttest_rel(ACCURACY[condition], ACCURACY[other]).confidence_interval(0.95)
    np.testing.assert_allclose((difference.mean, difference.low, difference.high), (mean, *expected))


def test_rows_may_come_in_any_order_of_seeds():
    rows = create_rows()
    shuffled = [rows[place] for place in np.random.default_rng(0).permutation(len(rows))]
    assert find("all", "real", rows=shuffled) == find("all", "real", rows=rows)


def test_only_conditions_that_were_trained_are_compared():
    differences = utility_table.compute_differences(utility_table.compute_summaries(create_rows()))
    pairs = [(d.condition, d.other) for d in differences if d.measure == "accuracy"]
    assert pairs == list(utility_table.COMPARISONS[:4])


@pytest.mark.parametrize(
    ("condition", "measure", "verdict"),
    [
        ("real+synthetic", "accuracy", "better"),
        ("all", "accuracy", "worse"),
        ("all", "own_probability", "undecided"),
    ],
)
def test_the_verdict_is_by_the_interval(condition, measure, verdict):
    assert find(condition, "real", measure=measure).verdict == verdict


@pytest.mark.parametrize(
    ("synthetic", "verdict"),
    [
        ([0.61, 0.46, 0.5], "undecided"),  # of 0.11, -0.04, 0
        ([0.51, 0.49, 0.5], "equivalent"),  # within 0.05: +-0.025
        ([0.6, 0.6, 0.6], "undecided"),  # three seeds that agree to the last bit
        ([0.6, 0.7], "undecided"),  # two seeds
    ],
)
def test_what_three_seeds_show(synthetic, verdict):
    rows = create_rows({"real": [0.5] * len(synthetic), "real+synthetic": synthetic})
    assert find("real+synthetic", "real", rows=rows).verdict == verdict


def test_means_stand_under_their_header():
    cells = utility_table.create_cells(utility_table.compute_summaries(create_rows()))
    assert {len(row) for row in cells} == {len(utility_table.HEADER)}
    # 0.64 -+ 2.776 * sqrt(0.0558 / 4 / 5)
    assert cells[1] == (
        *("altered_easy", "accuracy", "real+synthetic", "6", "2", "5"),
        *("0.6400", "0.4933", "0.7867"),
    )


def test_differences_stand_under_their_header():
    differences = utility_table.compute_differences(utility_table.compute_summaries(create_rows()))
    cells = utility_table.create_difference_cells(differences)
    assert {len(row) for row in cells} == {len(utility_table.DIFFERENCE_HEADER)}
    # 0.09 -+ 2.776 * sqrt(0.0078 / 4 / 5)
    assert cells[1] == (
        *("altered_easy", "accuracy", "real+synthetic", "real"),
        *("+0.0900", "+0.0352", "+0.1448", "better"),
    )


def test_comparisons_are_counted():
    # Four pairs of conditions, two measures, two test sets.
    assert "16 comparisons" in utility_table.describe(create_rows(test_sets=("altered_easy", "altered_hard")))


@pytest.mark.parametrize(("num_folders", "is_said"), [(5, False), (2, True), (1, True)])
def test_fewer_gans_than_seeds_are_said(num_folders, is_said):
    text = utility_table.describe(create_rows(num_folders=num_folders))
    assert ("real+synthetic, real+augmentation, all: fewer folders" in text) == is_said


@pytest.mark.parametrize(("values", "is_said"), [([1.0] * 3, True), ([1.0, 0.9, 0.8], False)])
def test_seeds_that_all_gave_the_same_are_said(values, is_said):
    rows = [
        ResultRow("real", seed, "", "altered_easy", 6, 2, value, 0.1 * seed**2)
        for seed, value in enumerate(values)
    ]
    assert ("every seed gave the same number" in utility_table.describe(rows)) == is_said


def test_differences_that_are_all_the_same_are_said():
    # The means differ from seed to seed, their differences do not.
    rows = [
        ResultRow(condition, seed, "", "altered_easy", 6, 2, value + gain, 0.1 * (seed + gain * seed))
        for seed, value in enumerate((0.5, 0.6, 0.8))
        for condition, gain in (("real", 0), ("real+synthetic", 0.125))
    ]
    assert "every seed gave the same number" in utility_table.describe(rows)


def test_two_seeds_are_refused():
    rows = create_rows({"real": [0.5, 0.6], "real+synthetic": [0.6, 0.7]})
    assert "2 seeds, and fewer than 3 give none" in utility_table.describe(rows)
    cells = utility_table.create_difference_cells(
        utility_table.compute_differences(utility_table.compute_summaries(rows))
    )
    assert cells[0][-4:] == ("+0.1000", "-", "-", "undecided")


def test_every_form_is_written(tmp_path):
    text = utility_table.write_tables(create_rows(), str(tmp_path))
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        f"{name}.{ending}"
        for name in ("utility", "utility_differences")
        for ending in ("csv", "md", "tex", "txt")
    ]
    assert text.startswith((tmp_path / "utility.txt").read_text())
    assert (tmp_path / "utility_differences.txt").read_text() in text


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
