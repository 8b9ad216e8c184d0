"""What a study found, and how it answers the protocol's questions."""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from fpgan_jax.evaluation.controls.verdicts import collect_values
from fpgan_jax.evaluation.measures import identity, leakage, uniqueness, variation
from fpgan_jax.evaluation.measures.families import FAMILIES, find_measure
from fpgan_jax.evaluation.measures.measure import Measure
from fpgan_jax.evaluation.report.names import NO_VALUE, format_interval, format_value
from fpgan_jax.evaluation.statistics.verification import FALSE_ACCEPT_RATES
from fpgan_jax.evaluation.study.findings import Findings, MatchRow, MeasureRow, is_measured
from fpgan_jax.evaluation.study.print_collection import HELD_OUT, POPULATION, REAL_ROLES, Study

_NOT_BESIDE = "there are no real prints to compare with"
# Roles of real prints to compare with: the first that has a number counts.
_REAL = (HELD_OUT, *REAL_ROLES)


class Found(NamedTuple):
    """What was found for a question."""

    value: float  # the number that is judged; NaN if there is none
    text: str  # the number with its interval
    real_text: str = ""  # the same of real prints
    reason: str = ""  # why there is no number
    is_among_real: bool = True  # whether it is in the range of real prints, for questions that need it


@dataclasses.dataclass(frozen=True)
class Numbers:
    """All that a study found, by name."""

    study: Study
    rows: Mapping[tuple[str, str], MeasureRow]  # (measure, collection) -> row
    # (measure, collection) -> values of single prints, float64 [n] without NaN.
    prints: Mapping[tuple[str, str], np.ndarray]
    matches: Sequence[MatchRow]
    # Roles of the real prints that synthetic ones should look like; the first that has a number counts.
    look_roles: Sequence[str] = _REAL

    def find_real(self, measure: str, roles: Sequence[str] = _REAL) -> MeasureRow | None:
        """Find a measure's row of real prints: of the first role that has one."""
        for role in roles:
            for name, collection in self.study.collections.items():
                row = self.rows.get((measure, name))
                if collection.role == role and row is not None and is_measured(row):
                    return row
        return None

    def list_real_prints(self, measure: str, roles: Sequence[str] = REAL_ROLES) -> np.ndarray:
        """Return a measure's values of all real prints of some roles: float64 [n]."""
        names = [name for name, collection in self.study.collections.items() if collection.role in roles]
        found = [self.prints[measure, name] for name in names if (measure, name) in self.prints]
        return np.concatenate([np.zeros(0), *found])


Find = Callable[[Numbers, str], Found]


def arrange(study: Study, findings: Findings, look_roles: Sequence[str] = _REAL) -> Numbers:
    """Arrange a study's findings by name; look_roles as in `Numbers`."""
    rows = {(row.measure, row.collection): row for row in findings.measures}
    prints = {
        place: values[~np.isnan(values)] for place, (values, _) in collect_values(findings.images).items()
    }
    return Numbers(study, rows, prints, findings.matches, look_roles)


def _write(row: MeasureRow | None) -> str:
    if row is None or not is_measured(row):
        return NO_VALUE
    interval = format_interval(row.low, row.high, row.unit)
    return f"{format_value(row.value, row.unit)}{f' ({interval})' if interval else ''}"


def _explain(numbers: Numbers, measure: str, collection: str) -> str:
    """Say why a measure has no number; "" if it has one."""
    row = numbers.rows.get((measure, collection))
    if row is not None:
        return "" if is_measured(row) else row.note
    # A whole family may have been skipped, for example because its matcher is not installed.
    asked = find_measure(measure)
    for (name, place), row in numbers.rows.items():
        skipped = find_measure(name) if place == "all" and not is_measured(row) else None
        if asked and skipped and measure in FAMILIES[row.family].by_name and skipped.matcher == asked.matcher:
            return row.note or f"{measure} was skipped"
    return f"{measure} was not measured"


def find_value(measure: Measure, numbers: Numbers, collection: str, roles: Sequence[str] = _REAL) -> Found:
    """Find a measure's value, and that of real prints of some roles."""
    if reason := _explain(numbers, measure.name, collection):
        return Found(math.nan, NO_VALUE, reason=reason)
    row = numbers.rows[measure.name, collection]
    return Found(row.value, _write(row), _write(numbers.find_real(measure.name, roles)))


def find_look(measure: Measure, numbers: Numbers, collection: str) -> Found:
    """Find a measure's value, and that of the real prints that synthetic ones should look like."""
    return find_value(measure, numbers, collection, numbers.look_roles)


def find_distribution(quantity: Measure, distance: Measure, numbers: Numbers, collection: str) -> Found:
    """Find a distribution's distance; it is among real prints if its median is in their middle four fifths."""
    if reason := _explain(numbers, distance.name, collection):
        return Found(math.nan, NO_VALUE, reason=reason)
    row = numbers.rows[distance.name, collection]
    real = numbers.list_real_prints(quantity.name)
    # Medians: a few askew prints would decide a mean.
    median = float(np.median(numbers.prints[quantity.name, collection]))
    low, middle, high = np.quantile(real, (0.1, 0.5, 0.9))
    text = f"{format_value(median, quantity.unit)}, KS {_write(row)}"
    real_text = f"{format_value(float(middle), quantity.unit)} (10% to 90%: {low:.3g} to {high:.3g})"
    return Found(row.value, text, real_text, is_among_real=bool(low <= median <= high))


