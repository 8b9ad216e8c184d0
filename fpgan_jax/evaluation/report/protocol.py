"""Owns what prints that enlarge a database must reach: the questions, the bounds, and what real prints reach.

Does not measure; it reads the rows of the families. Whether a recogniser gains by them is `recognition`'s.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from fpgan_jax.evaluation.measures import (
    distribution,
    identity,
    leakage,
    minutiae,
    quality,
    uniqueness,
    variation,
)
from fpgan_jax.evaluation.measures.families import FAMILIES, find_measure
from fpgan_jax.evaluation.measures.measure import HEADLINE_RATE, Measure
from fpgan_jax.evaluation.report.names import (
    NO_VALUE,
    describe_collection,
    format_interval,
    format_value,
)
from fpgan_jax.evaluation.statistics.verification import FALSE_ACCEPT_RATES
from fpgan_jax.evaluation.study.findings import Findings, MatchRow, MeasureRow, is_measured
from fpgan_jax.evaluation.study.print_collection import (
    CONTROL,
    HELD_OUT,
    POPULATION,
    REAL_ROLES,
    SYNTHETIC,
    PrintCollection,
    Study,
)
from fpgan_jax.tables.report_table import ReportTable

# What a collection's fingers are: those of real prints, or of nobody.
MORE_IMPRESSIONS, NEW_FINGERS = "more impressions", "new fingers"
GOOD, REACHED, MISSED, UNKNOWN = "good", "reached", "not reached", "not measured"
HEADER = ("question", "prints", "found", "real prints", "must", "good", "answer")
_EXPLANATION = (
    "What prints that enlarge a database must show. More impressions of a finger must be accepted by another real "
    "impression of it without being copies; new fingers must be one finger each and nobody's; both must vary and look "
    "as real prints do. Rates are at a false accept rate of 0.1%, or of 1% where the real prints are too few for that. "
    "Intervals are over fingers. Answers go by the number itself, not by its interval."
)


class Found(NamedTuple):
    """What was found for a question.

    Attributes:
      value: the number that is judged; NaN where there is none.
      text: for people, with its interval.
      real_text: the same of real prints.
      reason: why there is no number.
      is_among_real: whether it is where real prints' numbers are, for questions that ask that.
    """

    value: float
    text: str
    real_text: str = ""
    reason: str = ""
    is_among_real: bool = True


@dataclasses.dataclass(frozen=True)
class Numbers:
    """All that a study found, by name.

    Attributes:
      study: what was measured.
      rows: (measure, collection) -> row.
      prints: (measure, collection) -> float64 [n], without NaN; of single prints.
      matches: scores of comparisons.
      look_roles: whose looks synthetic prints are to have; of the first that has a number.
    """

    study: Study
    rows: Mapping[tuple[str, str], MeasureRow]
    prints: Mapping[tuple[str, str], np.ndarray]
    matches: Sequence[MatchRow]
    look_roles: Sequence[str] = (HELD_OUT, *REAL_ROLES)

    def find_real(self, measure: str, roles: Sequence[str] = (HELD_OUT, *REAL_ROLES)) -> MeasureRow | None:
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


@dataclasses.dataclass(frozen=True)
class Question:
    """One line of the protocol.

    Attributes:
      text: for people.
      kinds: of prints that are asked.
      find: (numbers, collection) -> what was found.
      must: the bound, for people.
      good: likewise, of what would be good; "" where there is no other.
      judge: (what was found) -> whether it is reached, whether it is good.
      number: of the protocol's line.
    """

    text: str
    kinds: tuple[str, ...]
    find: Callable[[Numbers, str], Found]
    must: str
    good: str
    judge: Callable[[Found], tuple[bool, bool]]
    number: int = 0


def create_table(study: Study, findings: Findings) -> ReportTable | None:
    """Answer the protocol's questions for all synthetic prints that have several of a finger.

    Args:
      study: what was measured.
      findings: of all its families.

    Returns:
      The table; None where no finger has two synthetic prints.
    """
    numbers = arrange(study, findings)
    matchers = list(dict.fromkeys(row.matcher for row in findings.matches)) or ["nbis"]
    cells = []
    for name, collection in study.collections.items():
        if collection.role != SYNTHETIC or not _has_several(collection):
            continue
        kind = find_kind(study, collection)
        for question in list_questions(matchers):
            if kind in question.kinds:
                found = question.find(numbers, name)
                cells.append((question.text, name, *_describe(question, found)))
    return (
        ReportTable("protocol", "What enlarging a database takes", _EXPLANATION, HEADER, cells)
        if cells
        else None
    )


def create_wide_table(
    numbers: Numbers, kind: str, questions: Sequence[Question], name: str, title: str
) -> ReportTable:
    """Set all synthetic prints and controls of a study side by side, a row a question.

    Args:
      numbers: what was found.
      kind: of all synthetic prints: `MORE_IMPRESSIONS` or `NEW_FINGERS`.
      questions: those of other kinds are left out.
      name: of the table's files.
      title: of the table.

    Returns:
      The table; controls have numbers and no answer.
    """
    collections = numbers.study.collections.values()
    judged = [collection.name for collection in collections if collection.role == SYNTHETIC]
    controls = [collection.name for collection in collections if collection.role == CONTROL]
    cells = []
    for question in questions:
        if kind not in question.kinds:
            continue
        found = {collection: question.find(numbers, collection) for collection in (*judged, *controls)}
        real_text = next((one.real_text for one in found.values() if one.real_text), NO_VALUE)
        row = [str(question.number), question.text, real_text, question.must, question.good]
        for collection in judged:
            text, *_, answer = _describe(question, found[collection])
            row.append(answer if text == NO_VALUE else f"{text}: {answer}")
        cells.append((*row, *(found[collection].text for collection in controls)))
    names = [describe_collection(control) for control in controls]
    header = ("line", "question", "real prints", "must", "good", *judged, *names)
    return ReportTable(name, title, _EXPLANATION, header, cells)


def find_kind(study: Study, collection: PrintCollection) -> str:
    """Find whether a collection's prints are of fingers that have real prints, most of them, or of new ones."""
    real = {int(p) for c in study.collections.values() if c.role in REAL_ROLES for p in c.persons if p >= 0}
    persons = np.unique(collection.persons[collection.persons >= 0])
    return (
        MORE_IMPRESSIONS if 2 * sum(int(person) in real for person in persons) > len(persons) else NEW_FINGERS
    )


