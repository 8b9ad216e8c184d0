"""The report's findings in sentences, whose numbers are those of measured rows only."""

import dataclasses
import math
from collections.abc import Iterable, Sequence

from fpgan_jax.evaluation.controls.control_table import Verdict
from fpgan_jax.evaluation.controls.verdicts import VerdictRow, choose_real
from fpgan_jax.evaluation.experiments import utility_table
from fpgan_jax.evaluation.measures import identity
from fpgan_jax.evaluation.measures.families import FAMILIES, find_measure
from fpgan_jax.evaluation.measures.measure import Headline, capitalize
from fpgan_jax.evaluation.report import names
from fpgan_jax.evaluation.report.names import describe_collection, format_difference, format_interval, lower
from fpgan_jax.evaluation.study.findings import MEASURED, MeasureRow, is_measured
from fpgan_jax.evaluation.study.print_collection import (
    BASELINE,
    CONTROL,
    HELD_OUT,
    SYNTHETIC,
    Study,
    find_role,
)

# Of the controls that do well, those least like a print are named first.
_ABSURD = [
    *("control_white_noise", "control_bare_frame", "control_low_pass_noise", "control_mean_print"),
    *("control_blurred", "control_average_of_two", "control_mosaic"),
]
_MAX_NAMED = 3
_MAX_LISTED = 8


@dataclasses.dataclass(frozen=True)
class Statement:
    """An answer of the summary from a family's rows, or from those of "controls" or "utility"."""

    family: str
    question: str
    sentences: tuple[str, ...]
    real: tuple[MeasureRow, ...] = ()
    synthetic: tuple[MeasureRow, ...] = ()

    @property
    def anchor(self) -> str:
        """The id of the part of the page that has all numbers."""
        return self.family if self.family in ("controls", "utility") else f"family-{self.family}"


@dataclasses.dataclass(frozen=True)
class Gap:
    """Measures of a family that have no number for one reason; `is_whole` if no synthetic prints have one.

    The status is `REFUSED`, `SKIPPED`, "no value" or "no rows".
    """

    family: str
    status: str
    reason: str
    measures: tuple[str, ...]
    collections: tuple[str, ...]
    is_whole: bool


def find_range(rows: Sequence[MeasureRow]) -> tuple[float, float] | None:
    """Find the lowest and the highest end of some rows' intervals; None without rows."""
    ends = [end for row in rows for end in (row.value, row.low, row.high) if math.isfinite(end)]
    return (min(ends), max(ends)) if ends else None


def summarize(
    study: Study, measures: Sequence[MeasureRow], verdicts: Sequence[VerdictRow] = ()
) -> list[Statement]:
    """State the findings of every family that has a number for synthetic prints, by the families' ranks.

    Families without a headline come last, with their first measure.
    """
    measured: dict[str, dict[str, list[MeasureRow]]] = {}
    for row in measures:
        measured.setdefault(row.family, {}).setdefault(row.measure, []).append(row)
    for family, by_measure in measured.items():
        measured[family] = {name: rows for name, rows in by_measure.items() if _get_synthetic(study, rows)}
    statements = []
    for asked in sorted(FAMILIES.values(), key=lambda one: one.rank):
        by_measure = measured.get(asked.name, {})
        for headline in asked.headlines:
            chosen = [name for name in by_measure if name in headline.names]
            for name in chosen:
                tool = f" ({names.describe_measure(name)})" if len(chosen) > 1 else ""
                statements.append(_state(study, headline, by_measure[name], verdicts, tool))
    statements = _add_matchers_error(study, measures, statements)
    stated = {statement.family for statement in statements}
    for family, by_measure in measured.items():
        if by_measure and family not in stated:
            name, rows = next(iter(by_measure.items()))
            plain = Headline(
                (), f"{names.describe_family(family)}: what was found?", names.describe_measure(name)
            )
            statements.append(_state(study, plain, rows, verdicts))
    return statements


def _add_matchers_error(
    study: Study, measures: Sequence[MeasureRow], statements: list[Statement]
) -> list[Statement]:
    """Add the matcher's own error on real prints to the statements on identity."""
    rates = {measure.name for measure in identity.EQUAL_ERROR_RATE.expand()}
    rows = choose_real(study, [row for row in measures if row.measure in rates and is_measured(row)])
    numbers = [
        f"{_write_number(row)} ({lower(describe_collection(row.collection))})"
        for row in rows
        if find_role(study, row.collection) in (HELD_OUT, BASELINE)
    ]
    if not numbers:
        return statements
    text = f"The matcher's equal error rate on real prints is {_enumerate(numbers)}."
    return [
        dataclasses.replace(statement, sentences=(*statement.sentences, text))
        if statement.family == identity.FAMILY.name
        else statement
        for statement in statements
    ]


def _get_synthetic(study: Study, rows: Sequence[MeasureRow]) -> list[MeasureRow]:
    return [row for row in rows if is_measured(row) and find_role(study, row.collection) == SYNTHETIC]


