"""Owns what the report says in words: sentences whose every number is a row's, and only of rows that were measured.

Does not measure, and does not lay anything out.
"""

import dataclasses
import math
import re
from collections.abc import Sequence

from fpgan_jax.evaluation.measurements import MEASURED, MeasureRow
from fpgan_jax.evaluation.print_collection import BASELINE, CONTROL, REFERENCE, SYNTHETIC, Study
from fpgan_jax.evaluation.report_names import (
    describe_collection,
    describe_family,
    describe_measure,
    format_difference,
    format_value,
)

BELOW, ABOVE, AMONG = "below real", "above real", "as real"


@dataclasses.dataclass(frozen=True)
class Headline:
    """A question of the summary, and the measure that answers it.

    Attributes:
      family: whose measure it is.
      pattern: of the measure's name; every measure of the family whose name it finds is reported.
      question: in plain words.
      claim: what a share of the prints does ("match their own person"), or what the number is ("The mean score").
      is_share: which of the two.
    """

    family: str
    pattern: str
    question: str
    claim: str
    is_share: bool = False


# In the order of the summary.
HEADLINES = (
    Headline(
        "identity",
        r"match_rate_at_far_0\.01$|^tar_at_far_0\.01$",
        "Do the synthetic prints keep the finger's identity?",
        "match their own person",
        True,
    ),
    Headline(
        "leakage",
        r"at_far_0\.01$",
        "Do they give the training prints away?",
        "match a print of the training",
        True,
    ),
    Headline("uniqueness", r"at_far_0\.01$", "Are they different persons?", "match another person's", True),
    Headline("quality", r"nfiq2", "Are they of a real print's quality?", "The mean NFIQ 2"),
    Headline("minutiae", r"count", "Do they have a real print's minutiae?", "The mean number of minutiae"),
    Headline("ridges", r"period", "Do they have a real print's ridges?", "The mean ridge period"),
    Headline("distribution", r"kid", "Are they spread as real prints are?", "The kernel distance (KID)"),
    Headline("pixels", r"ssim", "Are they copies, grey by grey?", "The mean structural similarity (SSIM)"),
    Headline("similarity", r"score", "What does the paper's own score say?", "The mean score"),
)


@dataclasses.dataclass(frozen=True)
class Statement:
    """An answer of the summary.

    Attributes:
      family: where the numbers come from; names the part of the report that has the rest.
      question: in plain words.
      sentences: the answer.
      rows: the numbers behind it, real against real first, then the synthetic prints; never a control.
    """

    family: str
    question: str
    sentences: tuple[str, ...]
    rows: tuple[MeasureRow, ...] = ()


def is_measured(row: MeasureRow) -> bool:
    """Tell whether a row holds a number; infinity is one."""
    return row.status == MEASURED and not math.isnan(row.value)


def find_role(study: Study, collection: str) -> str:
    """Find a collection's role, "" for a name that is not in the study."""
    return study.collections[collection].role if collection in study.collections else ""


def choose_real(study: Study, rows: Sequence[MeasureRow]) -> list[MeasureRow]:
    """Choose a measure's rows of real prints that its other rows stand beside.

    Other impressions of the same fingers, if it was measured on any; else, and for what is the better the nearer it
    is to the reference's own, the reference.

    Args:
      study: tells the roles.
      rows: of one measure.

    Returns:
      Measured rows; may be none.
    """
    by_role = {
        role: [row for row in rows if is_measured(row) and find_role(study, row.collection) == role]
        for role in (BASELINE, REFERENCE)
    }
    is_near_wanted = any(row.better == "real" for row in rows)
    order = (REFERENCE, BASELINE) if is_near_wanted else (BASELINE, REFERENCE)
    return by_role[order[0]] or by_role[order[1]]


def find_range(rows: Sequence[MeasureRow]) -> tuple[float, float] | None:
    """Find from where to where some rows lie, with their intervals; None without rows."""
    ends = [end for row in rows for end in (row.value, row.low, row.high) if not math.isnan(end)]
    return (min(ends), max(ends)) if ends else None


def compare_with_real(row: MeasureRow, real: Sequence[MeasureRow]) -> str:
    """Compare a row with real prints by the intervals.

    Args:
      row: of synthetic prints or a control.
      real: of `choose_real`.

    Returns:
      `BELOW`, `ABOVE` or `AMONG` where every number has an interval; "" else.
    """
    rows = [row, *real]
    if not real or not all(is_measured(one) for one in rows):
        return ""
    if any(math.isnan(end) for one in rows for end in (one.low, one.high)):
        return ""
    if row.high < min(one.low for one in real):
        return BELOW
    return ABOVE if row.low > max(one.high for one in real) else AMONG


