"""What prints that enlarge a database must reach: the questions, the bounds, and what real prints reach."""

import dataclasses
import math
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
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
from fpgan_jax.evaluation.measures.family import HEADLINE_RATE, Measure
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

# Whether a collection's fingers have real prints.
MORE_IMPRESSIONS, NEW_FINGERS = "more impressions", "new fingers"
GOOD, REACHED, MISSED, UNKNOWN = "good", "reached", "not reached", "not measured"
HEADER = ("question", "prints", "found", "real prints", "must", "good", "answer")
_EXPLANATION = (
    "What prints that enlarge a database must show. More impressions of a finger must be accepted by another real "
    "impression of it without being copies. New fingers must each be one finger, and nobody's. Both must vary and look "
    "like real prints. Rates are at a false accept rate of 0.1%, or of 1% if there are too few real prints for that. "
    "Intervals are over fingers. An answer depends on the number itself, not on its interval."
)
_NOT_BESIDE = "there are no real prints to compare with"
# Real prints to compare with: those of the first role that has a number.
_REAL = (HELD_OUT, *REAL_ROLES)


class Found(NamedTuple):
    """What was found for a question.

    Attributes:
      value: the number that is judged; NaN if there is none.
      text: the number with its interval.
      real_text: the same of real prints.
      reason: why there is no number.
      is_among_real: whether it is in the range of real prints, for questions that need it.
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
      prints: (measure, collection) -> values of single prints, float64 [n] without NaN.
      matches: scores of comparisons.
      look_roles: roles of the real prints that synthetic ones should look like; the first that has a number counts.
    """

    study: Study
    rows: Mapping[tuple[str, str], MeasureRow]
    prints: Mapping[tuple[str, str], np.ndarray]
    matches: Sequence[MatchRow]
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
Judge = Callable[[Found], tuple[bool, bool]]


@dataclasses.dataclass(frozen=True)
class Question:
    """One line of the protocol.

    Attributes:
      text: the question.
      kinds: of prints to which it applies.
      find: (numbers, collection) -> what was found.
      must: the bound, in words.
      good: a stricter bound, in words; "" if there is none.
      judge: what was found -> (whether `must` is reached, whether `good` is).
      number: of the protocol's line.
    """

    text: str
    kinds: tuple[str, ...]
    find: Find
    must: str
    good: str
    judge: Judge
    number: int = 0


def create_table(study: Study, findings: Findings) -> ReportTable | None:
    """Answer the protocol's questions for the sets that have several synthetic prints of a finger; None without one."""
    numbers = arrange(study, findings)
    matchers = list(dict.fromkeys(row.matcher for row in findings.matches)) or ["nbis"]
    cells = []
    for name, collection in study.collections.items():
        persons = collection.persons[collection.persons >= 0]
        if collection.role != SYNTHETIC or len(np.unique(persons)) == len(persons):
            continue
        kind = find_kind(study, collection)
        for question in list_questions(matchers):
            if kind in question.kinds:
                found = question.find(numbers, name)
                bounds = (question.must, question.good)
                answer = _answer(question, found)
                cells.append((question.text, name, found.text, found.real_text, *bounds, answer))
    title = "What enlarging a database takes"
    return ReportTable("protocol", title, _EXPLANATION, HEADER, cells) if cells else None


def create_wide_table(
    numbers: Numbers, kind: str, questions: Sequence[Question], name: str, title: str
) -> ReportTable:
    """Compare all synthetic prints and controls of a study, with a row per question and no answers for controls.

    Args:
      numbers: what was found.
      kind: of all synthetic prints: `MORE_IMPRESSIONS` or `NEW_FINGERS`.
      questions: those for other kinds are left out.
      name: of the table's files.
      title: of the table.
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
            text, answer = found[collection].text, _answer(question, found[collection])
            row.append(answer if text == NO_VALUE else f"{text}: {answer}")
        cells.append((*row, *(found[collection].text for collection in controls)))
    names = [describe_collection(control) for control in controls]
    header = ("line", "question", "real prints", "must", "good", *judged, *names)
    return ReportTable(name, title, _EXPLANATION, header, cells)


def _answer(question: Question, found: Found) -> str:
    if found.reason or math.isnan(found.value):
        return f"{UNKNOWN}: {found.reason or 'no number'}"
    is_reached, is_good = question.judge(found)
    return GOOD if is_good else REACHED if is_reached else MISSED


def find_kind(study: Study, collection: PrintCollection) -> str:
    """Find whether most of a collection's fingers have real prints."""
    real = [one.persons for one in study.collections.values() if one.role in REAL_ROLES]
    persons = np.unique(collection.persons[collection.persons >= 0])
    share = np.isin(persons, np.concatenate([np.zeros(0, np.int32), *real])).sum() / max(1, len(persons))
    return MORE_IMPRESSIONS if share > 0.5 else NEW_FINGERS


