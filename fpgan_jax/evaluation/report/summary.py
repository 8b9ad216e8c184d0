"""Owns what the report says in words: sentences whose every number is a row's, and only of rows that were measured.

Does not measure, and does not lay anything out.
"""

import dataclasses
import math
from collections.abc import Iterable, Sequence

from fpgan_jax.evaluation.controls.verdicts import VerdictRow, choose_real
from fpgan_jax.evaluation.experiments import utility_table
from fpgan_jax.evaluation.measures import identity
from fpgan_jax.evaluation.measures.families import FAMILIES, find_measure
from fpgan_jax.evaluation.measures.measure import Headline
from fpgan_jax.evaluation.report.names import (
    describe_collection,
    describe_family,
    describe_measure,
    format_difference,
    format_interval,
    format_range,
    format_value,
    lower,
)
from fpgan_jax.evaluation.study.findings import MEASURED, MeasureRow, is_measured
from fpgan_jax.evaluation.study.print_collection import (
    BASELINE,
    CONTROL,
    HELD_OUT,
    SYNTHETIC,
    Study,
    find_role,
)

# Of the controls that do well, those that are the least like a print are named first.
_ABSURD = ("white_noise", "bare_frame", "low_pass_noise", "mean_print", "blurred", "average_of_two", "mosaic")
_MAX_NAMED = 3
_MAX_LISTED = 8


@dataclasses.dataclass(frozen=True)
class Statement:
    """An answer of the summary.

    Attributes:
      family: where the numbers come from; names the part of the report that has the rest.
      question: in plain words.
      sentences: the answer.
      real: the rows of real prints behind it.
      synthetic: the rows of synthetic prints behind it.
    """

    family: str
    question: str
    sentences: tuple[str, ...]
    real: tuple[MeasureRow, ...] = ()
    synthetic: tuple[MeasureRow, ...] = ()


@dataclasses.dataclass(frozen=True)
class Gap:
    """Measures that have no number, for one reason.

    Attributes:
      family: theirs.
      status: `REFUSED`, `SKIPPED`, "no value" or "no rows".
      reason: the rows' note.
      measures: their names.
      collections: where it holds.
      is_whole: whether no synthetic prints have a number of them either.
    """

    family: str
    status: str
    reason: str
    measures: tuple[str, ...]
    collections: tuple[str, ...]
    is_whole: bool


def find_range(rows: Sequence[MeasureRow]) -> tuple[float, float] | None:
    """Find from where to where some rows lie, with their intervals; None without rows."""
    ends = [end for row in rows for end in (row.value, row.low, row.high) if math.isfinite(end)]
    return (min(ends), max(ends)) if ends else None


def summarise(
    study: Study, measures: Sequence[MeasureRow], verdicts: Sequence[VerdictRow] = ()
) -> list[Statement]:
    """Say what the measures found, of every family that has a number for synthetic prints.

    A family in whose measures no headline is found is spoken of by its first measure.

    Args:
      study: tells the roles.
      measures: rows of all families.
      verdicts: of the synthetic prints.

    Returns:
      The statements, by the families' ranks, families without a headline behind.
    """
    told: dict[str, dict[str, list[MeasureRow]]] = {}
    for row in measures:
        told.setdefault(row.family, {}).setdefault(row.measure, []).append(row)
    for by_measure in told.values():
        for name in [name for name, rows in by_measure.items() if not _get_synthetic(study, rows)]:
            del by_measure[name]
    statements = []
    for asked in sorted(FAMILIES.values(), key=lambda one: one.rank):  # the sort is stable
        by_measure = told.get(asked.name, {})
        for headline in asked.headlines:
            chosen = [name for name in by_measure if name in headline.names]
            for name in chosen:
                statements.append(
                    _state(study, headline, by_measure[name], verdicts, is_named=len(chosen) > 1)
                )
    statements = _add_matchers_error(study, measures, statements)
    spoken_of = {statement.family for statement in statements}
    for family, by_measure in told.items():
        if by_measure and family not in spoken_of:
            name, rows = next(iter(by_measure.items()))
            plain = Headline((), f"{describe_family(family)}: what was found?", describe_measure(name))
            statements.append(_state(study, plain, rows, verdicts, is_named=False))
    return statements


