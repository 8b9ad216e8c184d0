"""Owns the small parts that several sections of the report share.

Does not own a section.
"""

from collections.abc import Sequence

from fpgan_jax.evaluation.controls.verdicts import VerdictRow
from fpgan_jax.evaluation.measures.identity import THRESHOLD
from fpgan_jax.evaluation.report.figures import choose_colour
from fpgan_jax.evaluation.report.html import Content, Element, create_element
from fpgan_jax.evaluation.report.names import format_value
from fpgan_jax.evaluation.report.summary import describe_difference
from fpgan_jax.evaluation.statistics.differences import EQUIVALENT, UNDECIDED, WORSE
from fpgan_jax.evaluation.statistics.verification import FALSE_ACCEPT_RATES
from fpgan_jax.evaluation.study.findings import MeasureRow, is_measured
from fpgan_jax.evaluation.study.print_collection import Study, find_role

E = create_element


def create_section(id_: str, title: str, *content: Content) -> Element:
    """Create a part of the report.

    Args:
      id_: where links lead.
      title: of the part.
      content: what stands in it.

    Returns:
      A "section" element.
    """
    return E("section", E("h2", title), *content, id=id_)


def create_mark(study: Study, collection: str) -> Element:
    """Create the dot that has a collection's colour.

    Args:
      study: tells the role.
      collection: its name.

    Returns:
      A "span" element, which nobody hears.
    """
    colour = choose_colour(collection, find_role(study, collection))
    return E("span", class_=f"mark {colour}", aria_hidden="true")


def create_status(status: str) -> Element:
    """Create the word for a row without a number.

    Args:
      status: "refused", "skipped", "no value" or "no rows".

    Returns:
      A "span" element.
    """
    return E("span", status, class_=f"status {status.replace(' ', '-')}")


def create_verdict(verdict: VerdictRow | None, unit: str) -> Content:
    """Create the word for how synthetic prints stand to real ones, and the difference that it is from.

    Args:
      verdict: None for other prints than synthetic ones, and where nothing real is beside them.
      unit: as in `MeasureRow.unit`.

    Returns:
      Elements; None without a verdict.
    """
    if verdict is None:
        return None
    is_worse = verdict.verdict == WORSE
    sign = {EQUIVALENT: "\u2248", UNDECIDED: "?"}.get(
        verdict.verdict, "\u25bc" if verdict.difference < 0 else "\u25b2"
    )
    return [
        E("span", f"{sign} {verdict.verdict}", class_=f"verdict{' worse' if is_worse else ''}"),
        E("small", describe_difference(verdict, unit)),
    ]


def write_counts(num_images: int, num_persons: int) -> str:
    """Write how many prints, of how many persons, a number is from."""
    return f"n = {num_images:,}, {num_persons:,} person{'s' * (num_persons != 1)}"


def find_thresholds(measures: Sequence[MeasureRow], matcher: str) -> dict[str, float]:
    """Find the scores from which a matcher's comparison passes.

    Args:
      measures: rows of all families.
      matcher: as in `MatchRow.matcher`.

    Returns:
      "FAR 1%" and the like -> score, the strictest rate last.
    """
    values = {row.measure: row.value for row in measures if is_measured(row)}
    thresholds = {rate: THRESHOLD.at(matcher=matcher, rate=rate).name for rate in FALSE_ACCEPT_RATES}
    return {
        f"FAR {format_value(rate, 'fraction')}": values[thresholds[rate]]
        for rate in sorted(thresholds, reverse=True)
        if thresholds[rate] in values
    }
