"""Owns the table of which measure catches which control, that is, distinguishes it from real prints."""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from fpgan_jax.evaluation.controls import verdicts
from fpgan_jax.evaluation.controls.verdicts import Comparison, Values
from fpgan_jax.evaluation.statistics.differences import WORSE
from fpgan_jax.evaluation.study.findings import MEASURED, Findings, MeasureRow
from fpgan_jax.evaluation.study.print_collection import CONTROL, Study

# A large effect: Cohen's d = 0.8 of normally distributed values.
MIN_SUPERIORITY = 0.71
# Share of the real prints' values, on each side, beyond which a single image is unlike a real print.
TAIL = 0.025
# Relative difference between values of one image that was measured in several batches.
ROUNDING = 1e-5
# A control is also caught if most of its prints have no value although nearly all real prints have one.
MIN_MISSING = 0.5
MAX_MISSING_BASELINE = 0.05

# Whether a control is caught, None where it is undecided, and the note.
Decision = tuple[bool | None, str]


class Verdict(NamedTuple):
    """Whether a measure catches a control."""

    control: str
    measure: str
    caught: bool | None  # None where it is undecided
    note: str  # the numbers behind the decision, or why there is none


def create_control_table(study: Study, findings: Findings) -> list[Verdict]:
    """Decide for every control and every measure with a better direction whether it catches the control.

    A control is caught if both hold:

    - it is worse than all collections of real prints, judged as synthetic prints are (`verdicts.compare`): paired by
      person where possible, and by more than the margin of equivalence. A control of few persons is missed rather than
      caught.
    - where single prints have values: in at least 71% of all pairs of a control's print and a real one, the control's
      is worse, ties counted half. Otherwise enough prints would make any small difference count.

    A control that is one image for everyone, such as the mean print, and has one value has no interval. It is caught if
    this value is outside the middle 95% of the real prints' values, on the worse side. A control is also caught if most
    of its prints have no value, and at least 95% of the real ones have.

    The baseline is all real impressions; where these have no number, the altered copies of the same scans, the hardest
    alteration included. For the families "similarity" and "identity" it is the held-out impressions, or else the
    altered copies; for leakage only prints that no generator saw.

    Returns:
      A verdict per measure and control, in the findings' order. Measures that no control has a value of are left out.

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
    for measure, by_collection in rows.items():
        real = verdicts.choose_real(study, list(by_collection.values()))
        decided = [
            Verdict(name, measure, *_decide(by_collection[name], real, values, name in of_one_image))
            for name in controls
            if name in by_collection
        ]
        if any(verdict.caught is not None for verdict in decided):
            found += decided
    return found


def _is_one_image(images: np.ndarray) -> bool:
    return len(images) > 1 and bool((images == images[:1]).all())


def _decide(row: MeasureRow, baseline: Sequence[MeasureRow], values: Values, is_one_image: bool) -> Decision:
    names = [row.collection, *(other.collection for other in baseline)]
    own, *others = (values.get((row.measure, name), (np.zeros(0),))[0] for name in names)
    real = np.concatenate([np.zeros(0), *others])
    if len(own) and len(real):
        missing, missing_real = np.isnan(own).mean(), np.isnan(real).mean()
        if missing > MIN_MISSING and missing_real <= MAX_MISSING_BASELINE:
            count = np.isnan(own).sum()
            return True, f"{count} of {len(own)} prints have no value; of real prints {missing_real:.0%}"
    if row.status != MEASURED:
        return None, row.note
    if not baseline:
        return None, "there is no real print to compare with"
    own, real = own[~np.isnan(own)], real[~np.isnan(real)]
    has_one_value = len(own) > 0 and np.ptp(own) <= ROUNDING * np.abs(own).max()
    if is_one_image and has_one_value and len(real) > 1:
        return _compare_one_value(row, baseline, real)
    if is_one_image and np.isnan(row.low):
        # Other persons would have the same image.
        row = dataclasses.replace(row, low=row.value, high=row.value)
    comparison = verdicts.compare(row, baseline, values)
    assert comparison is not None  # the row is measured, has a better direction and a baseline
    return _compare(row, comparison, own, real)


def _compare_one_value(row: MeasureRow, baseline: Sequence[MeasureRow], real: np.ndarray) -> Decision:
    low, high = np.quantile(real, [TAIL, 1 - TAIL])
    names = ", ".join(other.collection for other in baseline)
    note = f"{row.value:.4g}; {low:.4g} to {high:.4g} are 95% of the prints of {names}"
    is_worse = (row.value > high and row.better in ("lower", "real")) or (
        row.value < low and row.better in ("higher", "real")
    )
    return bool(is_worse), note


def _compare(row: MeasureRow, comparison: Comparison, own: np.ndarray, real: np.ndarray) -> Decision:
    difference = comparison.difference
    how = f", {difference.num_paired} persons paired" if difference.num_paired else ""
    note = f"{row.value:.4g}; {difference.value:+.4g} from {comparison.nearest}"
    if np.isnan(difference.low):
        # A difference of 0: every person's print equals that person's real one.
        return (False if difference.value == 0 else None), f"{note}{how}, no interval"
    note = f"{note} [{difference.low:+.4g}, {difference.high:+.4g}]{how}; {comparison.verdict}"
    is_caught = comparison.verdict == WORSE
    if is_caught and len(own) and len(real):
        sign = np.sign(difference.value)
        share = (np.sign(own[:, None] - real[None, :]) * sign).mean() / 2 + 0.5
        note += f" in {share:.0%} of the pairs"
        is_caught = bool(share >= MIN_SUPERIORITY)
    return is_caught, note
