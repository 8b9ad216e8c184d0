"""Owns what experiment 3's results amount to: means, paired differences, their intervals, tables and the figure.

Does not train or score; `utility.py` does.
"""

import dataclasses
import itertools
import os
from collections.abc import Iterable, Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fpgan_jax.errors import UserError
from fpgan_jax.evaluation.statistics import differences
from fpgan_jax.evaluation.statistics.seed_spread import MIN_SEEDS, compute_spread
from fpgan_jax.host.whole_file import write_whole
from fpgan_jax.tables import formats
from fpgan_jax.tables.csv_rows import read_rows

matplotlib.use("Agg")

MEASURES = {"accuracy": "accuracy (top-1)", "own_probability": "probability of the own person"}
# A difference of no account, in accuracy as in probability.
MARGIN = 0.05
# Whether synthetic prints help where there is nothing else, and where there is augmentation already.
COMPARISONS = (
    ("real+augmentation", "real"),
    ("real+synthetic", "real"),
    ("all", "real"),
    ("all", "real+augmentation"),
    ("real+synthetic_new", "real"),
)
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
)
DIFFERENCE_HEADER = (
    "tested on",
    "measure",
    "trained on",
    "minus",
    "difference",
    "95% low",
    "95% high",
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
      values: seed -> the measure, in ascending order of the seeds.
      mean: of the values.
      low: lower end of the mean's 95% interval.
      high: upper end.
    """

    test_set: str
    measure: str
    condition: str
    num_images: int
    num_persons: int
    values: Mapping[int, float]
    mean: float
    low: float
    high: float


@dataclasses.dataclass(frozen=True)
class Difference:
    """How much better one condition is than another on one test set.

    Attributes:
      test_set: as of `ResultRow`.
      measure: one of `MEASURES`.
      condition: as of `ResultRow`.
      other: the condition that is subtracted.
      mean: over the seeds, of the condition's value minus the other's of the same seed.
      low: lower end of the mean's 95% interval.
      high: upper end.
    """

    test_set: str
    measure: str
    condition: str
    other: str
    mean: float
    low: float
    high: float

    @property
    def verdict(self) -> str:
        """Decide as of `differences.judge`, with `MARGIN`."""
        return differences.judge([differences.Difference(self.mean, self.low, self.high)], "higher", MARGIN)


def read_results(path: str) -> list[ResultRow]:
    """Read what `launch.measure_utility` wrote as results.csv.

    Raises:
      UserError: the file is another one.
    """
    try:
        return read_rows(path, ResultRow, "measure_utility")
    except UserError as error:
        raise UserError(f"--utility: {error}; give results.csv") from error


def compute_summaries(rows: Sequence[ResultRow]) -> list[Summary]:
    """Average over the seeds.

    The interval is Student's t. Fewer than `seed_spread.MIN_SEEDS` seeds have none, and neither have seeds that all
    gave the same number.

    Args:
      rows: every condition with the same seeds.

    Returns:
      A summary a test set, measure and condition, in that order, each as it first comes.
    """
    groups: dict[tuple[str, str], list[ResultRow]] = {}
    for row in rows:
        groups.setdefault((row.test_set, row.condition), []).append(row)
    test_sets, conditions = (
        dict.fromkeys(getattr(row, name) for row in rows) for name in ("test_set", "condition")
    )
    summaries = []
    for test_set, measure, condition in itertools.product(test_sets, MEASURES, conditions):
        group = sorted(groups[test_set, condition], key=lambda row: row.seed)
        values = {row.seed: getattr(row, measure) for row in group}
        counts = (group[0].num_images, group[0].num_persons)
        mean, *ends = _average(list(values.values()))
        # Student's interval does not know that a share ends at 0 and 1.
        summaries.append(
            Summary(test_set, measure, condition, *counts, values, mean, *np.clip(ends, 0, 1).tolist())
        )
    return summaries


def compute_differences(summaries: Sequence[Summary]) -> list[Difference]:
    """Compare conditions seed by seed.

    The trainings of a seed start from the same weights under every condition, so that their results are paired.

    Args:
      summaries: of `compute_summaries`.

    Returns:
      The `COMPARISONS` whose conditions are there, for each test set and measure.

    Source: Student 1908 (paired t).
    """
    found = {(summary.test_set, summary.measure, summary.condition): summary for summary in summaries}
    made = []
    for test_set, measure in dict.fromkeys((summary.test_set, summary.measure) for summary in summaries):
        for condition, other in COMPARISONS:
            if (test_set, measure, condition) in found:
                values, others = (found[test_set, measure, name].values for name in (condition, other))
                average = _average([values[seed] - others[seed] for seed in values])
                made.append(Difference(test_set, measure, condition, other, *average))
    return made


def _average(values: Sequence[float]) -> tuple[float, float, float]:
    """Return the mean and its 95% interval by the t distribution."""
    # That of a table of one row is the t distribution's.
    mean, low, high = compute_spread(np.array([values]))[:3]
    return mean, low, high


def create_cells(summaries: Sequence[Summary]) -> list[tuple[str, ...]]:
    """Write the means as cells.

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
            *write_numbers((summary.mean, summary.low, summary.high), ".4f"),
        )
        for summary in summaries
    ]