def list_questions(matchers: Iterable[str]) -> list[Question]:
    """List the questions.

    Args:
      matchers: names, as measures begin with; each has its own lines.

    Returns:
      The questions, in the order of the table.
    """
    both = (MORE_IMPRESSIONS, NEW_FINGERS)
    questions = []
    for matcher in matchers:
        questions += _list_matcher_questions(matcher)
    for quantity, distance in zip(variation.MEASURES, variation.DISTANCES, strict=True):
        questions.append(
            Question(
                f"{quantity.title}: distributed as between real impressions",
                both,
                _find_value(distance, shown=quantity),
                "mean within 10% to 90% of real prints'",
                "KS below 0.25",
                lambda found: (found.is_among_real, found.is_among_real and found.value < 0.25),
                number=4,
            )
        )
    for share, text in ((minutiae.ADDED_SHARE, "Minutiae added"), (minutiae.LOST_SHARE, "Minutiae lost")):
        text, found = f"{text}, in the common part", _ask_held_out(_find_value(share))
        bounds = _at_most(0.35, 0.25, "{:.0%}")
        questions.append(Question(text, (MORE_IMPRESSIONS,), found, *bounds, number=5))
    return [
        *questions,
        Question("NFIQ 2: KS from real prints' distribution", both, _find_print_ks(quality.NFIQ2), *_at_most(0.3, 0.15),
                 number=9),
        Question("Minutiae a print, less real prints'", both, _find_difference(minutiae.MINUTIAE_COUNT),
                 "within 8", "",
                 lambda found: (abs(found.value) <= 8, False), number=9),
        Question("KID", both, _find_value(distribution.KID, is_look=True), *_at_most(1, 0.5), number=9),
        Question("Recall", both, _find_value(distribution.RECALL, is_look=True), *_at_least(0.5, 0.8), number=9),
        Question("Grey difference of two impressions, over real ones'", both,
                 _find_ratio(variation.GREY_DIFFERENCE), "at least 0.3", "0.7 to 1.3",
                 lambda found: (found.value >= 0.3, 0.7 <= found.value <= 1.3), number=11),
    ]  # fmt: skip