def arrange(study: Study, findings: Findings, look_roles: Sequence[str] = _REAL) -> Numbers:
    """Arrange a study's findings by name; look_roles as in `Numbers`."""
    prints: dict[tuple[str, str], list[float]] = {}
    for row in findings.images:
        if not math.isnan(row.value):
            prints.setdefault((row.measure, row.collection), []).append(row.value)
    rows = {(row.measure, row.collection): row for row in findings.measures}
    arrays = {name: np.array(values, np.float64) for name, values in prints.items()}
    return Numbers(study, rows, arrays, findings.matches, look_roles)


def list_questions(matchers: Iterable[str]) -> list[Question]:
    """List the questions in the order of the table; matchers, by the names that measures begin with, have their own."""
    both = (MORE_IMPRESSIONS, NEW_FINGERS)
    questions = [question for matcher in matchers for question in _list_matcher_questions(matcher)]
    questions += [
        Question(f"{quantity.title}: distributed as between real impressions", both,
                 partial(_find_distribution, quantity, distance), "mean within 10% to 90% of real prints'",
                 "KS below 0.25", lambda found: (found.is_among_real, found.is_among_real and found.value < 0.25),
                 number=4)
        for quantity, distance in zip(variation.MEASURES, variation.DISTANCES, strict=True)
    ]  # fmt: skip
    questions += [
        Question(f"{text}, in the common part", (MORE_IMPRESSIONS,),
                 partial(_with_held_out, partial(_find_value, share)), *_at_most(0.35, 0.25, "{:.0%}"), number=5)
        for share, text in ((minutiae.ADDED_SHARE, "Minutiae added"), (minutiae.LOST_SHARE, "Minutiae lost"))
    ]  # fmt: skip
    return [
        *questions,
        Question("NFIQ 2: KS distance from real prints", both, partial(_find_print_ks, quality.NFIQ2),
                 *_at_most(0.3, 0.15), number=9),
        Question("Minutiae per print, minus real prints'", both, partial(_find_difference, minutiae.MINUTIAE_COUNT),
                 "within 8", "", lambda found: (abs(found.value) <= 8, False), number=9),
        Question("KID", both, partial(_find_look, distribution.KID), *_at_most(1, 0.5), number=9),
        Question("Recall", both, partial(_find_look, distribution.RECALL), *_at_least(0.5, 0.8), number=9),
        Question("Gray difference of two impressions, relative to real ones", both,
                 partial(_find_ratio, variation.GREY_DIFFERENCE), "at least 0.3", "0.7 to 1.3",
                 lambda found: (found.value >= 0.3, 0.7 <= found.value <= 1.3), number=11),
    ]  # fmt: skip


def _bound(
    words: str, compare: Callable[[float, float], bool], must: float, good: float, form: str = "{:g}"
) -> tuple[str, str, Judge]:
    """Return a question's `must`, `good` and `judge`."""
    texts = [f"{words} {form.format(bound)}" for bound in (must, good)]
    return texts[0], texts[1], lambda found: (compare(found.value, must), compare(found.value, good))


_at_least = partial(_bound, "at least", operator.ge)
_at_most = partial(_bound, "at most", operator.le)


def _list_matcher_questions(matcher: str) -> list[Question]:
    more, new = (MORE_IMPRESSIONS,), (NEW_FINGERS,)
    at = partial(Measure.at, matcher=matcher)
    accepted = partial(_at_strictest_rate, _find_ratio, at(identity.MATCH_RATE))
    questions = [
        Question(f"Accepted by another real impression, relative to real ones ({matcher})", more,
                 partial(_with_held_out, accepted), *_at_least(0.85, 0.95), number=1),
        Question(f"Accepted by its source ({matcher})", more,
                 partial(_at_strictest_rate, _find_value, at(leakage.SOURCE_RATE)),
                 *_at_least(0.9, 0.97, "{:.0%}"), number=2),
        Question(f"Copies: closer to the source than 95% of real pairs ({matcher})", more,
                 partial(_find_value, at(leakage.COPY_RATE)), *_at_most(0.2, 0.05, "{:.0%}"), number=3),
        Question(f"Pairs of fingers that match ({matcher})", new,
                 partial(_at_strictest_rate, _find_value, at(uniqueness.COLLISION_RATE)),
                 *_at_most(0.003, 0.001, "{:.1%}"), number=6),
        Question(f"Pairs of one finger's impressions that match ({matcher})", new,
                 partial(_at_strictest_rate, _find_value, at(uniqueness.WITHIN_PERSON_RATE)), "at least 80%",
                 "86% to 96%", lambda found: (found.value >= 0.8, 0.86 <= found.value <= 0.96), number=7),
        Question(f"Leakage at FAR 1%, relative to strangers ({matcher})", new,
                 partial(_find_excess, at(leakage.LEAK_RATE, rate=HEADLINE_RATE)),
                 "interval not above strangers'", "rate not above strangers'",
                 lambda found: (found.is_among_real, found.is_among_real and found.value <= 0), number=8),
    ]  # fmt: skip
    if matcher == "nbis":
        questions += [
            Question("Copies: median score to the source (nbis)", more, _find_source_score, "at most 180",
                     "KS from real pairs below 0.2",
                     lambda found: (found.value <= 180, found.value <= 180 and found.is_among_real), number=3),
            Question("Score that 1% of pairs of fingers exceed (nbis)", new, _find_tail, "at most 30", "",
                     lambda found: (found.value <= 30, False), number=6),
        ]  # fmt: skip
    return sorted(questions, key=lambda question: question.number)


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


