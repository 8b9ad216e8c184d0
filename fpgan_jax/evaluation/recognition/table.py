"""Owns the evaluation of recognizers' results: means, paired differences, intervals, tables and a figure."""

import itertools
import os
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from fpgan_jax.evaluation.experiments import utility_table
from fpgan_jax.evaluation.recognition.comparisons import POOLED, FingerRow
from fpgan_jax.evaluation.statistics import differences, seed_spread
from fpgan_jax.scoring.figures import save_figure
from fpgan_jax.tables import formats

REAL, AUGMENTATION, EVERY_FINGER, PROCEDURAL = "real", "augmentation", "every_real_finger", "procedural"
# Measure -> (as in the tables, which direction is better).
MEASURES = {
    "tar_1": ("TAR at FAR 1%", "higher"),
    "tar_01": ("TAR at FAR 0.1%", "higher"),
    "equal_error": ("equal error rate", "lower"),
}
# What synthetic prints must add to classical augmentation; also the margin of equivalence.
GOAL = 0.03
# An equal error rate that is hardly better than chance, which gives 0.5.
_WORTHLESS = 0.4
HEADER = (
    *("tested on", "measure", "trained on", "fingers", "genuine pairs", "seeds"),
    *("mean", "95% low", "95% high"),
)


class Average(NamedTuple):
    """A mean over fingers and seeds with equal weights, and its 95% interval for others; NaN if there is none."""

    mean: float
    low: float
    high: float


class Results:
    """The rows of an experiment, as tables of fingers and seeds, which are crossed random effects."""

    def __init__(self, rows: Sequence[FingerRow]):
        """Group rows; every arm must have the same seeds and fingers."""
        self.rows = rows
        self.arms = list(dict.fromkeys(row.arm for row in rows))
        self.test_sets = list(dict.fromkeys(row.test_set for row in rows))
        self.num_seeds = len({row.seed for row in rows})
        self._groups: dict[tuple[str, str], list[FingerRow]] = {}
        for row in sorted(rows, key=lambda row: (row.finger, row.seed)):
            self._groups.setdefault((row.arm, row.test_set), []).append(row)

    def tabulate(self, arm: str, test_set: str, measure: str) -> np.ndarray:
        """Return a measure of every finger and seed: float64 [num_fingers, num_seeds]."""
        values = [getattr(row, measure) for row in self._groups[arm, test_set]]
        return np.array(values, np.float64).reshape(-1, self.num_seeds)

    def count_pairs(self, test_set: str) -> tuple[int, int]:
        """Count a test set's fingers and genuine pairs."""
        counts = {row.finger: row.num_genuine for row in self._groups[self.arms[0], test_set]}
        return len(counts), sum(counts.values())

    def average(self, arm: str, test_set: str, measure: str) -> Average:
        """Average over fingers and seeds; NaN if the measure is refused."""
        mean, low, high = seed_spread.average(self.tabulate(arm, test_set, measure))
        return Average(mean, *np.clip([low, high], 0, 1).tolist())

    def compare(self, arm: str, other: str, test_set: str, measure: str) -> Average:
        """Average the differences of two arms, paired by finger and seed."""
        first, second = (self.tabulate(name, test_set, measure) for name in (arm, other))
        return Average(*seed_spread.average(first - second))


def list_comparisons(arms: Sequence[str]) -> list[tuple[str, str]]:
    """List the pairs of arms to compare: what each adds to augmentation, and to the procedural renderer."""
    found = [(AUGMENTATION, REAL)]
    for other in (AUGMENTATION, PROCEDURAL):
        done = {REAL, AUGMENTATION, other}
        found += [(arm, other) for arm in arms if arm not in done and other in arms]
    return found


def create_cells(results: Results) -> list[tuple[str, ...]]:
    """Write the means as rows of strings under `HEADER`."""
    cells = []
    for test_set, measure, arm in itertools.product(results.test_sets, MEASURES, results.arms):
        counts = map(str, (*results.count_pairs(test_set), results.num_seeds))
        numbers = utility_table.write_numbers(results.average(arm, test_set, measure), ".3f")
        cells.append((test_set, MEASURES[measure][0], arm, *counts, *numbers))
    return cells