def _at_least(
    must: float, good: float, form: str = "{:g}"
) -> tuple[str, str, Callable[[Found], tuple[bool, bool]]]:
    words = (f"at least {form.format(bound)}" for bound in (must, good))
    return *words, lambda found: (found.value >= must, found.value >= good)


def _at_most(
    must: float, good: float, form: str = "{:g}"
) -> tuple[str, str, Callable[[Found], tuple[bool, bool]]]:
    words = (f"at most {form.format(bound)}" for bound in (must, good))
    return *words, lambda found: (found.value <= must, found.value <= good)


def _list_matcher_questions(matcher: str) -> list[Question]:
    more, new = (MORE_IMPRESSIONS,), (NEW_FINGERS,)
    at = functools.partial(Measure.at, matcher=matcher)
    return [
        Question(f"Accepted by another real impression over real ones ({matcher})", more,
                 _ask_held_out(_at_strictest_rate(_find_ratio, at(identity.MATCH_RATE))), *_at_least(0.85, 0.95),
                 number=1),
        Question(f"Accepted by its source ({matcher})", more,
                 _at_strictest_rate(_find_value, at(leakage.SOURCE_RATE)), *_at_least(0.9, 0.97, "{:.0%}"), number=2),
        Question(f"Copies: nearer to the source than 95% of real pairs ({matcher})", more,
                 _find_value(at(leakage.COPY_RATE)), *_at_most(0.2, 0.05, "{:.0%}"), number=3),
        *([] if matcher != "nbis" else [
            Question("Copies: median score to the source (nbis)", more, _find_source_score, "at most 180",
                     "KS from real pairs below 0.2",
                     lambda found: (found.value <= 180, found.value <= 180 and found.is_among_real), number=3),
        ]),
        Question(f"Two fingers that match ({matcher})", new,
                 _at_strictest_rate(_find_value, at(uniqueness.COLLISION_RATE)), *_at_most(0.003, 0.001, "{:.1%}"),
                 number=6),
        *([] if matcher != "nbis" else [
            Question("Two fingers' scores: 1% are above (nbis)", new, _find_tail, "at most 30", "",
                     lambda found: (found.value <= 30, False), number=6),
        ]),
        Question(f"One finger's impressions that match ({matcher})", new,
                 _at_strictest_rate(_find_value, at(uniqueness.WITHIN_PERSON_RATE)), "at least 80%", "86% to 96%",
                 lambda found: (found.value >= 0.8, 0.86 <= found.value <= 0.96), number=7),
        Question(f"Leakage at FAR 1%, beside strangers' ({matcher})", new,
                 _find_excess(at(leakage.LEAK_RATE, rate=HEADLINE_RATE)), "interval not above strangers'", "not more",
                 lambda found: (found.is_among_real, found.is_among_real and found.value <= 0), number=8),
    ]  # fmt: skip


def arrange(study: Study, findings: Findings, look_roles: Sequence[str] = (HELD_OUT, *REAL_ROLES)) -> Numbers:
    """Arrange what a study found by name; look_roles as of `Numbers`."""
    prints: dict[tuple[str, str], list[float]] = {}
    for row in findings.images:
        if not math.isnan(row.value):
            prints.setdefault((row.measure, row.collection), []).append(row.value)
    rows = {(row.measure, row.collection): row for row in findings.measures}
    arrays = {name: np.array(values, np.float64) for name, values in prints.items()}
    return Numbers(study, rows, arrays, findings.matches, look_roles)


def _has_several(collection: PrintCollection) -> bool:
    persons = collection.persons[collection.persons >= 0]
    return len(np.unique(persons)) < len(persons)


