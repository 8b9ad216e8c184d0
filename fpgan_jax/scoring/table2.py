"""Table 2 of the paper, from the rows of `similarity.py`."""

import dataclasses
import math
from collections.abc import Iterable, Sequence

import numpy as np

from fpgan_jax.errors import UserError
from fpgan_jax.scoring.similarity import KINDS, ScoreRow
from fpgan_jax.tables import formats
from fpgan_jax.tables.csv_rows import read_rows


@dataclasses.dataclass(frozen=True)
class Score:
    """Mean, over all images, and standard deviation of similarity scores."""

    mean: float
    std: float
    num_images: int
    num_persons: int


@dataclasses.dataclass(frozen=True)
class ControlScore:
    """The score of a kind of control, and the share of its images whose most probable person is the one scored."""

    kind: str
    score: Score
    recognized: float


@dataclasses.dataclass(frozen=True)
class SetResult:
    """A set's row of table 2, and its controls."""

    name: str
    real: Score
    synthetic: Score
    controls: tuple[ControlScore, ...] = ()


# Source: Cordeiro & Saito, table 2.
PAPER = {
    name: SetResult(name, Score(*real, *counts), Score(*synthetic, *counts))
    for name, counts, real, synthetic in (
        ("P50", (30, 3), (0.9924, 0.0060), (0.8794, 0.0990)),
        ("P100", (50, 5), (1.0000, 0.0000), (0.9998, 0.0003)),
        ("P150", (80, 8), (1.0000, 0.0000), (1.0000, 0.0000)),
        ("P200", (100, 10), (1.0000, 0.0000), (0.9973, 0.0055)),
        ("P250", (130, 13), (1.0000, 0.0000), (0.9185, 0.2273)),
    )
}

HEADER = (
    *("set", "source", "test images", "persons", "real mean", "real std", "synthesised mean"),
    "synthesised std",
)
CONTROL_HEADER = ("set", "scored", "images", "mean", "std", "recognised", "what it is")


def compute_score(rows: Sequence[ScoreRow], *, std_over: str, std_ddof: int) -> Score:
    """Average the scores of some images.

    Args:
      rows: at least one.
      std_over: "persons" takes the deviation of the persons' means, "images" that of all scores.
      std_ddof: 0 divides by n, 1 by n - 1.

    Returns:
      The score; its deviation is NaN if there are no more values than `std_ddof`.
    """
    by_person: dict[int, list[float]] = {}
    for row in rows:
        by_person.setdefault(row.person, []).append(row.similarity_score)
    scores = [row.similarity_score for row in rows]
    values = [np.mean(own) for own in by_person.values()] if std_over == "persons" else scores
    return Score(float(np.mean(scores)), compute_std(np.array(values), std_ddof), len(scores), len(by_person))


def compute_std(values: np.ndarray, ddof: int) -> float:
    """Compute a standard deviation; NaN if there are no more values than `ddof`."""
    return float(np.std(values, ddof=ddof)) if len(values) > ddof else float("nan")


def compute_table(
    rows: Iterable[ScoreRow], *, std_over: str = "persons", std_ddof: int = 0
) -> list[SetResult]:
    """Compute every set's row and controls.

    Args:
      rows: of one or several sets.
      std_over: see `compute_score`.
      std_ddof: see `compute_score`.

    Returns:
      A result per set: first the paper's, in its order.

    Raises:
      UserError: a set has no real or no synthetic prints, a row is of an unknown kind, or its score is not finite.

    Source: Cordeiro & Saito, table 2; differs in: the paper does not say what its deviation is over;
      `std_over` has both readings.
    """
    by_set: dict[str, dict[str, list[ScoreRow]]] = {}
    for row in rows:
        if row.kind not in KINDS:
            raise UserError(f"{row.file}: unknown kind {row.kind!r} in the scores; one of {', '.join(KINDS)}")
        if not math.isfinite(row.similarity_score):
            raise UserError(
                f"{row.file}: similarity_score is {row.similarity_score} in the scores of set {row.set}; train its "
                "classifier again, since its weights are not finite, and run python -m launch.score_similarity"
            )
        by_set.setdefault(row.set, {}).setdefault(row.kind, []).append(row)
    order = [name for name in PAPER if name in by_set] + sorted(by_set.keys() - PAPER.keys())
    return [_compute_set(name, by_set[name], std_over, std_ddof) for name in order]


