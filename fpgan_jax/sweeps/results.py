"""Owns the results of a sweep as numbers: one row per run, and means with intervals over runs that differ in seeds."""

import csv
import dataclasses
import math
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from fpgan_jax.config.fields import FIELDS
from fpgan_jax.evaluation.statistics.seed_spread import average
from fpgan_jax.sweeps.runs import Run, read_record

# Fields that repeat an experiment instead of changing it.
SEED_FIELDS = tuple(name for name in FIELDS if name.split(".")[-1].endswith("seed"))


@dataclasses.dataclass(frozen=True)
class Result:
    """The result of one run, whose `state` is one of `runs.STATES`."""

    name: str
    state: str
    overrides: Mapping[str, Any]
    metrics: Mapping[str, float]  # name -> number: the final metrics, and "best ..." with "best step"
    seconds: float  # duration over all starts
    message: str  # why it failed or was interrupted; "" otherwise


@dataclasses.dataclass(frozen=True)
class Group:
    """Finished runs that differ in seeds only, with their overrides other than seeds."""

    overrides: Mapping[str, Any]
    num_runs: int
    # Metric -> (mean, low, high), with the 95% interval of the mean over new seeds by the t distribution. The ends are
    # NaN for a single run and for crossed seeds.
    means: Mapping[str, tuple[float, float, float]]
    # Whether runs share one seed and differ in another, so that they are not independent.
    are_seeds_crossed: bool


@dataclasses.dataclass(frozen=True)
class ResultTable:
    """The results of a sweep, with every field that it sets; `swept` are those other than seeds with several values."""

    results: tuple[Result, ...]
    groups: tuple[Group, ...]
    fields: tuple[str, ...]
    swept: tuple[str, ...]
    metrics: tuple[str, ...]


def create_table(runs: Sequence[Run], states: Mapping[str, str]) -> ResultTable:
    """Read the results of all runs with their `states`; those of an unfinished run are from its last logged step."""
    results = tuple(_create_result(run, states[run.name]) for run in runs)
    fields = tuple(dict.fromkeys(field for run in runs for field in run.overrides))
    values = {field: {repr(run.overrides.get(field)) for run in runs} for field in fields}
    return ResultTable(
        results,
        tuple(_create_groups(results)),
        fields,
        tuple(field for field in fields if field not in SEED_FIELDS and len(values[field]) > 1),
        tuple(dict.fromkeys(name for result in results for name in result.metrics)),
    )


def _create_result(run: Run, state: str) -> Result:
    record = read_record(run.workdir)
    metrics: dict[str, float] = {}
    for path in run.num_steps:
        part = os.path.dirname(path)
        prefix = f"{part} " if part else ""
        metrics |= {f"{prefix}{name}": value for name, value in _read_training(run, path).items()}
    metrics |= _read_similarities(run.workdir)
    seconds, message = (record.seconds, record.message) if record else (0.0, "")
    message = message if state in ("failed", "interrupted") else ""
    return Result(run.name, state, run.overrides, metrics, seconds, message)


def _read_training(run: Run, path: str) -> dict[str, float]:
    """Read the last row of a training's metrics, and the lowest value of its `best_metric` with the step."""

    def read(rows: list[dict[str, str]]) -> dict[str, float]:
        numbers = [{name: float(text) for name, text in row.items()} for row in rows]
        metrics = {name: value for name, value in numbers[-1].items() if name != "step"}
        # A classifier's best checkpoint is the one with the lowest loss.
        best_metric = run.config.best_metric if run.config.best_metric in metrics else "loss"
        best = min(numbers, key=lambda row: row[best_metric])
        return metrics | {f"best {best_metric}": best[best_metric], "best step": best["step"]}

    return _read_csv(os.path.join(run.workdir, path), read)


def _read_similarities(workdir: str) -> dict[str, float]:
    """Read the paper's similarity scores and those of the controls, of a whole experiment."""

    def read_table(rows: list[dict[str, str]]) -> dict[str, float]:
        ours = next(row for row in rows if row["source"] == "ours")
        return {f"similarity of {kind}": float(ours[f"{kind} mean"]) for kind in ("real", "synthesised")}

    def read_controls(rows: list[dict[str, str]]) -> dict[str, float]:
        return {f"similarity of {row['scored']}": float(row["mean"]) for row in rows}

    table = _read_csv(os.path.join(workdir, "table2.csv"), read_table)
    return table | _read_csv(os.path.join(workdir, "controls.csv"), read_controls)


def _read_csv(path: str, read: Callable[[list[dict[str, str]]], dict[str, float]]) -> dict[str, float]:
    """Read numbers from a CSV of a run, which may be missing or end with an incomplete row."""
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            rows = [row for row in csv.DictReader(file) if None not in row.values()]
        return read(rows)
    except (OSError, ValueError, KeyError, IndexError, StopIteration, csv.Error):
        return {}


def _create_groups(results: Sequence[Result]) -> list[Group]:
    by_overrides: dict[str, list[Result]] = {}
    for result in results:
        if result.state == "finished":
            by_overrides.setdefault(repr(_drop_seeds(result.overrides)), []).append(result)
    return [_create_group(members) for members in by_overrides.values()]


def _create_group(members: Sequence[Result]) -> Group:
    first = members[0]
    # Whether a seed that varies has the same value in several runs.
    numbers = (
        len({repr(member.overrides.get(field)) for member in members})
        for field in SEED_FIELDS
        if field in first.overrides
    )
    are_seeds_crossed = any(1 < number < len(members) for number in numbers)
    means = {}
    for name in first.metrics:
        if all(name in member.metrics for member in members):
            mean, low, high = average(np.array([[member.metrics[name] for member in members]]))
            means[name] = (mean, math.nan, math.nan) if are_seeds_crossed else (mean, low, high)
    return Group(_drop_seeds(first.overrides), len(members), means, are_seeds_crossed)


def _drop_seeds(overrides: Mapping[str, Any]) -> dict[str, Any]:
    return {field: value for field, value in overrides.items() if field not in SEED_FIELDS}


def format_value(value: Any, separator: str = ", ") -> str:
    """Format the value of a field for readers; with "," as `config.files.override_fields` reads it."""
    return separator.join(map(str, value)) if isinstance(value, tuple | list) else str(value)
