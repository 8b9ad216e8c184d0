"""What prints that enlarge a database must reach: the questions, their bounds, and the tables of answers."""

import dataclasses
import math
import operator
from collections.abc import Callable, Iterable, Sequence
from functools import partial

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
from fpgan_jax.evaluation.measures.measure import HEADLINE_RATE, Measure
from fpgan_jax.evaluation.report import protocol_answers as answers
from fpgan_jax.evaluation.report.names import NO_VALUE, describe_collection
from fpgan_jax.evaluation.report.protocol_answers import Find, Found, Numbers, arrange
from fpgan_jax.evaluation.study.findings import Findings
from fpgan_jax.evaluation.study.print_collection import (
    CONTROL,
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


Judge = Callable[[Found], tuple[bool, bool]]


@dataclasses.dataclass(frozen=True)
class Question:
    """One line of the protocol."""

    text: str
    kinds: tuple[str, ...]  # of prints to which it applies
    find: Find  # (numbers, collection) -> what was found
    must: str  # the bound, in words
    good: str  # a stricter bound, in words; "" if there is none
    judge: Judge  # what was found -> (whether `must` is reached, whether `good` is)
    number: int = 0  # of the protocol's line


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


def list_questions(matchers: Iterable[str]) -> list[Question]:
    """List the questions in the order of the table; matchers, by the names that measures begin with, have their own."""
    both = (MORE_IMPRESSIONS, NEW_FINGERS)
    questions = [question for matcher in matchers for question in _list_matcher_questions(matcher)]
    questions += [
        Question(f"{quantity.title}: distributed as between real impressions", both,
                 partial(answers.find_distribution, quantity, distance), "median within 10% to 90% of real prints'",
                 "KS below 0.25", lambda found: (found.is_among_real, found.is_among_real and found.value < 0.25),
                 number=4)
        for quantity, distance in zip(variation.MEASURES, variation.DISTANCES, strict=True)
    ]  # fmt: skip
    questions += [
        Question(f"{text}, in the common part", (MORE_IMPRESSIONS,),
                 partial(answers.with_held_out, partial(answers.find_value, share)),
                 *_at_most(0.35, 0.25, "{:.0%}"), number=5)
        for share, text in ((minutiae.ADDED_SHARE, "Minutiae added"), (minutiae.LOST_SHARE, "Minutiae lost"))
    ]  # fmt: skip
    return [
        *questions,
        Question("NFIQ 2: KS distance from real prints", both, partial(answers.find_print_ks, quality.NFIQ2),
                 *_at_most(0.3, 0.15), number=9),
        Question("Minutiae per print, minus real prints'", both,
                 partial(answers.find_difference, minutiae.MINUTIAE_COUNT), "within 8", "",
                 lambda found: (abs(found.value) <= 8, False), number=9),
        Question("KID", both, partial(answers.find_look, distribution.KID), *_at_most(1, 0.5), number=9),
        Question("Recall", both, partial(answers.find_look, distribution.RECALL), *_at_least(0.5, 0.8), number=9),
        Question("Gray difference of two impressions, relative to real ones", both,
                 partial(answers.find_ratio, variation.GRAY_DIFFERENCE), "at least 0.3", "0.7 to 1.3",
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
    accepted = partial(answers.at_strictest_rate, answers.find_ratio, at(identity.MATCH_RATE))
    questions = [
        Question(f"Accepted by another real impression, relative to real ones ({matcher})", more,
                 partial(answers.with_held_out, accepted), *_at_least(0.85, 0.95), number=1),
        Question(f"Accepted by its source ({matcher})", more,
                 partial(answers.at_strictest_rate, answers.find_value, at(leakage.SOURCE_RATE)),
                 *_at_least(0.9, 0.97, "{:.0%}"), number=2),
        Question(f"Copies: closer to the source than 95% of real pairs ({matcher})", more,
                 partial(answers.find_value, at(leakage.COPY_RATE)), *_at_most(0.2, 0.05, "{:.0%}"), number=3),
        Question(f"Pairs of fingers that match ({matcher})", new,
                 partial(answers.at_strictest_rate, answers.find_value, at(uniqueness.COLLISION_RATE)),
                 *_at_most(0.003, 0.001, "{:.1%}"), number=6),
        Question(f"Pairs of one finger's impressions that match ({matcher})", new,
                 partial(answers.at_strictest_rate, answers.find_value, at(uniqueness.WITHIN_PERSON_RATE)),
                 "at least 80%", "86% to 96%",
                 lambda found: (found.value >= 0.8, 0.86 <= found.value <= 0.96), number=7),
        Question(f"Leakage at FAR 1%, relative to strangers ({matcher})", new,
                 partial(answers.find_excess, at(leakage.LEAK_RATE, rate=HEADLINE_RATE)),
                 "interval not above strangers'", "rate not above strangers'",
                 lambda found: (found.is_among_real, found.is_among_real and found.value <= 0), number=8),
    ]  # fmt: skip
    if matcher == "nbis":
        questions += [
            Question("Copies: median score to the source (nbis)", more, answers.find_source_score, "at most 180",
                     "KS from real pairs below 0.2",
                     lambda found: (found.value <= 180, found.value <= 180 and found.is_among_real), number=3),
            Question("Score that 1% of pairs of fingers exceed (nbis)", new, answers.find_tail, "at most 30", "",
                     lambda found: (found.value <= 30, False), number=6),
        ]  # fmt: skip
    return sorted(questions, key=lambda question: question.number)
