"""Owns table 2: a pure function of score rows.

Does not score (`similarity.py`) or format (`formats.py`).
"""

import dataclasses
import math
from collections.abc import Iterable, Sequence

import numpy as np

from fpgan_jax.errors import UserError
from fpgan_jax.scoring.similarity import KINDS, ScoreRow
from fpgan_jax.tables.csv_rows import read_rows
from fpgan_jax.tables.formats import format_text, write_table


@dataclasses.dataclass(frozen=True)
class Score:
    """Mean and standard deviation of similarity scores.

    Attributes:
      mean: over all images, in [0, 1].
      std: over persons' means or over images.
      num_images: how many scores.
      num_persons: of how many persons.
    """

    mean: float
    std: float
    num_images: int
    num_persons: int


@dataclasses.dataclass(frozen=True)
class ControlScore:
    """The score of one kind of control.

    Attributes:
      kind: one of `similarity.KINDS`.
      score: its similarity score.
      recognised: share of the images whose most probable person is the one they are scored as.
    """

    kind: str
    score: Score
    recognised: float


@dataclasses.dataclass(frozen=True)
class SetResult:
    """One set's row of table 2 with its controls.

    Attributes:
      name: the set, for example "P50".
      real: score of the real prints.
      synthetic: score of the synthetic prints.
      controls: every other kind that was scored.
    """

    name: str
    real: Score
    synthetic: Score
    controls: tuple[ControlScore, ...]


@dataclasses.dataclass(frozen=True)
class PaperRow:
    """A row of the paper's table 2."""

    num_images: int
    num_persons: int
    real_mean: float
    real_std: float
    synthetic_mean: float
    synthetic_std: float


# Source: Cordeiro & Saito, table 2.
PAPER = {
    "P50": PaperRow(30, 3, 0.9924, 0.0060, 0.8794, 0.0990),
    "P100": PaperRow(50, 5, 1.0000, 0.0000, 0.9998, 0.0003),
    "P150": PaperRow(80, 8, 1.0000, 0.0000, 1.0000, 0.0000),
    "P200": PaperRow(100, 10, 1.0000, 0.0000, 0.9973, 0.0055),
    "P250": PaperRow(130, 13, 1.0000, 0.0000, 0.9185, 0.2273),
}

HEADER = (
    "set",
    "source",
    "test images",
    "persons",
    "real mean",
    "real std",
    "synthesised mean",
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
      The score. A deviation that its number of values cannot carry (one value with ddof 1) is nan.
    """
    by_person: dict[int, list[float]] = {}
    for row in rows:
        by_person.setdefault(row.person, []).append(row.similarity_score)
    scores = [row.similarity_score for row in rows]
    values = (
        [np.mean(person_scores) for person_scores in by_person.values()] if std_over == "persons" else scores
    )
    std = compute_std(np.array(values), std_ddof)
    return Score(float(np.mean(scores)), std, len(scores), len(by_person))


def compute_std(values: np.ndarray, ddof: int) -> float:
    """Compute a standard deviation; NaN where there are no more values than `ddof`, so that nothing can be said."""
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
      A result a set, in the paper's order, others behind.

    Raises:
      UserError: a set has no real or no synthetic prints, a row is of an unknown kind, or its score is not finite.

    Source: Cordeiro & Saito, table 2; differs in: the paper does not say what its deviation is over;
      both readings can be had.
    """
    by_set: dict[str, dict[str, list[ScoreRow]]] = {}
    for row in rows:
        if row.kind not in KINDS:
            raise UserError(f"{row.file}: unknown kind {row.kind!r} in the scores; one of {', '.join(KINDS)}")
        if not math.isfinite(row.similarity_score):
            raise UserError(
                f"{row.file}: similarity_score is {row.similarity_score} in the scores of set {row.set}; train its "
                "classifier again, whose weights are no longer finite, and run python -m launch.score_similarity"
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

    def compute(kind):
        return compute_score(by_kind[kind], std_over=std_over, std_ddof=std_ddof)

    controls = tuple(
        ControlScore(
            kind, compute(kind), float(np.mean([row.top_person == row.person for row in by_kind[kind]]))
        )
        for kind in KINDS
        if kind in by_kind and kind not in ("real", "synthetic")
    )
    return SetResult(name, compute("real"), compute("synthetic"), controls)


def create_cells(results: Sequence[SetResult]) -> list[tuple[str, ...]]:
    """Write table 2 as cells: our row of each set, and the paper's below it.

    Args:
      results: of `compute_table`.

    Returns:
      Rows of strings under `HEADER`.
    """
    cells = []
    for result in results:
        scores = (result.real.mean, result.real.std, result.synthetic.mean, result.synthetic.std)
        counts = (str(result.synthetic.num_images), str(result.synthetic.num_persons))
        cells.append((result.name, "ours", *counts, *map(_write_number, scores)))
        if paper := PAPER.get(result.name):
            scores = (paper.real_mean, paper.real_std, paper.synthetic_mean, paper.synthetic_std)
            counts = (str(paper.num_images), str(paper.num_persons))
            cells.append((result.name, "paper", *counts, *(f"{value:.4f}" for value in scores)))
    return cells


def create_control_cells(results: Sequence[SetResult]) -> list[tuple[str, ...]]:
    """Write the controls as cells.

    Args:
      results: of `compute_table`.

    Returns:
      Rows of strings under `CONTROL_HEADER`.
    """
    return [
        (
            result.name,
            control.kind,
            str(control.score.num_images),
            f"{control.score.mean:.4f}",
            _write_number(control.score.std),
            f"{control.recognised:.0%}",
            KINDS[control.kind],
        )
        for result in results
        for control in result.controls
    ]


def _write_number(value: float) -> str:
    return "-" if np.isnan(value) else f"{value:.4f}"


def describe_std(std_over: str, std_ddof: int) -> str:
    """Say in words what the deviations are."""
    values = "the persons' means" if std_over == "persons" else "all images"
    divisor = "n - 1; -: one value has none" if std_ddof else "n"
    return f"std: over {values}, divided by {divisor}"


def write_tables(
    score_paths: Sequence[str], out_dir: str, *, std_over: str = "persons", std_ddof: int = 0
) -> str:
    """Write table 2 and its controls in every form.

    Args:
      score_paths: CSV files of `launch.score_similarity`, of one set each.
      out_dir: gets table2.{txt,md,csv,tex} and controls.{txt,md,csv,tex}.
      std_over: see `compute_score`.
      std_ddof: see `compute_score`.

    Returns:
      Both tables as text, with a line that says what the deviations are.

    Raises:
      UserError: a file is missing or not such a CSV, or two files are of the same set.
    """
    rows: list[ScoreRow] = []
    origins: dict[str, str] = {}
    for path in score_paths:
        new_rows = read_rows(path, ScoreRow, "score_similarity")
        for name in {row.set for row in new_rows}:
            if name in origins:
                raise UserError(
                    f"{path}: set {name} was already read from {origins[name]}; give one file a set"
                )
            origins[name] = path
        rows += new_rows
    results = compute_table(rows, std_over=std_over, std_ddof=std_ddof)
    tables = {
        "table2": (HEADER, create_cells(results)),
        "controls": (CONTROL_HEADER, create_control_cells(results)),
    }
    for name, (header, cells) in tables.items():
        write_table(out_dir, name, header, cells)
    texts = [format_text(header, cells) for header, cells in tables.values()]
    return f"{texts[0]}({describe_std(std_over, std_ddof)})\n\nControls, scored by the same classifier:\n{texts[1]}"
