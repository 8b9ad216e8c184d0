"""Owns the evaluation of experiment 3's results: means, paired differences, intervals, tables and the figure."""

import dataclasses
import itertools
import os
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fpgan_jax.errors import UserError
from fpgan_jax.evaluation.statistics import differences, seed_spread
from fpgan_jax.evaluation.statistics.seed_spread import MIN_SEEDS
from fpgan_jax.scoring.figures import save_figure
from fpgan_jax.tables import formats
from fpgan_jax.tables.csv_rows import read_rows

MEASURES = {"accuracy": "accuracy (top-1)", "own_probability": "probability of the own person"}
# A negligible difference, in accuracy and in probability.
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
    *("tested on", "measure", "trained on", "images", "persons", "seeds"),
    *("mean", "95% low", "95% high"),
)
DIFFERENCE_HEADER = (
    *("tested on", "measure", "trained on", "minus"),
    *("difference", "95% low", "95% high", "verdict"),
)


@dataclasses.dataclass(frozen=True)
class ResultRow:
    """What one trained classifier reaches on one test set; one row of the CSV."""

    condition: str
    seed: int
    synthetic_dir: str  # where its synthetic prints came from; "" for none
    test_set: str  # "real" (the training prints), "altered_easy", "altered_medium" or "altered_hard"
    num_images: int
    num_persons: int
    accuracy: float  # share of the prints whose most probable person is right
    own_probability: float  # mean probability of the right person


@dataclasses.dataclass(frozen=True)
class Summary:
    """One measure of one condition on one test set: its values by seed, ascending, their mean and its 95% interval."""

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
    """A condition minus another one on one test set: the mean over the seeds, and its 95% interval."""

    test_set: str
    measure: str
    condition: str
    other: str
    mean: float
    low: float
    high: float

    @property
    def title(self) -> str:
        """What is compared with what."""
        return f"{self.condition} minus {self.other}"

    @property
    def verdict(self) -> str:
        """From `differences.judge`, with `MARGIN`."""
        return differences.judge([differences.Difference(self.mean, self.low, self.high)], "higher", MARGIN)


def read_results(path: str) -> list[ResultRow]:
    """Read results.csv of `launch.measure_utility`.

    Raises:
      UserError: the file is another one.
    """
    try:
        return read_rows(path, ResultRow, "measure_utility")
    except UserError as error:
        raise UserError(f"--utility: {error}; give results.csv") from error


def compute_summaries(rows: Sequence[ResultRow]) -> list[Summary]:
    """Average over the seeds, which all conditions must share, by test set, measure and condition.

    The interval is Student's t. There is none for fewer than `seed_spread.MIN_SEEDS` seeds, or if all seeds gave the
    same number.
    """
    groups: dict[tuple[str, str], list[ResultRow]] = {}
    for row in sorted(rows, key=lambda row: row.seed):
        groups.setdefault((row.test_set, row.condition), []).append(row)
    test_sets = dict.fromkeys(row.test_set for row in rows)
    conditions = dict.fromkeys(row.condition for row in rows)
    summaries = []
    for test_set, measure, condition in itertools.product(test_sets, MEASURES, conditions):
        group = groups[test_set, condition]
        values = {row.seed: getattr(row, measure) for row in group}
        counts = (group[0].num_images, group[0].num_persons)
        mean, *ends = seed_spread.average(np.array([list(values.values())]))
        # Student's interval does not know that a share is between 0 and 1.
        summaries.append(
            Summary(test_set, measure, condition, *counts, values, mean, *np.clip(ends, 0, 1).tolist())
        )
    return summaries


def compute_differences(summaries: Sequence[Summary]) -> list[Difference]:
    """Compare the `COMPARISONS` seed by seed, for each test set and measure.

    The trainings of one seed start from the same weights under every condition, so that their results are paired.

    Source: Student 1908 (paired t).
    """
    found = {(summary.test_set, summary.measure, summary.condition): summary for summary in summaries}
    made = []
    for test_set, measure in dict.fromkeys((summary.test_set, summary.measure) for summary in summaries):
        for condition, other in COMPARISONS:
            if (test_set, measure, condition) in found:
                values, others = (found[test_set, measure, name].values for name in (condition, other))
                paired = np.array([[values[seed] - others[seed] for seed in values]])
                made.append(Difference(test_set, measure, condition, other, *seed_spread.average(paired)))
    return made


def create_cells(summaries: Sequence[Summary]) -> list[tuple[str, ...]]:
    """Write the means as rows of strings under `HEADER`."""
    return [
        (
            *(row.test_set, row.measure, row.condition),
            *map(str, (row.num_images, row.num_persons, len(row.values))),
            *write_numbers((row.mean, row.low, row.high), ".4f"),
        )
        for row in summaries
    ]