def create_difference_cells(results: Results) -> list[tuple[str, ...]]:
    """Write the differences as rows of strings under `utility_table.DIFFERENCE_HEADER`."""
    pairs = list_comparisons(results.arms)
    cells = []
    for test_set, measure, (arm, other) in itertools.product(results.test_sets, MEASURES, pairs):
        found = results.compare(arm, other, test_set, measure)
        name, better = MEASURES[measure]
        verdict = differences.judge([differences.Difference(*found)], better, GOAL)
        numbers = utility_table.write_numbers(found, "+.3f")
        cells.append((test_set, name, arm, other, *numbers, "-" if np.isnan(found.mean) else verdict))
    return cells


def reaches_goal(difference: Average) -> bool:
    """Tell whether a difference of true accept rates is at least `GOAL` and significantly above 0."""
    return difference.mean >= GOAL and difference.low > 0


def describe(results: Results) -> str:
    """Explain what the numbers mean, in lines of text."""
    headline = results.test_sets[-1]
    seeds = f" and other seeds ({results.num_seeds} here)" if results.num_seeds > 1 else " (of one seed)"
    lines = [
        f"Every pair of a test set's prints is compared once. {POOLED}: all sets under one threshold, fingers of two "
        "sets not compared. Every finger has equal weight.",
        f"Intervals: 95%, for other fingers{seeds}; thresholds are taken as they are. Differences are paired by finger "
        "and seed.",
        f"Verdicts: better or worse where the interval excludes 0, equivalent where it is within {GOAL:g} of 0, else "
        "undecided.",
    ]
    if any(np.isnan(results.average(results.arms[0], name, "tar_01").mean) for name in results.test_sets):
        lines.append("-: too few pairs of fingers for this false accept rate (300 for 1%, 3,000 for 0.1%).")
    for arm in results.arms[2:]:
        difference = results.compare(arm, AUGMENTATION, headline, "tar_1")
        verb = "reaches" if reaches_goal(difference) else "does not reach"
        if not np.isnan(difference.mean) and arm != EVERY_FINGER:
            lines.append(
                f"{arm} {verb} {100 * GOAL:g} points over classical augmentation with the interval above 0, at FAR 1% "
                f"on {headline}."
            )
    if results.average(AUGMENTATION, headline, "equal_error").mean > _WORTHLESS:
        lines.append("Recognizers that are no better than chance compare nothing: train for more steps.")
    return "\n".join(lines)


def write_tables(rows: Sequence[FingerRow], out_dir: str) -> str:
    """Write means and differences as recognition.{txt,md,csv,tex} and recognition_differences.{txt,md,csv,tex}.

    Returns:
      Both tables as text, and how to read them.
    """
    results = Results(rows)
    tables = {
        "recognition": (HEADER, create_cells(results)),
        "recognition_differences": (utility_table.DIFFERENCE_HEADER, create_difference_cells(results)),
    }
    return "\n".join([*formats.write_tables(out_dir, tables), describe(results), ""])


def draw(rows: Sequence[FingerRow], path: str | os.PathLike) -> None:
    """Draw the true accept rate at FAR 1%, or else the equal error rate, of every arm and test set to a PNG.

    A line is at classical augmentation's mean.
    """
    results = Results(rows)
    figure = Figure(figsize=(1 + 3 * len(results.test_sets), 4), layout="constrained")
    all_axes = figure.subplots(1, len(results.test_sets), squeeze=False)[0]
    for axis, test_set in zip(all_axes, results.test_sets, strict=True):
        is_refused = np.isnan(results.average(AUGMENTATION, test_set, "tar_1").mean)
        measure = "equal_error" if is_refused else "tar_1"
        axis.set_title(test_set, fontsize=10)
        axis.set_ylabel(MEASURES[measure][0])
        averages = {arm: results.average(arm, test_set, measure) for arm in results.arms}
        bars = {
            arm: (results.tabulate(arm, test_set, measure).mean(0), average)
            for arm, average in averages.items()
        }
        utility_table.draw_intervals(axis, bars, averages[AUGMENTATION].mean)
    save_figure(figure, path)
