"""Owns what a measure is: its name, unit and margin, and the question of the report's summary that it answers."""

import dataclasses
import functools
import itertools
import math
from collections.abc import Iterator, Mapping
from typing import Any

from fpgan_jax.evaluation.matcher.tools import MATCHER_TITLES
from fpgan_jax.evaluation.statistics.verification import FALSE_ACCEPT_RATES
from fpgan_jax.evaluation.study.print_collection import BASELINE, HELD_OUT, POPULATION, REFERENCE

# Groups of roles whose rows compare real prints with real prints; the first group with a measured row counts.
Baseline = tuple[tuple[str, ...], ...]
REAL_PRINTS: Baseline = ((REFERENCE, HELD_OUT, POPULATION), (BASELINE,))
# For comparisons with the reference itself: another impression of the finger, or an altered one.
OTHER_IMPRESSIONS: Baseline = ((HELD_OUT,), (BASELINE,))

# The false accept rate of the summary and of skipped rows.
HEADLINE_RATE = 0.01
FRAMES = {"keep": "with the frame", "crop": "without the frame"}
# The parameters that a name may have in braces, each with its values and the words for these in titles.
_PARAMETERS: Mapping[str, Mapping[Any, str]] = {
    "matcher": MATCHER_TITLES,
    "rate": {rate: f"{100 * rate:g}%" for rate in FALSE_ACCEPT_RATES},
    "frame": FRAMES,
}


@dataclasses.dataclass(frozen=True)
class Measure:
    """One number of a set of prints.

    A number for each matcher, false accept rate or kind of frame has "{matcher}", "{rate}" or "{frame}" in its name and
    title, which `at` fills in.
    """

    name: str  # as in `MeasureRow`, as are unit and better
    unit: str = ""
    better: str = ""
    title: str = ""  # for people; by default the name's words
    margin: float = math.nan  # a negligible difference, in the unit, by judgment; NaN if unknown
    relative_margin: float = math.nan  # the same as a share of the real prints' number
    baseline: Baseline | None = None  # whose rows compare real prints with real prints; None is the family's
    has_worst_cases: bool = False  # whether the report shows the prints with the lowest values
    matcher: str = ""  # filled in by `at`, as are rate and frame
    rate: float | None = None
    frame: str = ""

    def __post_init__(self):
        """Make the title of the name if there is none."""
        if not self.title:
            words = self.name.replace("_", " ").replace(" far ", " FAR ")
            object.__setattr__(self, "title", capitalize(words))

    def at(self, *, matcher: str = "", rate: float | None = None, frame: str = "") -> "Measure":
        """Fill in parameters of the name and the title.

        Parameters that are not given stay open; those that the name does not have are ignored.
        """
        given: dict[str, Any] = {"matcher": matcher, "rate": rate, "frame": frame}
        given = {parameter: given[parameter] for parameter in self.parameters if given[parameter]}
        name, title = self.name, self.title
        for parameter, value in given.items():
            name = name.replace(f"{{{parameter}}}", str(value))
            title = title.replace(f"{{{parameter}}}", _PARAMETERS[parameter][value])
        return dataclasses.replace(self, name=name, title=title, **given)

    @property
    def parameters(self) -> tuple[str, ...]:
        """The words in braces in its name."""
        return tuple(parameter for parameter in _PARAMETERS if f"{{{parameter}}}" in self.name)

    def expand(self) -> Iterator["Measure"]:
        """Yield it with every value of its parameters."""
        for values in itertools.product(*(_PARAMETERS[parameter] for parameter in self.parameters)):
            yield self.at(**dict(zip(self.parameters, values, strict=True)))

    def find_margin(self, real_value: float) -> float:
        """Find the negligible difference from the real prints' number: at least 0, NaN if unknown."""
        return self.relative_margin * abs(real_value) if math.isnan(self.margin) else float(self.margin)


@dataclasses.dataclass(frozen=True)
class Headline:
    """A question of the report's summary, and the measures that answer it.

    Those with parameters are reported for every matcher and kind of frame, at `HEADLINE_RATE`.
    """

    measures: tuple[Measure, ...]
    question: str
    claim: str  # what a share of the prints does ("match their own person"), or what the number is ("The mean score")
    is_share: bool = False  # whether the claim is about a share

    @functools.cached_property
    def names(self) -> frozenset[str]:
        """The measures' names."""
        return frozenset(
            measure.name
            for template in self.measures
            for measure in template.expand()
            if measure.rate in (None, HEADLINE_RATE)
        )


def capitalize(text: str) -> str:
    """Capitalize the first letter and leave the rest as it is."""
    return text[:1].upper() + text[1:]