def _add_matchers_error(
    study: Study, measures: Sequence[MeasureRow], statements: Sequence[Statement]
) -> list[Statement]:
    """Say beside what a matcher found how often it errs itself, on real prints."""
    names = {measure.name for measure in identity.EQUAL_ERROR_RATE.expand()}
    rows = [row for row in measures if row.measure in names and is_measured(row)]
    rows = [
        row for row in choose_real(study, rows) if find_role(study, row.collection) in (HELD_OUT, BASELINE)
    ]
    if not rows:
        return list(statements)
    numbers = [f"{_write_number(row)} ({lower(describe_collection(row.collection))})" for row in rows]
    text = f"The matcher itself errs on real prints, by its equal error rate, in {_enumerate(numbers)}."
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
    *,
    is_named: bool,
) -> Statement:
    real, synthetic = choose_real(study, rows), _get_synthetic(study, rows)
    tool = f" ({describe_measure(synthetic[0].measure)})" if is_named else ""
    write = _write_share if headline.is_share else _write_value
    sentences = [f"{write(headline, synthetic, tool)}{_write_real(study, real)}."]
    sentences += _write_verdicts(synthetic, verdicts)
    controls = [row for row in rows if is_measured(row) and find_role(study, row.collection) == CONTROL]
    sentences += _write_passing(controls, synthetic[0])
    return Statement(rows[0].family, headline.question, tuple(sentences), tuple(real), tuple(synthetic))


def _write_share(headline: Headline, synthetic: Sequence[MeasureRow], tool: str) -> str:
    measure = find_measure(synthetic[0].measure)
    condition = f" at FAR {format_value(measure.rate, 'fraction')}" if measure and measure.rate else ""
    numbers = [f"{_write_number(row)} of {_describe_prints(row)}" for row in synthetic]
    return f"{_enumerate(numbers)} {headline.claim}{condition}{tool}"


def _write_value(headline: Headline, synthetic: Sequence[MeasureRow], tool: str) -> str:
    numbers = [f"{_write_number(row)} for {_describe_prints(row)}" for row in synthetic]
    return f"{headline.claim}{tool} is {_enumerate(numbers)}"


def _describe_prints(row: MeasureRow) -> str:
    return {
        "synthetic_training": "the prints of training noise",
        "synthetic_new": "those of new noise",
        "synthetic": "the synthetic prints",
    }.get(row.collection, f"the prints of {row.collection}")


def _write_number(row: MeasureRow) -> str:
    return format_value(row.value, row.unit)


def _write_real(study: Study, real: Sequence[MeasureRow]) -> str:
    if not real:
        return "; no real print was measured beside them"
    numbers = format_range([row.value for row in real], real[0].unit)
    names = [
        lower(describe_collection(row.collection))
        for row in real
        if find_role(study, row.collection) in (HELD_OUT, BASELINE)
    ]
    whose = f" ({' to '.join(dict.fromkeys((names[0], names[-1])))})" if names else ""
    return f"; real prints{whose}: {numbers}"


def _write_verdicts(synthetic: Sequence[MeasureRow], verdicts: Sequence[VerdictRow]) -> list[str]:
    """Say how the synthetic prints stand to real ones, and what difference counts as none."""
    by_collection = {row.collection: row for row in verdicts if row.measure == synthetic[0].measure}
    found = [(row, by_collection[row.collection]) for row in synthetic if row.collection in by_collection]
    if not found:
        return []
    parts = [
        f"{_describe_prints(row)} are {verdict.verdict} ({describe_difference(verdict, row.unit)})"
        for row, verdict in found
    ]
    margin = describe_margin(found[0][1].margin, found[0][0].unit)
    return [f"Beside real prints, {_enumerate(parts)}. {margin[:1].upper()}{margin[1:]}."]


def describe_difference(verdict: VerdictRow, unit: str) -> str:
    """Write a difference with its interval, from which real prints it is, and how it was found.

    Args:
      verdict: whose difference it is.
      unit: as in `MeasureRow.unit`.
    """
    points = "points" if unit == "fraction" else ""
    interval = format_interval(verdict.low, verdict.high, points or unit) or "no interval"
    paired = f", paired by {verdict.num_paired} persons" if verdict.num_paired else ""
    number = format_difference(verdict.difference, unit)
    return f"{number}, {interval}, from {lower(describe_collection(verdict.nearest))}{paired}"


def describe_margin(margin: float, unit: str) -> str:
    """Say what difference counts as none.

    Args:
      margin: as in `VerdictRow`.
      unit: as in `MeasureRow.unit`.
    """
    if math.isnan(margin):
        return "no difference is known to be of no account"
    return f"up to {format_difference(margin, unit).removeprefix('+')} either way counts as equivalent"


def _write_passing(controls: Sequence[MeasureRow], bar: MeasureRow) -> list[str]:
    """Name the controls that do as well as the synthetic prints, by a measure that knows better from worse."""
    family = FAMILIES.get(bar.family)
    if bar.better not in ("higher", "lower") or not controls or (family and family.is_passed_by_any_image):
        return []
    sign = 1 if bar.better == "higher" else -1
    passing = [row for row in controls if sign * row.value >= sign * bar.value]
    if not passing:
        return [f"None of {_count(len(controls), 'control')} does as well."]
    order = [f"control_{name}" for name in _ABSURD]
    passing.sort(
        key=lambda row: order.index(row.collection) if row.collection in order else len(order)
    )  # the sort is stable
    named = [f"{lower(describe_collection(row.collection))} ({_write_number(row)})" for row in passing]
    among = ", among them " if len(named) > _MAX_NAMED else ": "
    return [
        f"{len(passing)} of {_count(len(controls), 'control')} {'do' if len(passing) > 1 else 'does'} as well or "
        f"better{among}{_enumerate(named[:_MAX_NAMED])}."
    ]