def _describe(question: Question, found: Found) -> tuple[str, str, str, str, str]:
    if found.reason or math.isnan(found.value):
        answer = f"{UNKNOWN}: {found.reason or 'no number'}"
    else:
        is_reached, is_good = question.judge(found)
        answer = GOOD if is_good else REACHED if is_reached else MISSED
    return found.text, found.real_text, question.must, question.good, answer


def _write(row: MeasureRow | None) -> str:
    if row is None or not is_measured(row):
        return NO_VALUE
    interval = format_interval(row.low, row.high, row.unit)
    return f"{format_value(row.value, row.unit)}{f' ({interval})' if interval else ''}"


def _explain(numbers: Numbers, measure: str, collection: str) -> str:
    row = numbers.rows.get((measure, collection))
    if row is None:
        return _find_skip_reason(numbers, measure) or f"{measure} was not measured"
    return "" if is_measured(row) else row.note


def _find_skip_reason(numbers: Numbers, measure: str) -> str:
    """Say why a whole family has no number by a measure's matcher, such as one that is not installed; "" if it has."""
    asked = find_measure(measure)
    for (name, collection), row in numbers.rows.items():
        if collection != "all" or is_measured(row) or asked is None:
            continue
        skipped = find_measure(name)
        if measure in FAMILIES[row.family].by_name and skipped and skipped.matcher == asked.matcher:
            return row.note
    return ""


def _find_value(
    measure: Measure, shown: Measure | None = None, *, is_look: bool = False
) -> Callable[[Numbers, str], Found]:
    """Find a measure's value; of a distribution's distance people see the mean of the measure `shown`, too.

    Its mean is among real prints' where it is in the middle four fifths of them.
    """

    def find(numbers: Numbers, collection: str) -> Found:
        row = numbers.rows.get((measure.name, collection))
        if reason := _explain(numbers, measure.name, collection):
            return Found(math.nan, NO_VALUE, reason=reason)
        if shown is None:
            roles = numbers.look_roles if is_look else (HELD_OUT, *REAL_ROLES)
            return Found(row.value, _write(row), _write(numbers.find_real(measure.name, roles)))
        real = numbers.list_real_prints(shown.name)
        mean = float(numbers.prints[shown.name, collection].mean())
        low, high = np.quantile(real, (0.1, 0.9))
        text = f"{format_value(mean, shown.unit)}, KS {_write(row)}"
        real_text = f"{format_value(float(real.mean()), shown.unit)} (10% to 90%: {low:.3g} to {high:.3g})"
        return Found(row.value, text, real_text, is_among_real=bool(low <= mean <= high))

    return find


def _at_strictest_rate(
    create: Callable[[Measure], Callable[[Numbers, str], Found]], measure: Measure
) -> Callable[[Numbers, str], Found]:
    """Find a rate at the lowest false accept rate that the real prints' number allows, and say which that is."""

    def find(numbers: Numbers, collection: str) -> Found:
        for rate in sorted(FALSE_ACCEPT_RATES):
            found = create(measure.at(rate=rate))(numbers, collection)
            if not found.reason:
                return found._replace(text=f"{found.text}, FAR {rate:.1%}")
        return found

    return find


def _ask_held_out(find: Callable[[Numbers, str], Found]) -> Callable[[Numbers, str], Found]:
    """Find what is asked of another real impression only where there is one: against its source a copy does best."""

    def find_if_held_out(numbers: Numbers, collection: str) -> Found:
        if any(one.role == HELD_OUT for one in numbers.study.collections.values()):
            return find(numbers, collection)
        return Found(math.nan, NO_VALUE, reason="no other real impression was held out of the training")

    return find_if_held_out


def _find_ratio(measure: Measure) -> Callable[[Numbers, str], Found]:
    def find(numbers: Numbers, collection: str) -> Found:
        row, real = numbers.rows.get((measure.name, collection)), numbers.find_real(measure.name)
        if reason := _explain(numbers, measure.name, collection):
            return Found(math.nan, NO_VALUE, _write(real), reason)
        if real is None or not real.value:
            return Found(math.nan, _write(row), _write(real), "there is nothing of real prints to divide by")
        ratio = row.value / real.value
        return Found(ratio, f"{ratio:.2f}: {_write(row)}", _write(real))

    return find


