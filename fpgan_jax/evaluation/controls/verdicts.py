"""Owns how prints stand to real ones by each measure: better, worse, equivalent or undecided.

Does not measure, and does not know how a difference is told from none (`statistics/differences.py`).
"""

import dataclasses
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from fpgan_jax.evaluation.statistics import differences
from fpgan_jax.evaluation.statistics.differences import Difference
from fpgan_jax.evaluation.study.findings import ImageRow, MeasureRow, is_measured
from fpgan_jax.evaluation.study.print_collection import (
    BASELINE,
    HELD_OUT,
    POPULATION,
    REFERENCE,
    SYNTHETIC,
    Study,
    find_role,
)

# Of a family or, first, of a measure (with or without a matcher's name in front): the roles whose rows are real against
# real, the first that has any.
BASELINES: Mapping[str, tuple[tuple[str, ...], ...]] = {
    # The reference itself is what the classifier and the gallery hold.
    "similarity": ((HELD_OUT,), (BASELINE,)),
    "identity": ((HELD_OUT,), (BASELINE,), (REFERENCE, POPULATION)),
    "failure_to_enrol": ((REFERENCE, HELD_OUT, POPULATION),),
    # A copy of a training print is what is looked for, and an altered impression is such a copy.
    "leakage": ((POPULATION,),),
    # How often another impression of a training print's finger comes as near to it.
    "copy_rate": ((HELD_OUT,), (REFERENCE,)),
    "l1_to_nearest_reference": ((POPULATION,), (REFERENCE,)),
    # Another impression of the finger is what a print that is no copy looks like beside its reference.
    "l1_to_reference": ((HELD_OUT,), (BASELINE,)),
    "psnr_to_reference": ((HELD_OUT,), (BASELINE,)),
    "ssim_to_reference": ((HELD_OUT,), (BASELINE,)),
}
OTHER_BASELINES = ((REFERENCE, HELD_OUT, POPULATION), (BASELINE,))

# A difference of no account, by how a measure's name ends, in its unit. Conventions by judgement, derived from no data.
# Distances of distributions have none, as their scale is their features'.
MARGINS: Mapping[str, float] = {
    "similarity": 0.05,
    "recognised": 0.05,
    "match_rate": 0.05,
    "rank_1": 0.05,
    "eer": 0.02,
    "genuine_score": 10,
    "impostor_score": 2,
    "between_persons_score": 2,
    "within_person_score": 10,
    "within_person_rate": 0.05,
    "collision_rate": 0.01,
    "leak_rate": 0.05,
    "copy_rate": 0.05,
    "source_rate": 0.05,
    "source_score": 10,
    "failure_to_enrol": 0.02,
    "best_score": 5,
    "minutiae_count": 5,
    "per_print": 5,
    "share": 0.05,
    "impression_turn": 2,
    "impression_shift": 10,
    "impression_residual": 0.5,
    "impression_overlap": 0.05,
    "impression_grey_difference": 5,
    "ending_bifurcation_ratio": 0.1,
    "clark_evans_ratio": 0.05,
    "direction_distance": 3,
    "position_distance": 0.05,
    "nfiq2": 5,
    "orientation_coherence": 0.03,
    "checkerboard_2px": 1,
    "checkerboard_4px": 1,
    "precision": 0.1,
    "recall": 0.1,
    "density": 0.1,
    "coverage": 0.1,
}
# The same for what begins so.
_MARGINS_BY_START = {"l1_": 5.0, "psnr_": 1.0, "ssim_": 0.05}
# Of the real prints' own number, as pixels have no scale of their own.
RELATIVE_MARGINS: Mapping[str, float] = {"ridge_period": 0.03}
_CONDITION = re.compile(r"_(at_far|frame)_.*$")

Values = Mapping[tuple[str, str], tuple[np.ndarray, np.ndarray]]


class Comparison(NamedTuple):
    """A row beside the rows of real prints.

    Attributes:
      nearest: the collection of real prints whose number is nearest.
      difference: from that.
      margin: a difference of no account; NaN where none is known.
      verdict: of `differences.judge`, beside all of them.
    """

    nearest: str
    difference: Difference
    margin: float
    verdict: str


@dataclasses.dataclass(frozen=True)
class VerdictRow:
    """How one collection stands to real prints by one measure; as of `Comparison`.

    Attributes:
      measure: as in `MeasureRow`.
      collection: what is judged.
      nearest: as of `Comparison`.
      difference: the collection's number minus that of `nearest`, over the persons compared.
      low: lower end of its 95% interval; NaN where there is none.
      high: upper end.
      num_paired: persons who were compared each with themself; 0 where the two were taken as independent samples.
      margin: as of `Comparison`.
      verdict: as of `Comparison`.
    """

    measure: str
    collection: str
    nearest: str
    difference: float
    low: float
    high: float
    num_paired: int
    margin: float
    verdict: str


