"""Owns the table of which measure catches which control: what is known to be wrong, told from real prints or not.

Does not measure or make controls; it is a function of the rows.
"""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from fpgan_jax.evaluation.controls import verdicts
from fpgan_jax.evaluation.controls.verdicts import Comparison, Values
from fpgan_jax.evaluation.statistics.differences import WORSE
from fpgan_jax.evaluation.study.findings import MEASURED, Findings, MeasureRow
from fpgan_jax.evaluation.study.print_collection import CONTROL, Study

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

    - it is worse than all real-against-real collections, as synthetic prints are judged (`verdicts.compare`): paired by
      person where both have the person, and by more than what counts as equivalent. A control of few persons is missed
      rather than caught.
    - where single prints have values: of a print of the control and a real one, the control's is the worse in at
      least 71% of all such pairs, equal ones counted half. Without this, a difference of no account would be caught
      if only there were enough prints.

    Where a control is one image for everyone, as the mean print is, and has one value, it has no interval, whatever the
    number of prints. It is caught if this value lies beyond the middle 95% of the real prints' values,
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

    Source: McGraw & Wong 1992 (the share of pairs as an effect size).
    """
    rows: dict[str, dict[str, MeasureRow]] = {}
    for row in findings.measures:
        if row.better and row.collection in study.collections:
            rows.setdefault(row.measure, {})[row.collection] = row
    values = verdicts.collect_values(findings.images)
    controls = [name for name, collection in study.collections.items() if collection.role == CONTROL]
    of_one_image = {name for name in controls if _is_one_image(study.collections[name].images)}
    found: list[Verdict] = []
    for by_collection in rows.values():
        real = verdicts.choose_real(study, list(by_collection.values()))
        decided = [
            _decide(by_collection[name], real, values, is_one_image=name in of_one_image)
            for name in controls
            if name in by_collection
        ]
        if any(verdict.caught is not None for verdict in decided):
            found += decided
    return found


def _is_one_image(images: np.ndarray) -> bool:
    return len(images) > 1 and bool((images == images[:1]).all())


def _decide(
    row: MeasureRow, baseline: Sequence[MeasureRow], values: Values, *, is_one_image: bool
) -> Verdict:
    own, *others = (
        values.get((row.measure, name), (np.zeros(0),))[0]
        for name in (row.collection, *(other.collection for other in baseline))
    )
    real = np.concatenate([np.zeros(0), *others])
    decision = _find_missing(own, real)
    if decision is None and row.status != MEASURED:
        decision = None, row.note
    elif decision is None and not baseline:
        decision = None, "there is no real print to compare with"
    if decision is None:
        own, real = own[~np.isnan(own)], real[~np.isnan(real)]
        has_one_value = len(own) > 0 and np.ptp(own) <= ROUNDING * np.abs(own).max()
        if is_one_image and has_one_value and len(real) > 1:
            decision = _compare_one_value(row, baseline, real)
        else:
            if is_one_image and np.isnan(row.low):
                # Other persons would have the same image.
                row = dataclasses.replace(row, low=row.value, high=row.value)
            decision = _compare(row, verdicts.compare(row, baseline, values), own, real)
    return Verdict(row.collection, row.measure, *decision)


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
    row: MeasureRow, comparison: Comparison, own: np.ndarray, real: np.ndarray
) -> tuple[bool | None, str]:
    difference = comparison.difference
    how = f", {difference.num_paired} persons paired" if difference.num_paired else ""
    note = f"{row.value:.4g}; {difference.value:+.4g} from {comparison.nearest}"
    if np.isnan(difference.low):
        # Every person's print is as that person's real one; else there is nothing to decide from.
        is_decided = difference.value == 0
        return (False if is_decided else None), f"{note}{how}, no interval"
    note = f"{note} [{difference.low:+.4g}, {difference.high:+.4g}]{how}; {comparison.verdict}"
    is_caught = comparison.verdict == WORSE
    if is_caught and len(own) and len(real):
        sign = np.sign(difference.value)
        share = (np.sign(own[:, None] - real[None, :]) * sign).mean() / 2 + 0.5
        note += f" in {share:.0%} of the pairs"
        is_caught = bool(share >= MIN_SUPERIORITY)
    return is_caught, note