def at_strictest_rate(
    find: Callable[[Measure, Numbers, str], Found], measure: Measure, numbers: Numbers, collection: str
) -> Found:
    """Find a rate at the lowest false accept rate for which there are enough real prints."""
    for rate in sorted(FALSE_ACCEPT_RATES):
        found = find(measure.at(rate=rate), numbers, collection)
        if not found.reason:
            return found._replace(text=f"{found.text}, FAR {rate:.1%}")
    return found


def with_held_out(find: Find, numbers: Numbers, collection: str) -> Found:
    """Require held-out real impressions: compared with its own source, a copy would be the best."""
    if any(one.role == HELD_OUT for one in numbers.study.collections.values()):
        return find(numbers, collection)
    return Found(math.nan, NO_VALUE, reason="no other real impression was held out of the training")


def _compare(
    compare: Callable[[MeasureRow, MeasureRow], Found],
    measure: Measure,
    numbers: Numbers,
    collection: str,
    roles: Sequence[str] = _REAL,
    missing: str = _NOT_BESIDE,
) -> Found:
    """Compare a row with that of real prints; `missing` is the reason if there is none."""
    real = numbers.find_real(measure.name, roles)
    if reason := _explain(numbers, measure.name, collection):
        return Found(math.nan, NO_VALUE, _write(real), reason)
    row = numbers.rows[measure.name, collection]
    return compare(row, real) if real else Found(math.nan, _write(row), NO_VALUE, missing)


def find_ratio(measure: Measure, numbers: Numbers, collection: str) -> Found:
    """Find a measure's value divided by that of real prints."""
    return _compare(_divide, measure, numbers, collection)


def find_difference(measure: Measure, numbers: Numbers, collection: str) -> Found:
    """Find a measure's difference from the real prints that synthetic ones should look like."""
    return _compare(_subtract, measure, numbers, collection, numbers.look_roles)


def find_excess(measure: Measure, numbers: Numbers, collection: str) -> Found:
    """Find how far a rate is above strangers'; it is among theirs unless its interval is above theirs."""
    return _compare(_exceed, measure, numbers, collection, (POPULATION,), "there are no prints of strangers")


def _divide(row: MeasureRow, real: MeasureRow) -> Found:
    if not real.value:
        return Found(math.nan, _write(row), _write(real), "the number of real prints is 0")
    ratio = row.value / real.value
    return Found(ratio, f"{ratio:.2f}: {_write(row)}", _write(real))


def _subtract(row: MeasureRow, real: MeasureRow) -> Found:
    return Found(row.value - real.value, _write(row), _write(real))


def _exceed(row: MeasureRow, real: MeasureRow) -> Found:
    if math.isnan(row.low) or math.isnan(real.high):
        return Found(math.nan, _write(row), _write(real), "there are too few fingers for an interval")
    return _subtract(row, real)._replace(is_among_real=row.low <= real.high)


def find_print_ks(measure: Measure, numbers: Numbers, collection: str) -> Found:
    """Find the KS distance of a measure of single prints from real prints."""
    own = numbers.prints.get((measure.name, collection), np.zeros(0))
    real = numbers.list_real_prints(measure.name, numbers.look_roles)
    if not len(own) or not len(real):
        return Found(math.nan, NO_VALUE, reason=_explain(numbers, measure.name, collection) or _NOT_BESIDE)
    distance = variation.compute_ks_distance(own, real)
    return Found(distance, f"KS {distance:.2f}: {own.mean():.3g}", f"{real.mean():.3g}")


def find_source_score(numbers: Numbers, collection: str) -> Found:
    """Find the median score to the source; it is among real pairs' if the distributions are similar."""
    name = leakage.SOURCE_SCORE.at(matcher="nbis").name
    own = numbers.prints.get((name, collection), np.zeros(0))
    real = numbers.list_real_prints(identity.GENUINE_SCORE.at(matcher="nbis").name)
    if not len(own) or not len(real):
        return Found(math.nan, NO_VALUE, reason=_explain(numbers, name, collection) or _NOT_BESIDE)
    distance, median = variation.compute_ks_distance(own, real), float(np.median(own))
    text, real_text = f"{median:.3g}, KS {distance:.2f}", f"{np.median(real):.3g}"
    return Found(median, text, real_text, is_among_real=distance < 0.2)


def find_tail(numbers: Numbers, collection: str) -> Found:
    """Find the score that 1% of comparisons of two fingers exceed."""
    real_names = {one.name for one in numbers.study.collections.values() if one.role in REAL_ROLES}
    own, real = [], []
    for row in numbers.matches:
        if row.matcher != "nbis" or row.probe_person == row.gallery_person:
            continue
        if row.probe_collection == row.gallery_collection == collection:
            own.append(row.score)
        elif {row.probe_collection, row.gallery_collection} <= real_names:
            real.append(row.score)
    if not own:
        name = uniqueness.BETWEEN_PERSONS_SCORE.at(matcher="nbis").name
        reason = _explain(numbers, name, collection) or "no two fingers were compared"
        return Found(math.nan, NO_VALUE, reason=reason)
    tail = float(np.quantile(own, 0.99))
    real_text = f"{np.quantile(real, 0.99):.3g}" if real else ""
    return Found(tail, f"{tail:.3g}, highest {max(own):.3g}", real_text)