def find_margin(measure: str, real_value: float) -> float:
    """Find what difference of a measure is of no account.

    Args:
      measure: its name.
      real_value: what real prints have.

    Returns:
      At least 0; NaN where none is known.
    """
    name = _CONDITION.sub("", measure)
    for ending, margin in MARGINS.items():
        if name == ending or name.endswith(f"_{ending}"):
            return float(margin)
    for start, margin in _MARGINS_BY_START.items():
        if name.startswith(start):
            return margin
    return RELATIVE_MARGINS.get(name, float("nan")) * abs(real_value)


def choose_real(study: Study, rows: Sequence[MeasureRow]) -> list[MeasureRow]:
    """Choose a measure's rows of real prints that its other rows are compared with.

    Args:
      study: tells the roles.
      rows: of one measure.

    Returns:
      Measured rows; may be empty.
    """
    if not rows:
        return []
    for roles in _find_baselines(rows[0].measure, rows[0].family):
        found = [row for row in rows if is_measured(row) and find_role(study, row.collection) in roles]
        if found:
            return found
    return []


def _find_baselines(measure: str, family: str) -> tuple[tuple[str, ...], ...]:
    """Find the roles whose rows of a measure are real against real: groups, of which the first that has any counts."""
    for name, roles in BASELINES.items():
        if measure == name or measure.endswith(f"_{name}"):
            return roles
    return BASELINES.get(family, OTHER_BASELINES)


def collect_values(images: Iterable[ImageRow]) -> Values:
    """Collect the values of single prints: (measure, collection) -> (float64 [n], persons int64 [n])."""
    found: dict[tuple[str, str], list[tuple[float, int]]] = {}
    for row in images:
        found.setdefault((row.measure, row.collection), []).append((row.value, row.person))
    return {
        place: (
            np.array([value for value, _ in pairs], np.float64),
            np.array([person for _, person in pairs]),
        )
        for place, pairs in found.items()
    }


def compare(row: MeasureRow, real: Sequence[MeasureRow], values: Values) -> Comparison | None:
    """Compare a row with those of real prints.

    Where single prints have values, persons who are in both are compared each with themself. Of rates, and of what is
    not a mean over prints, the two intervals are combined, as of independent samples.

    Args:
      row: measured, and with a better direction.
      real: of `choose_real`.
      values: of `collect_values`.

    Returns:
      The comparison; None where there is nothing to compare.
    """
    if not real or not is_measured(row) or not row.better:
        return None
    found = [_subtract(row, other, values) for other in real]
    place = min(range(len(real)), key=lambda place: abs(row.value - real[place].value))
    margin = find_margin(row.measure, real[place].value)
    return Comparison(
        real[place].collection, found[place], margin, differences.judge(found, row.better, margin)
    )


def _subtract(row: MeasureRow, other: MeasureRow, values: Values) -> Difference:
    places = (row.measure, row.collection), (row.measure, other.collection)
    samples = [values[place] for place in places if place in values]
    # Of rates near 0 and 1 most persons' differences are 0, of which Student's interval is too narrow.
    if len(samples) == 2 and not all(_is_rate(sample) for sample, _ in samples):
        return differences.compute_difference(*samples[0], *samples[1])
    return differences.combine_intervals(*((one.value, one.low, one.high) for one in (row, other)))


def _is_rate(values: np.ndarray) -> bool:
    return bool(np.isin(values[~np.isnan(values)], (0, 1)).all())


def judge_synthetic(
    study: Study, measures: Sequence[MeasureRow], images: Sequence[ImageRow]
) -> list[VerdictRow]:
    """Judge every number of synthetic prints that has a better direction.

    Args:
      study: tells the roles.
      measures: rows of all families.
      images: values of single prints.

    Returns:
      A row a measure and collection, in the order of `measures`; what has no real prints beside it is left out.
    """
    by_measure: dict[str, list[MeasureRow]] = {}
    for row in measures:
        by_measure.setdefault(row.measure, []).append(row)
    values = collect_values(images)
    found = []
    for measure, rows in by_measure.items():
        real = choose_real(study, rows)
        for row in rows:
            if find_role(study, row.collection) != SYNTHETIC:
                continue
            if comparison := compare(row, real, values):
                nearest, difference, margin, verdict = comparison
                found.append(VerdictRow(measure, row.collection, nearest, *difference, margin, verdict))
    return found