def summarise_controls(controls: Iterable[tuple[str, str, bool | None, str]]) -> Statement | None:
    """Say how many controls are caught by any measure, and which by none.

    Args:
      controls: (control, measure, whether it catches it or None, note).

    Returns:
      The statement; None where nothing was decided.
    """
    decided: dict[str, list[bool]] = {}
    for control, _, caught, _ in controls:
        if caught is not None:
            decided.setdefault(control, []).append(bool(caught))
    if not decided:
        return None
    missed = [lower(describe_collection(name)) for name, caught in decided.items() if not any(caught)]
    num_caught = len(decided) - len(missed)
    text = (
        f"{num_caught} of {_count(len(decided), 'control')} {'is' if num_caught == 1 else 'are'} caught by at "
        "least one measure"
    )
    if missed:
        return _state_controls(f"{text}; by none: {_enumerate(missed)}.")
    rarest = min(decided, key=lambda name: sum(decided[name]) / len(decided[name]))
    return _state_controls(
        f"{text}. The hardest to catch is {lower(describe_collection(rarest))}: {sum(decided[rarest])} of "
        f"{_count(len(decided[rarest]), 'measure')} see it."
    )


def _state_controls(text: str) -> Statement:
    return Statement("controls", "Would the measures notice if something were wrong?", (text,))


def summarise_utility(utility: Sequence[utility_table.ResultRow]) -> Statement | None:
    """Say what training on synthetic prints changed on the prints that no training saw.

    Args:
      utility: experiment 3's rows.

    Returns:
      The statement; None without a comparison of which one side alone has synthetic prints.
    """
    summaries = utility_table.compute_summaries(utility) if utility else []
    num_seeds = len({row.seed for row in utility})
    by_pair: dict[tuple[str, str], list[str]] = {}
    for difference in utility_table.compute_differences(summaries):
        # The real prints are those that every condition was trained on.
        if difference.measure != "accuracy" or difference.test_set == "real":
            continue
        if not _is_about_synthetic(difference.condition) or _is_about_synthetic(difference.other):
            continue
        # Of all that is added, augmentation may be what helps.
        if difference.condition == "all" and difference.other == "real":
            continue
        number = format_difference(difference.mean, "fraction")
        if math.isnan(difference.low):
            verdict = "no interval"
        else:
            verdict = f"{format_interval(difference.low, difference.high, 'points')}: {difference.verdict}"
        by_pair.setdefault((difference.condition, difference.other), []).append(
            f"{lower(describe_collection(difference.test_set))} {number} ({verdict})"
        )
    if not by_pair:
        return None
    sentences = [
        f"Accuracy of {condition} minus {other}, {_count(num_seeds, 'seed')}: {', '.join(parts)}."
        for (condition, other), parts in by_pair.items()
    ]
    return Statement("utility", "Does training on them help?", tuple(sentences))


def _is_about_synthetic(condition: str) -> bool:
    return condition == "all" or "synthetic" in condition


def find_gaps(study: Study, measures: Sequence[MeasureRow]) -> list[Gap]:
    """Find what has no number, and why.

    Args:
      study: its settings' `measures` name the families that were asked for.
      measures: rows of all families.

    Returns:
      A gap a reason: those of which no synthetic prints have a number in front, families without any row behind.
    """
    measured = {
        (row.family, row.measure)
        for row in measures
        if is_measured(row) and find_role(study, row.collection) in (SYNTHETIC, "")
    }
    # Of real prints alone, as a matcher's equal error rate
    judged = {
        (row.family, row.measure) for row in measures if find_role(study, row.collection) in (SYNTHETIC, "")
    }
    measured |= {
        (row.family, row.measure)
        for row in measures
        if is_measured(row) and (row.family, row.measure) not in judged
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
        Gap(family, "no rows", "it was asked for and left no row", (), (), True)
        for family in study.settings.get("measures", ())
        if family not in present
    ]
    return sorted(gaps, key=lambda gap: not gap.is_whole)


def describe_gaps(gaps: Sequence[Gap]) -> str:
    """Say in a line what was not measured at all; "" where everything was."""
    titles: dict[str, dict[str, None]] = {}
    for gap in gaps:
        if gap.is_whole:
            names = [describe_measure(name) for name in gap.measures] or [describe_family(gap.family)]
            titles.setdefault(gap.status, {}).update(dict.fromkeys(names))
    return "; ".join(f"{status}: {_list_first(list(names))}" for status, names in titles.items())


def _list_first(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MAX_LISTED} more" if len(names) > _MAX_LISTED else ""
    return ", ".join(names[:_MAX_LISTED]) + more


def _enumerate(parts: Sequence[str]) -> str:
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'s' * (number != 1)}"