def summarise(study: Study, measures: Sequence[MeasureRow]) -> list[Statement]:
    """Say what the measures found, a statement a family that has a number for synthetic prints.

    A family whose measures no headline knows is spoken of by its first measure.

    Args:
      study: tells the roles.
      measures: rows of all families.

    Returns:
      The statements, in the order of `HEADLINES`, other families behind.
    """
    statements = []
    families = dict.fromkeys([headline.family for headline in HEADLINES] + [row.family for row in measures])
    by_family = {headline.family: headline for headline in HEADLINES}
    for family in families:
        by_measure: dict[str, list[MeasureRow]] = {}
        for row in measures:
            if row.family == family:
                by_measure.setdefault(row.measure, []).append(row)
        told = {name: rows for name, rows in by_measure.items() if _get_synthetic(study, rows)}
        headline = by_family.get(family)
        chosen = [name for name in told if headline and re.search(headline.pattern, name)]
        for name in chosen:
            statements.append(_state(study, headline, told[name], is_named=len(chosen) > 1))
        if told and not chosen:
            name = next(iter(told))
            plain = Headline(
                family, "", f"{describe_family(family)}: what was found?", describe_measure(name)
            )
            statements.append(_state(study, plain, told[name], is_named=False))
    return statements


def _get_synthetic(study: Study, rows: Sequence[MeasureRow]) -> list[MeasureRow]:
    return [row for row in rows if is_measured(row) and find_role(study, row.collection) == SYNTHETIC]


def _state(study: Study, headline: Headline, rows: Sequence[MeasureRow], *, is_named: bool) -> Statement:
    real, synthetic = choose_real(study, rows), _get_synthetic(study, rows)
    write = _write_share if headline.is_share else _write_value
    sentences = [write(headline, synthetic, real, is_named)]
    if passing := _write_passing(study, rows, synthetic):
        sentences.append(passing)
    return Statement(headline.family, headline.question, tuple(sentences), (*real, *synthetic))


def _write_share(
    headline: Headline, synthetic: Sequence[MeasureRow], real: Sequence[MeasureRow], is_named: bool
) -> str:
    first, *others = synthetic
    rate = re.search(r"at_far_([0-9.]+)$", first.measure)
    condition = f" at FAR {format_value(float(rate[1]), 'fraction')}" if rate else ""
    tool = f" ({describe_measure(first.measure)})" if is_named else ""
    text = f"{_describe_prints(first)} {headline.claim} in {_write_value_of(first)}{condition}{tool}"
    text = f"{_capitalise(text)}{_write_real(real)}."
    for row in others:
        text += f" {_capitalise(_describe_prints(row))} do in {_write_value_of(row)}."
    return text


def _write_value(
    headline: Headline, synthetic: Sequence[MeasureRow], real: Sequence[MeasureRow], is_named: bool
) -> str:
    tool = f" ({describe_measure(synthetic[0].measure)})" if is_named else ""
    numbers = [f"{_write_value_of(row)} for {_describe_prints(row)}" for row in synthetic]
    return f"{headline.claim}{tool} is {', '.join(numbers)}{_write_real(real)}."


def _describe_prints(row: MeasureRow) -> str:
    return {
        "synthetic_training": "the synthetic prints of training noise",
        "synthetic_new": "those of new noise",
    }.get(row.collection, f"the prints of {row.collection}")


def _capitalise(text: str) -> str:
    return text[:1].upper() + text[1:]


def _write_value_of(row: MeasureRow) -> str:
    return format_value(row.value, row.unit)


def _write_real(real: Sequence[MeasureRow]) -> str:
    if not real:
        return "; nothing real was measured beside it"
    ordered = sorted(real, key=lambda row: row.value)
    ends = list(dict.fromkeys(_write_value_of(row) for row in (ordered[0], ordered[-1])))
    return f"; real prints: {' to '.join(ends)}"