def _state(
    study: Study,
    headline: Headline,
    rows: Sequence[MeasureRow],
    verdicts: Sequence[VerdictRow],
    tool: str = "",
) -> Statement:
    real, synthetic = choose_real(study, rows), _get_synthetic(study, rows)
    measure = find_measure(synthetic[0].measure)
    word = "of" if headline.is_share else "for"
    numbers = _enumerate([f"{_write_number(row)} {word} {_describe_prints(row)}" for row in synthetic])
    if headline.is_share:
        condition = (
            f" at FAR {names.format_value(measure.rate, 'fraction')}" if measure and measure.rate else ""
        )
        text = f"{numbers} {headline.claim}{condition}{tool}"
    else:
        text = f"{headline.claim}{tool} is {numbers}"
    sentences = [f"{text}{_write_real(study, real)}."]
    sentences += _write_verdicts(synthetic, verdicts)
    controls = [row for row in rows if is_measured(row) and find_role(study, row.collection) == CONTROL]
    sentences += _write_passing(controls, synthetic[0])
    return Statement(rows[0].family, headline.question, tuple(sentences), tuple(real), tuple(synthetic))


def _describe_prints(row: MeasureRow) -> str:
    return {
        "synthetic_training": "the prints from training noise",
        "synthetic_new": "the prints from new noise",
        "synthetic": "the synthetic prints",
    }.get(row.collection, f"the prints in {row.collection}")


def _write_number(row: MeasureRow) -> str:
    return names.format_value(row.value, row.unit)


def _write_real(study: Study, real: Sequence[MeasureRow]) -> str:
    if not real:
        return "; no real prints were measured for comparison"
    numbers = names.format_range([row.value for row in real], real[0].unit)
    kinds = [
        lower(describe_collection(row.collection))
        for row in real
        if find_role(study, row.collection) in (HELD_OUT, BASELINE)
    ]
    whose = f" ({' to '.join(dict.fromkeys((kinds[0], kinds[-1])))})" if kinds else ""
    return f"; real prints{whose}: {numbers}"


def _write_verdicts(synthetic: Sequence[MeasureRow], verdicts: Sequence[VerdictRow]) -> list[str]:
    """Compare the synthetic prints with real ones; a relative margin depends on the real prints that are nearest."""
    by_collection = {row.collection: row for row in verdicts if row.measure == synthetic[0].measure}
    found = [(row, by_collection[row.collection]) for row in synthetic if row.collection in by_collection]
    if not found:
        return []
    parts = [
        f"{_describe_prints(row)} are {verdict.verdict} ({describe_difference(verdict, row.unit)})"
        for row, verdict in found
    ]
    margins = dict.fromkeys(describe_margin(verdict.margin, row.unit) for row, verdict in found)
    return [f"Compared with real prints, {_enumerate(parts)}. {capitalize(_enumerate(list(margins)))}."]


def describe_difference(verdict: VerdictRow, unit: str) -> str:
    """Describe a difference in the unit of `MeasureRow.unit`, its interval, and how it was found."""
    points = "points" if unit == "fraction" else ""
    interval = format_interval(verdict.low, verdict.high, points or unit) or "no interval"
    paired = f", paired by {verdict.num_paired} persons" if verdict.num_paired else ""
    number = format_difference(verdict.difference, unit)
    return f"{number}, {interval}, from {lower(describe_collection(verdict.nearest))}{paired}"


def describe_margin(margin: float, unit: str) -> str:
    """Describe a margin of equivalence in the unit of `MeasureRow.unit`; NaN if there is none."""
    if math.isnan(margin):
        return "no equivalence margin"
    return f"equivalence margin \u00b1{format_difference(margin, unit).removeprefix('+')}"


def _write_passing(controls: Sequence[MeasureRow], bar: MeasureRow) -> list[str]:
    """Name the controls that do as well as the synthetic prints, if the measure has a better direction."""
    family = FAMILIES.get(bar.family)
    if bar.better not in ("higher", "lower") or not controls or (family and family.is_passed_by_any_image):
        return []
    sign = 1 if bar.better == "higher" else -1
    passing = [row for row in controls if sign * row.value >= sign * bar.value]
    of_all = f"of {_count(len(controls), 'control')}"
    if not passing:
        return [f"None {of_all} does at least as well."]
    passing.sort(key=lambda row: _ABSURD.index(row.collection) if row.collection in _ABSURD else len(_ABSURD))
    named = [f"{lower(describe_collection(row.collection))} ({_write_number(row)})" for row in passing]
    among = ", including " if len(named) > _MAX_NAMED else ": "
    verb = "do" if len(passing) > 1 else "does"
    return [f"{len(passing)} {of_all} {verb} at least as well{among}{_enumerate(named[:_MAX_NAMED])}."]