def _find_value(measure: Measure, numbers: Numbers, collection: str, roles: Sequence[str] = _REAL) -> Found:
    if reason := _explain(numbers, measure.name, collection):
        return Found(math.nan, NO_VALUE, reason=reason)
    row = numbers.rows[measure.name, collection]
    return Found(row.value, _write(row), _write(numbers.find_real(measure.name, roles)))


def _find_look(measure: Measure, numbers: Numbers, collection: str) -> Found:
    return _find_value(measure, numbers, collection, numbers.look_roles)


def _find_distribution(quantity: Measure, distance: Measure, numbers: Numbers, collection: str) -> Found:
    """Find a distribution's distance; it is among real prints if its mean is in the middle four fifths of them."""
    if reason := _explain(numbers, distance.name, collection):
        return Found(math.nan, NO_VALUE, reason=reason)
    row = numbers.rows[distance.name, collection]
    real = numbers.list_real_prints(quantity.name)
    mean = float(numbers.prints[quantity.name, collection].mean())
    low, high = np.quantile(real, (0.1, 0.9))
    text = f"{format_value(mean, quantity.unit)}, KS {_write(row)}"
    real_text = f"{format_value(float(real.mean()), quantity.unit)} (10% to 90%: {low:.3g} to {high:.3g})"
    return Found(row.value, text, real_text, is_among_real=bool(low <= mean <= high))


def _at_strictest_rate(
    find: Callable[[Measure, Numbers, str], Found], measure: Measure, numbers: Numbers, collection: str
) -> Found:
    """Find a rate at the lowest false accept rate for which there are enough real prints."""
    for rate in sorted(FALSE_ACCEPT_RATES):
        found = find(measure.at(rate=rate), numbers, collection)
        if not found.reason:
            return found._replace(text=f"{found.text}, FAR {rate:.1%}")
    return found


def _with_held_out(find: Find, numbers: Numbers, collection: str) -> Found:
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


def _find_ratio(measure: Measure, numbers: Numbers, collection: str) -> Found:
    return _compare(_divide, measure, numbers, collection)


def _find_difference(measure: Measure, numbers: Numbers, collection: str) -> Found:
    return _compare(_subtract, measure, numbers, collection, numbers.look_roles)


def _find_excess(measure: Measure, numbers: Numbers, collection: str) -> Found:
    return _compare(_exceed, measure, numbers, collection, (POPULATION,), "there are no prints of strangers")


def _divide(row: MeasureRow, real: MeasureRow) -> Found:
    if not real.value:
        return Found(math.nan, _write(row), _write(real), "the number of real prints is 0")
    ratio = row.value / real.value
    return Found(ratio, f"{ratio:.2f}: {_write(row)}", _write(real))


def _subtract(row: MeasureRow, real: MeasureRow) -> Found:
    return Found(row.value - real.value, _write(row), _write(real))


def _exceed(row: MeasureRow, real: MeasureRow) -> Found:
    """Subtract strangers' rate; the rate is among theirs unless its interval is above theirs."""
    if math.isnan(row.low) or math.isnan(real.high):
        return Found(math.nan, _write(row), _write(real), "there are too few fingers for an interval")
    return _subtract(row, real)._replace(is_among_real=row.low <= real.high)


def _find_print_ks(measure: Measure, numbers: Numbers, collection: str) -> Found:
    """Find the KS distance of a measure of single prints from real prints."""
    own = numbers.prints.get((measure.name, collection), np.zeros(0))
    real = numbers.list_real_prints(measure.name, numbers.look_roles)
    if not len(own) or not len(real):
        return Found(math.nan, NO_VALUE, reason=_explain(numbers, measure.name, collection) or _NOT_BESIDE)
    distance = variation.compute_ks_distance(own, real)
    return Found(distance, f"KS {distance:.2f}: {own.mean():.3g}", f"{real.mean():.3g}")


def _find_source_score(numbers: Numbers, collection: str) -> Found:
    """Find the median score to the source; it is among real pairs' if the distributions are similar."""
    name = leakage.SOURCE_SCORE.at(matcher="nbis").name
    own = numbers.prints.get((name, collection), np.zeros(0))
    real = numbers.list_real_prints(identity.GENUINE_SCORE.at(matcher="nbis").name)
    if not len(own) or not len(real):
        return Found(math.nan, NO_VALUE, reason=_explain(numbers, name, collection) or _NOT_BESIDE)
    distance, median = variation.compute_ks_distance(own, real), float(np.median(own))
    text, real_text = f"{median:.3g}, KS {distance:.2f}", f"{np.median(real):.3g}"
    return Found(median, text, real_text, is_among_real=distance < 0.2)


def _find_tail(numbers: Numbers, collection: str) -> Found:
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