def _compute_set(name: str, by_kind: dict[str, list[ScoreRow]], std_over: str, std_ddof: int) -> SetResult:
    for kind in ("real", "synthetic"):
        if kind not in by_kind:
            raise UserError(
                f"set {name}: the scores hold no {kind} prints; run python -m launch.score_similarity"
            )
    scores = {
        kind: compute_score(by_kind[kind], std_over=std_over, std_ddof=std_ddof)
        for kind in KINDS
        if kind in by_kind
    }
    controls = tuple(
        ControlScore(kind, score, float(np.mean([row.top_person == row.person for row in by_kind[kind]])))
        for kind, score in scores.items()
        if kind not in ("real", "synthetic")
    )
    return SetResult(name, scores["real"], scores["synthetic"], controls)


def create_cells(results: Sequence[SetResult]) -> list[tuple[str, ...]]:
    """Write table 2 as rows of strings under `HEADER`: ours of each set, then the paper's."""
    cells = []
    for result in results:
        for source, row in (("ours", result), ("paper", PAPER.get(result.name))):
            if row:
                counts = (str(row.synthetic.num_images), str(row.synthetic.num_persons))
                numbers = (row.real.mean, row.real.std, row.synthetic.mean, row.synthetic.std)
                cells.append((result.name, source, *counts, *map(_write_number, numbers)))
    return cells


def create_control_cells(results: Sequence[SetResult]) -> list[tuple[str, ...]]:
    """Write the controls as rows of strings under `CONTROL_HEADER`."""
    return [
        (
            *(result.name, control.kind, str(control.score.num_images)),
            *(_write_number(control.score.mean), _write_number(control.score.std)),
            *(f"{control.recognized:.0%}", KINDS[control.kind]),
        )
        for result in results
        for control in result.controls
    ]


def _write_number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.4f}"


def describe_std(std_over: str, std_ddof: int) -> str:
    """Describe the deviations in words."""
    values = "the persons' means" if std_over == "persons" else "all images"
    divisor = "n - 1; -: one value has none" if std_ddof else "n"
    return f"std: over {values}, divided by {divisor}"


def write_tables(
    score_paths: Sequence[str], out_dir: str, *, std_over: str = "persons", std_ddof: int = 0
) -> str:
    """Write table 2 and its controls in every format.

    Args:
      score_paths: CSV files of `launch.score_similarity`, one per set.
      out_dir: gets table2.{txt,md,csv,tex} and controls.{txt,md,csv,tex}.
      std_over: see `compute_score`.
      std_ddof: see `compute_score`.

    Returns:
      Both tables as text, with a line on what the deviations are.

    Raises:
      UserError: a file is missing or not a CSV of scores, or two files have the same set.
    """
    rows: list[ScoreRow] = []
    origins: dict[str, str] = {}
    for path in score_paths:
        new_rows = read_rows(path, ScoreRow, "score_similarity")
        for name in {row.set for row in new_rows}:
            if name in origins:
                raise UserError(
                    f"{path}: set {name} was already read from {origins[name]}; give one file per set"
                )
            origins[name] = path
        rows += new_rows
    results = compute_table(rows, std_over=std_over, std_ddof=std_ddof)
    tables = {
        "table2": (HEADER, create_cells(results)),
        "controls": (CONTROL_HEADER, create_control_cells(results)),
    }
    table, controls = formats.write_tables(out_dir, tables)
    return (
        f"{table}({describe_std(std_over, std_ddof)})\n\nControls, scored by the same classifier:\n{controls}"
    )