def summarize_controls(controls: Iterable[Verdict]) -> Statement | None:
    """State how many of `EvaluationResults.controls` are caught, and which are not; None if nothing was decided."""
    decided: dict[str, list[bool]] = {}
    for row in controls:
        if row.caught is not None:
            decided.setdefault(row.control, []).append(row.caught)
    if not decided:
        return None
    missed = [lower(describe_collection(name)) for name, caught in decided.items() if not any(caught)]
    num_caught = len(decided) - len(missed)
    text = (
        f"At least one measure catches {num_caught} of {_count(len(decided), 'control')}"
        f"{f'; none catches {_enumerate(missed)}' if missed else ''}."
    )
    if not missed:
        rarest = min(decided, key=lambda name: sum(decided[name]) / len(decided[name]))
        text += (
            f" The hardest to catch is {lower(describe_collection(rarest))}: caught by {sum(decided[rarest])} of "
            f"{_count(len(decided[rarest]), 'measure')}."
        )
    return Statement("controls", "Do the measures detect known faults?", (text,))


def summarize_utility(utility: Sequence[utility_table.ResultRow]) -> Statement | None:
    """State what synthetic prints in the training change on prints that no training used, by experiment 3's rows.

    None without a comparison in which only one condition has synthetic prints.
    """
    summaries = utility_table.compute_summaries(utility) if utility else []
    num_seeds = len({row.seed for row in utility})
    by_pair: dict[tuple[str, str], list[str]] = {}
    for difference in utility_table.compute_differences(summaries):
        condition, other = difference.condition, difference.other
        # All conditions were trained on the prints of the test set "real".
        if difference.measure != "accuracy" or difference.test_set == "real":
            continue
        if not _has_synthetic(condition) or _has_synthetic(other):
            continue
        # "all" minus "real" may be due to its augmentation.
        if condition == "all" and other == "real":
            continue
        interval = format_interval(difference.low, difference.high, "points")
        verdict = f"{interval}: {difference.verdict}" if interval else "no interval"
        number = format_difference(difference.mean, "fraction")
        by_pair.setdefault((condition, other), []).append(
            f"{lower(describe_collection(difference.test_set))} {number} ({verdict})"
        )
    if not by_pair:
        return None
    sentences = [
        f"Accuracy of {condition} minus {other}, {_count(num_seeds, 'seed')}: {', '.join(parts)}."
        for (condition, other), parts in by_pair.items()
    ]
    return Statement("utility", "Does training on synthetic prints help?", tuple(sentences))


def _has_synthetic(condition: str) -> bool:
    return condition == "all" or "synthetic" in condition


def find_gaps(study: Study, measures: Sequence[MeasureRow]) -> list[Gap]:
    """Find what has no number, and why: first the reasons that leave all synthetic prints without one.

    The families that were requested are those of `measures` in the study's settings.
    """

    def is_judged(row: MeasureRow) -> bool:
        return find_role(study, row.collection) in (SYNTHETIC, "")

    judged = {(row.family, row.measure) for row in measures if is_judged(row)}
    # A measure of real prints only, such as a matcher's equal error rate, is measured if they have a number.
    measured = {
        (row.family, row.measure)
        for row in measures
        if is_measured(row) and (is_judged(row) or (row.family, row.measure) not in judged)
    }
    found: dict[tuple[str, str, str, bool], list[MeasureRow]] = {}
    for row in measures:
        if not is_measured(row):
            status = "no value" if row.status == MEASURED else row.status
            is_whole = (row.family, row.measure) not in measured
            found.setdefault((row.family, status, row.note, is_whole), []).append(row)
    gaps = [
        Gap(
            *(family, status, note or "no reason was given"),
            tuple(dict.fromkeys(row.measure for row in rows)),
            tuple(dict.fromkeys(row.collection for row in rows)),
            is_whole,
        )
        for (family, status, note, is_whole), rows in found.items()
    ]
    present = {row.family for row in measures}
    gaps += [
        Gap(family, "no rows", "requested, but it produced no rows", (), (), True)
        for family in study.settings.get("measures", ())
        if family not in present
    ]
    return sorted(gaps, key=lambda gap: not gap.is_whole)


def describe_gaps(gaps: Sequence[Gap]) -> str:
    """List what was not measured on any synthetic prints; "" if everything was."""
    titles: dict[str, dict[str, None]] = {}
    for gap in gaps:
        if gap.is_whole:
            listed = (
                map(names.describe_measure, gap.measures)
                if gap.measures
                else (names.describe_family(gap.family),)
            )
            titles.setdefault(gap.status, {}).update(dict.fromkeys(listed))
    parts = []
    for status, all_titles in titles.items():
        more = f" and {len(all_titles) - _MAX_LISTED} more" if len(all_titles) > _MAX_LISTED else ""
        parts.append(f"{status}: {', '.join(list(all_titles)[:_MAX_LISTED])}{more}")
    return "; ".join(parts)


def _enumerate(parts: Sequence[str]) -> str:
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'s' * (number != 1)}"