def create_difference_cells(found: Sequence[Difference]) -> list[tuple[str, ...]]:
    """Write the differences as rows of strings under `DIFFERENCE_HEADER`."""
    return [
        (
            *(row.test_set, row.measure, row.condition, row.other),
            *write_numbers((row.mean, row.low, row.high), "+.4f"),
            row.verdict,
        )
        for row in found
    ]


def write_numbers(numbers: Iterable[float], form: str) -> list[str]:
    """Format a mean and the ends of its interval, "-" for NaN."""
    return ["-" if np.isnan(number) else format(number, form) for number in numbers]


def describe(rows: Sequence[ResultRow]) -> str:
    """Explain what the numbers mean, in lines of text."""
    num_seeds = len({row.seed for row in rows})
    summaries = compute_summaries(rows)
    found = compute_differences(summaries)
    lines = [
        "real: the prints that every condition trains on, which show that it learned them; altered: prints that no "
        "training saw, though of the same scans.",
        f"Intervals: 95%, by the t distribution over {num_seeds} seeds, differences paired by seed. They are for new "
        "seeds with these persons; other persons may differ by more.",
        f"Verdicts: better or worse where the difference's interval excludes 0, equivalent where it is within "
        f"{MARGIN:g} of 0, else undecided. {len(found)} comparisons are made: where nothing differs, about one in "
        "twenty is still called better or worse.",
    ]
    folders: dict[str, set[str]] = {}
    for row in rows:
        folders.setdefault(row.condition, set()).update({row.synthetic_dir} - {""})
    few = [condition for condition, paths in folders.items() if 0 < len(paths) < num_seeds]
    if few:
        lines.append(
            f"{', '.join(few)}: fewer folders of synthetic prints than seeds, so the intervals do not cover, or not "
            "fully, how much another GAN would differ."
        )
    if num_seeds < MIN_SEEDS:
        lines.append(
            f"-: no interval, and nothing is decided: {num_seeds} seeds, and fewer than {MIN_SEEDS} give none."
        )
    elif any(np.isnan(low) for low in (*(row.low for row in summaries), *(row.low for row in found))):
        lines.append(
            "-: no interval: every seed gave the same number, for example where all prints are recognized."
        )
    return "\n".join(lines)


def write_tables(rows: Sequence[ResultRow], out_dir: str) -> str:
    """Write means and differences as utility.{txt,md,csv,tex} and utility_differences.{txt,md,csv,tex}.

    Returns:
      Both tables as text, and how to read them.
    """
    summaries = compute_summaries(rows)
    tables = {
        "utility": (HEADER, create_cells(summaries)),
        "utility_differences": (DIFFERENCE_HEADER, create_difference_cells(compute_differences(summaries))),
    }
    return "\n".join([*formats.write_tables(out_dir, tables), describe(rows), ""])


def draw(rows: Sequence[ResultRow], path: str | os.PathLike) -> None:
    """Draw each measure on the altered prints by condition, with a line at the first condition's mean, to a PNG."""
    summaries = compute_summaries(rows)
    test_sets = list(dict.fromkeys(row.test_set for row in rows if row.test_set != "real"))
    figure = Figure(figsize=(1 + 3 * len(test_sets), 6), layout="constrained")
    all_axes = figure.subplots(len(MEASURES), len(test_sets), squeeze=False, sharey="row", sharex=True)
    for (measure, label), axes in zip(MEASURES.items(), all_axes, strict=True):
        axes[0].set_ylabel(label)
        for axis, test_set in zip(axes, test_sets, strict=True):
            axis.set_title(test_set.replace("_", " "), fontsize=10)
            chosen = [s for s in summaries if (s.measure, s.test_set) == (measure, test_set)]
            bars = {s.condition: (list(s.values.values()), (s.mean, s.low, s.high)) for s in chosen}
            draw_intervals(axis, bars, chosen[0].mean)
    save_figure(figure, path)


def draw_intervals(
    axis: Axes, bars: Mapping[str, tuple[Sequence[float], tuple[float, float, float]]], level: float
) -> None:
    """Draw a dot for each seed, and beside the dots their mean and its interval.

    Args:
      axis: to draw on.
      bars: label -> (a value for each seed, (mean, low, high)); NaN ends are not drawn.
      level: of a horizontal line.
    """
    for place, (values, (mean, low, high)) in enumerate(bars.values()):
        axis.plot([place + 0.15] * len(values), values, "o", color="0.6", markersize=3)
        interval = np.nan_to_num([[mean - low], [high - mean]])
        axis.errorbar(place, mean, interval, fmt="o", capsize=4, color=f"C{place}")
    axis.axhline(level, color="0.8", linewidth=1, zorder=0)
    axis.set_xticks(range(len(bars)), list(bars), rotation=30, ha="right")
    axis.grid(axis="y", alpha=0.3)