def _find_difference(measure: Measure) -> Callable[[Numbers, str], Found]:
    def find(numbers: Numbers, collection: str) -> Found:
        row = numbers.rows.get((measure.name, collection))
        real = numbers.find_real(measure.name, numbers.look_roles)
        if reason := _explain(numbers, measure.name, collection):
            return Found(math.nan, NO_VALUE, _write(real), reason)
        if real is None:
            return Found(math.nan, _write(row), "", "there is nothing of real prints beside it")
        return Found(row.value - real.value, _write(row), _write(real))

    return find


def _find_excess(measure: Measure) -> Callable[[Numbers, str], Found]:
    """Find how far a rate is above strangers'; it is among theirs unless its interval is above theirs."""

    def find(numbers: Numbers, collection: str) -> Found:
        row, real = (
            numbers.rows.get((measure.name, collection)),
            numbers.find_real(measure.name, (POPULATION,)),
        )
        if reason := _explain(numbers, measure.name, collection):
            return Found(math.nan, NO_VALUE, _write(real), reason)
        if real is None:
            return Found(math.nan, _write(row), "", "there are no prints of strangers")
        if math.isnan(row.low) or math.isnan(real.high):
            return Found(
                math.nan, _write(row), _write(real), "too few fingers for the interval that is asked"
            )
        is_among_real = row.low <= real.high
        return Found(row.value - real.value, _write(row), _write(real), is_among_real=is_among_real)

    return find


def _find_print_ks(measure: Measure) -> Callable[[Numbers, str], Found]:
    def find(numbers: Numbers, collection: str) -> Found:
        own = numbers.prints.get((measure.name, collection), np.zeros(0))
        real = numbers.list_real_prints(measure.name, numbers.look_roles)
        if not len(own) or not len(real):
            reason = (
                _explain(numbers, measure.name, collection) or "there is nothing of real prints beside it"
            )
            return Found(math.nan, NO_VALUE, reason=reason)
        distance = variation.compute_ks_distance(own, real)
        return Found(distance, f"KS {distance:.2f}: {own.mean():.3g}", f"{real.mean():.3g}")

    return find


def _find_source_score(numbers: Numbers, collection: str) -> Found:
    """Find the median score to the source, which is among real pairs' where their distributions are alike."""
    name = leakage.SOURCE_SCORE.at(matcher="nbis").name
    own = numbers.prints.get((name, collection), np.zeros(0))
    real = numbers.list_real_prints(identity.GENUINE_SCORE.at(matcher="nbis").name)
    if not len(own) or not len(real):
        reason = _explain(numbers, name, collection) or "there is no pair of real prints beside it"
        return Found(math.nan, NO_VALUE, reason=reason)
    distance = variation.compute_ks_distance(own, real)
    text = f"{np.median(own):.3g}, KS {distance:.2f}"
    return Found(float(np.median(own)), text, f"{np.median(real):.3g}", is_among_real=distance < 0.2)


def _find_tail(numbers: Numbers, collection: str) -> Found:
    """Find the score that 1% of comparisons of two fingers exceed."""
    scores: dict[bool, list[float]] = {True: [], False: []}
    real = {c.name for c in numbers.study.collections.values() if c.role in REAL_ROLES}
    for row in numbers.matches:
        if row.matcher != "nbis" or row.probe_person == row.gallery_person:
            continue
        if row.probe_collection == row.gallery_collection == collection:
            scores[False].append(row.score)
        elif row.probe_collection in real and row.gallery_collection in real:
            scores[True].append(row.score)
    if not scores[False]:
        name = uniqueness.BETWEEN_PERSONS_SCORE.at(matcher="nbis").name
        reason = _explain(numbers, name, collection) or "no two fingers were compared"
        return Found(math.nan, NO_VALUE, reason=reason)
    own, others = (
        float(np.quantile(values, 0.99)) if values else math.nan for values in (scores[False], scores[True])
    )
    real_text = "" if math.isnan(others) else f"{others:.3g}"
    return Found(own, f"{own:.3g}, highest {max(scores[False]):.3g}", real_text)