def create_difference_cells(differences: Sequence[Difference]) -> list[tuple[str, ...]]:
    """Write the differences as cells.

    Args:
      differences: of `compute_differences`.

    Returns:
      Rows of strings under `DIFFERENCE_HEADER`.
    """
    return [
        (
            difference.test_set,
            difference.measure,
            difference.condition,
            difference.other,
            *write_numbers((difference.mean, difference.low, difference.high), "+.4f"),
            difference.verdict,
        )
        for difference in differences
    ]


def write_numbers(numbers: Iterable[float], form: str) -> list[str]:
    """Write a mean and its interval's ends, "-" where there is none."""
    return ["-" if np.isnan(number) else format(number, form) for number in numbers]


def describe(rows: Sequence[ResultRow]) -> str:
    """Say what the numbers are and are not.

    Args:
      rows: as of `compute_summaries`.

    Returns:
      Lines for people.
    """
    num_seeds = len({row.seed for row in rows})
    summaries = compute_summaries(rows)
    found = compute_differences(summaries)
    lines = [
        "real: the prints that every condition trains on, which show that it learnt them; altered: prints that no "
        "training saw, though of the same scans.",
        f"Intervals: 95%, by the t distribution over {num_seeds} seeds, differences paired by seed. They are for new "
        "seeds with these persons; other persons may differ by more.",
        f"Verdicts: better or worse where the difference's interval leaves 0 out, equivalent where it lies within "
        f"{MARGIN:g} of 0, else undecided. {len(found)} comparisons are made: where nothing differs, about one in "
        "twenty comes out better or worse all the same.",
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
    if num_seeds < MIN_SEEDS:
        lines.append(
            f"-: no interval, and nothing is decided: {num_seeds} seeds, and fewer than {MIN_SEEDS} give none."
        )
    elif any(np.isnan(low) for low in (*(row.low for row in summaries), *(row.low for row in found))):
        lines.append("-: no interval: every seed gave the same number, as where all prints are recognised.")
    return "\n".join(lines)


def write_tables(rows: Sequence[ResultRow], out_dir: str) -> str:
    """Write means and differences in every form.

    Args:
      rows: as of `compute_summaries`.
      out_dir: gets utility.{txt,md,csv,tex} and utility_differences.{txt,md,csv,tex}.

    Returns:
      Both tables as text and how to read them.
    """
    summaries = compute_summaries(rows)
    tables = {
        "utility": (HEADER, create_cells(summaries)),
        "utility_differences": (DIFFERENCE_HEADER, create_difference_cells(compute_differences(summaries))),
    }
    return f"{formats.write_tables(out_dir, tables)}\n{describe(rows)}\n"


def draw(rows: Sequence[ResultRow], path: str | os.PathLike) -> None:
    """Draw each measure on the altered prints by condition: a dot a seed, the mean, and its 95% interval.

    Args:
      rows: as of `compute_summaries`; a line is drawn at the first condition's mean.
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
                values = list(summary.values.values())
                draw_interval(axis, place, values, (summary.mean, summary.low, summary.high))
            axis.axhline(chosen[0].mean, color="0.8", linewidth=1, zorder=0)
            axis.set_xticks(range(len(conditions)), conditions, rotation=30, ha="right")
            axis.grid(axis="y", alpha=0.3)
    with write_whole(path, "wb") as file:
        figure.savefig(file, format="png", dpi=120)


def draw_interval(
    axis: Axes, place: int, values: Sequence[float], average: tuple[float, float, float]
) -> None:
    """Draw a dot a seed, and beside them their mean and its interval.

    Args:
      axis: to draw on.
      place: on the horizontal axis; it chooses the color.
      values: a seed each.
      average: (mean, low, high); NaN ends are not drawn.
    """
    axis.plot([place + 0.15] * len(values), values, "o", color="0.6", markersize=3)
    mean, low, high = average
    interval = np.nan_to_num([[mean - low], [high - mean]])
    axis.errorbar(place, mean, interval, fmt="o", capsize=4, color=f"C{place}")
