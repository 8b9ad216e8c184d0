"""Owns what experiment 3's results amount to: means, paired differences, their intervals, tables and the figure.

Does not train or score; `utility.py` does.
"""

import dataclasses
import os
from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from fpgan_jax.evaluation import table_formats
from fpgan_jax.evaluation.bootstrap import compute_spread
from fpgan_jax.whole_file import write_whole

matplotlib.use("Agg")

BASELINE = "real"  # the condition that the others are compared with
MEASURES = {"accuracy": "accuracy (top-1)", "own_probability": "probability of the own person"}
HEADER = (
    "tested on",
    "measure",
    "trained on",
    "images",
    "persons",
    "seeds",
    "mean",
    "95% low",
    "95% high",
    "minus real",
    "its 95% low",
    "its 95% high",
    "verdict",
)


@dataclasses.dataclass(frozen=True)
class ResultRow:
    """What one trained classifier reaches on one test set; one row of the CSV.

    Attributes:
      condition: what it was trained on.
      seed: of its training.
      synthetic_dir: where its synthetic prints came from, "" for none.
      test_set: "real" (the training prints themselves), "altered_easy", "altered_medium" or "altered_hard".
      num_images: prints tested.
      num_persons: of how many persons.
      accuracy: share of the prints whose most probable person is their own.
      own_probability: mean probability of the own person, in [0, 1].
    """

    condition: str
    seed: int
    synthetic_dir: str
    test_set: str
    num_images: int
    num_persons: int
    accuracy: float
    own_probability: float


@dataclasses.dataclass(frozen=True)
class Summary:
    """One measure of one condition on one test set, over the seeds.

    Attributes:
      test_set: as of `ResultRow`.
      measure: one of `MEASURES`.
      condition: as of `ResultRow`.
      num_images: as of `ResultRow`.
      num_persons: as of `ResultRow`.
      values: of each seed, in ascending order of the seeds.
      mean: of the values.
      low: lower end of the mean's 95% interval.
      high: upper end.
      difference: mean over the seeds of value minus the baseline's value; NaN for the baseline itself.
      difference_low: lower end of its 95% interval.
      difference_high: upper end.
    """

    test_set: str
    measure: str
    condition: str
    num_images: int
    num_persons: int
    values: tuple[float, ...]
    mean: float
    low: float
    high: float
    difference: float
    difference_low: float
    difference_high: float

    @property
    def verdict(self) -> str:
        """Say in words on which side of 0 the difference's interval lies."""
        if np.isnan(self.difference):
            return ""
        if self.difference_low > 0:
            return "better than real"
        return "worse than real" if self.difference_high < 0 else "no difference shown"


def compute_summaries(rows: Sequence[ResultRow]) -> list[Summary]:
    """Average over the seeds, and compare every condition with the baseline seed by seed.

    A seed's trainings start from the same weights under every condition, so that differences within a seed are
    compared. The interval is Student's t: of five values a percentile bootstrap that claims 95% holds the truth in
    85% of the cases (`bootstrap.py`), and has nothing to gain from a shape that five values cannot show.

    Args:
      rows: every condition, the baseline among them, with the same seeds, at least two.

    Returns:
      A summary a test set, measure and condition, in that order, each as it first comes.

    Source: Student 1908 (paired t).
    """
    test_sets = dict.fromkeys(row.test_set for row in rows)
    conditions = dict.fromkeys(row.condition for row in rows)
    summaries = []
    for test_set in test_sets:
        by_condition = {
            condition: sorted(
                (row for row in rows if (row.test_set, row.condition) == (test_set, condition)),
                key=lambda row: row.seed,
            )
            for condition in conditions
        }
        for measure in MEASURES:
            values = {
                condition: np.array([getattr(row, measure) for row in chosen])
                for condition, chosen in by_condition.items()
            }
            for condition, chosen in by_condition.items():
                difference = (float("nan"),) * 3
                if condition != BASELINE:
                    difference = _average(values[condition] - values[BASELINE])
                summaries.append(
                    Summary(
                        test_set,
                        measure,
                        condition,
                        chosen[0].num_images,
                        chosen[0].num_persons,
                        tuple(values[condition].tolist()),
                        *_average(values[condition]),
                        *difference,
                    )
                )
    return summaries


def _average(values: np.ndarray) -> tuple[float, float, float]:
    """Return the mean and its 95% interval by the t distribution."""
    # A table of one row: its interval is the t distribution's of the mean.
    return tuple(compute_spread(values[None])[:3])