def _write_passing(study: Study, rows: Sequence[MeasureRow], synthetic: Sequence[MeasureRow]) -> str:
    """Name the controls that do as well as the synthetic prints, by a measure that knows better from worse."""
    better, bar = synthetic[0].better, synthetic[0]
    worst = {"higher": bar.low, "lower": bar.high}.get(better, float("nan"))
    worst = bar.value if math.isnan(worst) else worst
    controls = [row for row in rows if is_measured(row) and find_role(study, row.collection) == CONTROL]
    if better not in ("higher", "lower") or not controls:
        return ""
    passing = [
        f"{describe_collection(row.collection).lower()} {format_value(row.value, row.unit)}"
        for row in controls
        if (row.value >= worst if better == "higher" else row.value <= worst)
    ]
    if not passing:
        return f"None of the {len(controls)} controls does as well."
    return (
        f"As well or better {'do' if len(passing) > 1 else 'does'}, of {_count(len(controls), 'control')}: "
        f"{', '.join(passing)}."
    )


def summarise_controls(controls: Sequence[tuple[str, str, bool | None, str]]) -> Statement | None:
    """Say how many controls are caught by any measure, and which by none.

    Args:
      controls: (control, measure, whether it catches it or None, note).

    Returns:
      The statement; None where nothing was decided.
    """
    decided: dict[str, list[bool]] = {}
    for control, _, caught, _ in controls:
        if caught is not None:
            decided.setdefault(control, []).append(caught)
    if not decided:
        return None
    missed = [describe_collection(name).lower() for name, caught in decided.items() if not any(caught)]
    text = f"{len(decided) - len(missed)} of {_count(len(decided), 'control')} are caught by at least one measure"
    text += f"; by none: {', '.join(missed)}." if missed else "."
    rarest = min(decided, key=lambda name: sum(decided[name]) / len(decided[name]))
    if not missed:
        text += (
            f" The hardest is {describe_collection(rarest).lower()}: {sum(decided[rarest])} of "
            f"{_count(len(decided[rarest]), 'measure')} catch it."
        )
    return Statement("controls", "Would these measures notice if something were wrong?", (text,))


def summarise_utility(utility: Sequence) -> Statement | None:
    """Say what training on synthetic prints changed, for the first measure and each test set.

    Args:
      utility: as `report.UtilitySummary` describes.

    Returns:
      The statement; None where no condition with synthetic prints has a difference.
    """
    measure = utility[0].measure if utility else ""
    sentences = []
    for row in utility:
        if row.measure != measure or "synthetic" not in row.condition or math.isnan(row.difference):
            continue
        if row.test_set == "real":  # what every condition was trained on
            continue
        unit = "fraction"
        span = ""
        verdict = "; without an interval it says nothing"
        if not math.isnan(row.difference_low):
            low, high = (format_difference(end, unit) for end in (row.difference_low, row.difference_high))
            span = f" ({low} to {high}; {_count(len(row.values), 'seed')})"
            verdict = ": no difference shown"
            if row.difference_low > 0:
                verdict = ": it helps"
            elif row.difference_high < 0:
                verdict = ": it harms"
        sentences.append(
            f"{row.condition} against real alone, on {describe_collection(row.test_set).lower()}: "
            f"{measure.replace('_', ' ')} {format_difference(row.difference, unit)}{span}{verdict}."
        )
    if not sentences:
        return None
    return Statement("utility", "Does training on them help?", tuple(sentences))


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'s' * (number != 1)}"


@dataclasses.dataclass(frozen=True)
class Gap:
    """Measures that have no number, for one reason.

    Attributes:
      family: theirs.
      status: `REFUSED`, `SKIPPED`, "no value" or "no rows".
      reason: the rows' note.
      measures: their names.
      collections: where it holds.
    """

    family: str
    status: str
    reason: str
    measures: tuple[str, ...]
    collections: tuple[str, ...]


def find_gaps(study: Study, measures: Sequence[MeasureRow]) -> list[Gap]:
    """Find what has no number, and why.

    Args:
      study: its settings' `measures` name the families that were asked for.
      measures: rows of all families.

    Returns:
      A gap a reason, families without any row behind.
    """
    gaps: dict[tuple[str, str, str], list[MeasureRow]] = {}
    for row in measures:
        if not is_measured(row):
            status = "no value" if row.status == MEASURED else row.status
            gaps.setdefault((row.family, status, row.note), []).append(row)
    found = [
        Gap(
            *(family, status, note or "no reason was given"),
            tuple(dict.fromkeys(row.measure for row in rows)),
            tuple(dict.fromkeys(row.collection for row in rows)),
        )
        for (family, status, note), rows in gaps.items()
    ]
    present = {row.family for row in measures}
    asked = study.settings.get("measures", ())
    return found + [
        Gap(family, "no rows", "it was asked for and left no row", (), ())
        for family in asked
        if family not in present
    ]
