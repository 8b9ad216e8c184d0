"""Owns the table of which measure catches which control: what is known to be wrong, told from real prints or not.

Does not measure or make controls; it is a function of the rows.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from fpgan_jax.evaluation.measurements import MEASURED, Findings, MeasureRow
from fpgan_jax.evaluation.print_collection import (
    BASELINE,
    CONTROL,
    HELD_OUT,
    POPULATION,
    REFERENCE,
    Study,
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
}
OTHER_BASELINES = ((REFERENCE, HELD_OUT, POPULATION), (BASELINE,))
# In words, a large effect: Cohen's d = 0.8 of normal values.
MIN_SUPERIORITY = 0.71
# Of the real prints' values, on each side, beyond which a single image is unlike a real print.
TAIL = 0.025
# Relative; what one image measured in several batches may differ by.
ROUNDING = 1e-5
# A control is caught, too, where most of its prints have no value at all, as real prints nearly always have.
MIN_MISSING = 0.5
MAX_MISSING_BASELINE = 0.05


class Verdict(NamedTuple):
    """Whether one measure catches one control.

    Attributes:
      control: the collection.
      measure: the measure.
      caught: None where it is not decided.
      note: the numbers that it was decided from, or why it was not.
    """

    control: str
    measure: str
    caught: bool | None
    note: str


def create_control_table(study: Study, findings: Findings) -> list[Verdict]:
    """Decide for every measure that has a better direction and every control.

    A control is caught if both hold:

    - its 95% interval lies beyond those of all real-against-real collections, on the worse side (on either, where a
      measure is the better the nearer to real prints). Two intervals as wide as each other that just touch are a
      difference at p = 0.006; of 10 persons each, whose bootstrap intervals are too narrow, at 0.02, of 5 at 0.04.
      That both share persons makes it surer. A control of few persons is missed rather than caught.
    - where single prints have values: of a print of the control and a real one, the control's is the worse in at
      least 71% of all such pairs, equal ones counted half. Without this, a difference of no account would be caught
      if only there were enough prints.

    Where a control is one image for everyone, as the mean print is, and has one value, its interval has no width,
    whatever the number of prints. It is caught if this value lies beyond the middle 95% of the real prints' values,
    on the worse side.

    A control is caught, too, if most of its prints have no value, and at least 95% of the real ones have.

    Real against real are all real impressions; where these have no number, the altered copies of the same scans, the
    hardest alteration included. For the families "similarity" and "identity" held-out impressions come first, or else
    the altered copies; for leakage there are only prints that no generator saw.

    Args:
      study: says which collections are controls, and which are real.
      findings: of every family.

    Returns:
      A verdict a measure and control, measure by measure in the findings' order. Measures of which no control has a
      value are left out.

    Source: McGraw & Wong 1992 (the share of pairs as an effect size); Schenker & Gentleman 2001 (what intervals that
      do not overlap say).
    """
    rows: dict[str, dict[str, MeasureRow]] = {}
    for row in findings.measures:
        if row.better and row.collection in study.collections:
            rows.setdefault(row.measure, {})[row.collection] = row
    values: dict[str, dict[str, list[float]]] = {}
    for image in findings.images:
        values.setdefault(image.measure, {}).setdefault(image.collection, []).append(image.value)
    controls = [name for name, collection in study.collections.items() if collection.role == CONTROL]
    of_one_image = {name for name in controls if _is_one_image(study.collections[name].images)}
    verdicts: list[Verdict] = []
    for measure, by_collection in rows.items():
        by_image = {name: np.array(found) for name, found in values.get(measure, {}).items()}
        decided = [
            _decide(
                by_collection[name],
                _find_baseline(study, by_collection),
                by_image,
                is_one_image=name in of_one_image,
            )
            for name in controls
            if name in by_collection
        ]
        if any(verdict.caught is not None for verdict in decided):
            verdicts += decided
    return verdicts


def find_baselines(measure: str, family: str) -> tuple[tuple[str, ...], ...]:
    """Find the roles whose rows of a measure are real against real: groups, of which the first that has any counts."""
    for name, roles in BASELINES.items():
        if measure == name or measure.endswith(f"_{name}"):
            return roles
    return BASELINES.get(family, OTHER_BASELINES)


def _find_baseline(study: Study, rows: Mapping[str, MeasureRow]) -> list[MeasureRow]:
    """Find the rows of a measure that are real against real and have an interval."""
    measure, family = next((row.measure, row.family) for row in rows.values())
    for roles in find_baselines(measure, family):
        found = [
            row
            for name, row in rows.items()
            if study.collections[name].role in roles and row.status == MEASURED and np.isfinite(row.low)
        ]
        if found:
            return found
    return []


def _is_one_image(images: np.ndarray) -> bool:
    return len(images) > 1 and bool((images == images[:1]).all())


def _decide(
    row: MeasureRow,
    baseline: Sequence[MeasureRow],
    by_image: Mapping[str, np.ndarray],
    *,
    is_one_image: bool,
) -> Verdict:
    own = by_image.get(row.collection, np.zeros(0))
    real = np.concatenate(
        [np.zeros(0), *(by_image[other.collection] for other in baseline if other.collection in by_image)]
    )
    verdict = _find_missing(own, real)
    if verdict is None and row.status != MEASURED:
        verdict = None, row.note
    elif verdict is None and not baseline:
        verdict = None, "no real print to compare with has an interval"
    elif verdict is None and not np.isfinite(row.low):
        verdict = None, row.note or "no interval"
    if verdict is None:
        own, real = own[~np.isnan(own)], real[~np.isnan(real)]
        has_one_value = len(own) > 0 and np.ptp(own) <= ROUNDING * np.abs(own).max()
        if is_one_image and has_one_value and len(real) > 1:
            verdict = _compare_one_value(row, baseline, real)
        else:
            verdict = _compare(row, baseline, own, real)
    return Verdict(row.collection, row.measure, *verdict)


def _find_missing(own: np.ndarray, real: np.ndarray) -> tuple[bool, str] | None:
    if not len(own) or not len(real):
        return None
    missing, missing_real = np.isnan(own).mean(), np.isnan(real).mean()
    if missing <= MIN_MISSING or missing_real > MAX_MISSING_BASELINE:
        return None
    return (
        True,
        f"{np.isnan(own).sum()} of {len(own)} prints have no value; of real prints {missing_real:.0%}",
    )


def _compare_one_value(row: MeasureRow, baseline: Sequence[MeasureRow], real: np.ndarray) -> tuple[bool, str]:
    low, high = np.quantile(real, [TAIL, 1 - TAIL])
    names = ", ".join(other.collection for other in baseline)
    note = f"{row.value:.4g}; {low:.4g} to {high:.4g} are 95% of the prints of {names}"
    return _is_worse(row, row.value < low, row.value > high), note


def _is_worse(row: MeasureRow, is_below: bool, is_above: bool) -> bool:
    return bool(
        (is_above and row.better in ("lower", "real")) or (is_below and row.better in ("higher", "real"))
    )


def _compare(
    row: MeasureRow, baseline: Sequence[MeasureRow], own: np.ndarray, real: np.ndarray
) -> tuple[bool, str]:
    low, high = min(other.low for other in baseline), max(other.high for other in baseline)
    is_above, is_below = row.low > high, row.high < low
    is_caught = _is_worse(row, is_below, is_above)
    names = ", ".join(other.collection for other in baseline)
    note = f"{row.value:.4g} [{row.low:.4g}, {row.high:.4g}]; {low:.4g} to {high:.4g} of {names}"
    if is_caught and len(own) and len(real):
        differences = own[:, None] - real[None, :]
        share = (np.sign(differences) * (1 if is_above else -1)).mean() / 2 + 0.5
        note += f"; worse in {share:.0%} of the pairs"
        is_caught = bool(share >= MIN_SUPERIORITY)
    return is_caught, note