def create_cells(summaries: Sequence[Summary]) -> list[tuple[str, ...]]:
    """Write the summaries as cells.

    Args:
      summaries: of `compute_summaries`.

    Returns:
      Rows of strings under `HEADER`.
    """
    return [
        (
            summary.test_set,
            summary.measure,
            summary.condition,
            str(summary.num_images),
            str(summary.num_persons),
            str(len(summary.values)),
            *(f"{value:.4f}" for value in (summary.mean, summary.low, summary.high)),
            *(
                "-" if np.isnan(value) else f"{value:+.4f}"
                for value in (summary.difference, summary.difference_low, summary.difference_high)
            ),
            summary.verdict,
        )
        for summary in summaries
    ]


def describe(rows: Sequence[ResultRow], summaries: Sequence[Summary]) -> str:
    """Say what the numbers are and are not.

    Args:
      rows: as of `compute_summaries`.
      summaries: made of them.

    Returns:
      Lines for people.
    """
    num_seeds = len({row.seed for row in rows})
    num_comparisons = sum(not np.isnan(summary.difference) for summary in summaries)
    lines = [
        "real: the prints that every condition trains on, which show that it learnt them; altered: prints that no "
        "training saw, though of the same scans.",
        f"Intervals: 95%, by the t distribution over {num_seeds} seeds, differences paired by seed. They are for new "
        "seeds with these persons; other persons may differ by more.",
        f"{num_comparisons} comparisons stand here: with no true difference, about one in twenty shows one.",
    ]
    num_folders = {
        condition: len({row.synthetic_dir for row in rows if row.condition == condition} - {""})
        for condition in dict.fromkeys(row.condition for row in rows)
    }
    few = [name for name, number in num_folders.items() if 0 < number < num_seeds]
    if few:
        lines.append(
            f"{', '.join(few)}: fewer folders of synthetic prints than seeds; how much another GAN would differ is "
            "not in these intervals, or not enough."
        )
    if any(len(set(summary.values)) == 1 for summary in summaries):
        lines.append(
            "An interval of no width: every seed gave the same number, as where all prints are recognised."
        )
    return "\n".join(lines)


def write_tables(rows: Sequence[ResultRow], out_dir: str) -> str:
    """Write the table in every form.

    Args:
      rows: as of `compute_summaries`.
      out_dir: gets utility.{txt,md,csv,tex}.

    Returns:
      The table as text and how to read it.
    """
    summaries = compute_summaries(rows)
    cells = create_cells(summaries)
    table_formats.write_table(out_dir, "utility", HEADER, cells)
    return f"{table_formats.format_text(HEADER, cells)}\n{describe(rows, summaries)}\n"


def draw(rows: Sequence[ResultRow], path: str | os.PathLike) -> None:
    """Draw each measure on the altered prints by condition: a dot a seed, the mean, and its 95% interval.

    Args:
      rows: as of `compute_summaries`.
      path: the PNG to write.
    """
    summaries = compute_summaries(rows)
    test_sets = list(dict.fromkeys(row.test_set for row in rows if row.test_set != "real"))
    conditions = list(dict.fromkeys(row.condition for row in rows))
    figure = Figure(figsize=(1 + 3 * len(test_sets), 6), layout="constrained")
    all_axes = figure.subplots(len(MEASURES), len(test_sets), squeeze=False, sharey="row", sharex=True)
    for (measure, label), axes in zip(MEASURES.items(), all_axes, strict=True):
        axes[0].set_ylabel(label)
        for axis, test_set in zip(axes, test_sets, strict=True):
            axis.set_title(test_set.replace("_", " "), fontsize=10)
            chosen = [s for s in summaries if (s.measure, s.test_set) == (measure, test_set)]
            for place, summary in enumerate(chosen):
                axis.plot(
                    [place + 0.15] * len(summary.values), summary.values, "o", color="0.6", markersize=3
                )
                interval = [[summary.mean - summary.low], [summary.high - summary.mean]]
                axis.errorbar(place, summary.mean, interval, fmt="o", capsize=4, color=f"C{place}")
            axis.axhline(chosen[conditions.index(BASELINE)].mean, color="0.8", linewidth=1, zorder=0)
            axis.set_xticks(range(len(conditions)), conditions, rotation=30, ha="right")
            axis.grid(axis="y", alpha=0.3)
    with write_whole(path, "wb") as file:
        figure.savefig(file, format="png", dpi=120)
