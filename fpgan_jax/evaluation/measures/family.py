"""Owns what a family of measures is, and the rows that all families write: means, refusals and skips.

Does not list the families (`families.py`), and computes no number of a print.
"""

import dataclasses
import functools
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from fpgan_jax.config.fields import MATCHERS
from fpgan_jax.evaluation.matcher.matching import Matcher
from fpgan_jax.evaluation.matcher.nist_tools import ToolError
from fpgan_jax.evaluation.matcher.resolution import NoScaleError
from fpgan_jax.evaluation.matcher.tools import MATCHER_TITLES
from fpgan_jax.evaluation.measures.features import FeatureExtractor
from fpgan_jax.evaluation.statistics.intervals import (
    UNBOUNDED,
    compute_interval,
    compute_rate_interval,
    count_persons,
    describe_missing_interval,
)
from fpgan_jax.evaluation.statistics.verification import FALSE_ACCEPT_RATES
from fpgan_jax.evaluation.study.findings import (
    MEASURED,
    REFUSED,
    SKIPPED,
    Findings,
    ImageRow,
    MatchRow,
    MeasureRow,
)
from fpgan_jax.evaluation.study.print_collection import (
    BASELINE,
    HELD_OUT,
    POPULATION,
    REFERENCE,
    PrintCollection,
    Study,
)

# Groups of roles whose rows are real against real; the first group of which any is measured counts.
Baseline = tuple[tuple[str, ...], ...]
REAL_PRINTS: Baseline = ((REFERENCE, HELD_OUT, POPULATION), (BASELINE,))
# For what the reference itself is compared with: another impression of the finger, or an altered one.
OTHER_IMPRESSIONS: Baseline = ((HELD_OUT,), (BASELINE,))

# The false accept rate of the summary and of skipped rows.
HEADLINE_RATE = 0.01
FRAMES = {"keep": "with the frame", "crop": "without the frame"}
# What a name may hold in braces -> its values.
_PARAMETERS: Mapping[str, Sequence] = {
    "matcher": MATCHERS,
    "rate": FALSE_ACCEPT_RATES,
    "frame": tuple(FRAMES),
}
# A parameter's value as titles have it.
_WORDS: Mapping[str, Callable[[Any], str]] = {
    "matcher": lambda matcher: MATCHER_TITLES.get(matcher, matcher),
    "rate": lambda rate: f"{100 * rate:g}%",
    "frame": lambda frame: FRAMES[frame],
}
# What a number of a unit cannot exceed.
_BOUNDS = {
    "fraction": (0.0, 1.0),
    "probability": (0.0, 1.0),
    "score": (0.0, np.inf),
    "px": (0.0, np.inf),
    "grey levels (0-255)": (0.0, 255.0),
}


@dataclasses.dataclass(frozen=True)
class Measure:
    """One number of a set of prints.

    A number that is found by each matcher, at each false accept rate or for each kind of frame has "{matcher}",
    "{rate}" or "{frame}" in its name and title, which `at` fills in.

    Attributes:
      name: as in `MeasureRow`.
      unit: as in `MeasureRow`.
      better: as in `MeasureRow`.
      title: for people; by default the name's words.
      margin: a difference of no account, in its unit; NaN where none is known. A convention by judgement, derived from
        no data.
      relative_margin: the same as a share of the real prints' number.
      baseline: whose rows are real against real; None is the family's.
      tells_quality: whether the prints with the lowest values are shown as worst cases.
      matcher: of `at`.
      rate: of `at`, the false accept rate.
      frame: of `at`.
    """

    name: str
    unit: str = ""
    better: str = ""
    title: str = ""
    margin: float = math.nan
    relative_margin: float = math.nan
    baseline: Baseline | None = None
    tells_quality: bool = False
    matcher: str = ""
    rate: float | None = None
    frame: str = ""

    def __post_init__(self):
        """Spell the name where there is no title."""
        if not self.title:
            words = self.name.replace("_", " ").replace(" far ", " FAR ")
            object.__setattr__(self, "title", capitalize(words))

    def at(self, *, matcher: str = "", rate: float | None = None, frame: str = "") -> "Measure":
        """Fill in parameters of the name and the title.

        Args:
          matcher: its name.
          rate: false accept rate.
          frame: one of `FRAMES`.

        Returns:
          The measure; parameters that are not given stay open, those that the name does not have are ignored.
        """
        given = {"matcher": matcher, "rate": rate, "frame": frame}
        given = {name: given[name] for name in self.parameters if given[name]}
        name, title = self.name, self.title
        for parameter, value in given.items():
            field = f"{{{parameter}}}"
            name = name.replace(field, f"{value:g}" if parameter == "rate" else value)
            title = title.replace(field, _WORDS[parameter](value))
        return dataclasses.replace(self, name=name, title=title, **given)

    @property
    def parameters(self) -> tuple[str, ...]:
        """The words in braces in its name."""
        return tuple(name for name in _PARAMETERS if f"{{{name}}}" in self.name)

    def expand(self) -> Iterator["Measure"]:
        """Yield it with every value of its parameters."""
        names = self.parameters
        for values in itertools.product(*(_PARAMETERS[name] for name in names)):
            yield self.at(**dict(zip(names, values, strict=True)))

    def find_margin(self, real_value: float) -> float:
        """Find what difference is of no account: at least 0, NaN where none is known."""
        return self.relative_margin * abs(real_value) if math.isnan(self.margin) else float(self.margin)


@dataclasses.dataclass(frozen=True)
class Headline:
    """A question of the report's summary, and the measures that answer it.

    Attributes:
      measures: with parameters, each is reported of every matcher and kind of frame, at `HEADLINE_RATE`.
      question: in plain words.
      claim: what a share of the prints does ("match their own person"), or what the number is ("The mean score").
      is_share: which of the two.
    """

    measures: tuple[Measure, ...]
    question: str
    claim: str
    is_share: bool = False

    @functools.cached_property
    def names(self) -> frozenset[str]:
        """The measures' names."""
        return frozenset(
            measure.name
            for template in self.measures
            for measure in template.expand()
            if measure.rate in (None, HEADLINE_RATE)
        )


@dataclasses.dataclass(frozen=True)
class Tools:
    """What families measure with, the same for all studies of an evaluation, so that nothing is compared twice.

    Attributes:
      data_config: config.data of the studies' prints.
      matchers: a name of `config.fields.MATCHERS` -> the matcher, or why there is none.
      extractor: of the distribution's features; None is the hand-made ones.
    """

    data_config: ConfigDict
    matchers: Mapping[str, Matcher | ToolError] = dataclasses.field(default_factory=dict)
    extractor: FeatureExtractor | None = None

    @property
    def minutiae_matcher(self) -> Matcher | None:
        """NIST's, whose minutiae are measured whoever matches; None where it is not among the matchers."""
        matcher = self.matchers.get("nbis")
        return matcher if isinstance(matcher, Matcher) else None


@dataclasses.dataclass(frozen=True)
class Family:
    """Measures that are taken together, and all that is known about them.

    Attributes:
      name: of its module, and its entry in `config.fields.MEASURE_FAMILIES`.
      title: for people.
      explanation: what its numbers tell, for people.
      measures: all that it may report.
      compute: (study, tools) -> findings.
      headlines: of the summary; a family without one is spoken of by its first measure.
      rank: its place in the summary, the lowest first; of equal ranks the order of the families.
      baseline: of the measures that have none of their own.
      is_passed_by_any_image: whether an image that is no print does well, such as one of noise, which is nobody
        else's.
      list_networks: study -> workdirs of the classifiers whose weights the numbers depend on.
      is_by_classifier_seed: whether it is measured anew for each seed of the classifier.
    """

    name: str
    title: str
    explanation: str
    measures: tuple[Measure, ...]
    compute: Callable[[Study, Tools], Findings]
    headlines: tuple[Headline, ...] = ()
    rank: int = 3
    baseline: Baseline = REAL_PRINTS
    is_passed_by_any_image: bool = False
    list_networks: Callable[[Study], Sequence[str]] = lambda study: ()
    is_by_classifier_seed: bool = False

    @functools.cached_property
    def by_name(self) -> Mapping[str, Measure]:
        """All its measures by the names in rows, with every value of their parameters."""
        return {measure.name: measure for template in self.measures for measure in template.expand()}

    def create_row(
        self,
        measure: Measure,
        collection: str,
        value: float,
        interval: Sequence[float],
        num_images: int,
        num_persons: int,
        *,
        note: str = "",
        status: str = MEASURED,
    ) -> MeasureRow:
        """Create a measure's row; arguments as in `MeasureRow`, the interval being (low, high).

        Raises:
          ValueError: the family does not list the measure, so that the report would know nothing of it.
        """
        if measure.name not in self.by_name:
            raise ValueError(f"{measure.name}: not among the measures of the family {self.name}")
        low, high = interval
        return MeasureRow(
            *(self.name, measure.name, collection, value, low, high, num_images, num_persons),
            *(measure.unit, measure.better, status, note),
        )

    def summarize(
        self, measure: Measure, collection: PrintCollection, values: np.ndarray, *, note: str = ""
    ) -> MeasureRow:
        """Create the row of a measure that is the mean over a collection's prints.

        Args:
          measure: which.
          collection: the prints.
          values: float [n]; NaN where a print has none.
          note: what a reader must know.

        Returns:
          The row; refused where no print has a value. The prints counted are those with one.
        """
        has_value = ~np.isnan(values)
        if not has_value.any():
            return self.refuse(measure, collection, "no print has a value")
        persons = collection.persons[has_value]
        interval = find_interval(values[has_value], persons, measure.unit)
        num_persons = count_persons(persons)
        return self.create_row(
            measure,
            collection.name,
            float(np.mean(values[has_value])),
            interval,
            int(has_value.sum()),
            num_persons,
            note=join_notes(note, describe_missing_interval(num_persons, interval)),
        )

    def refuse(self, measure: Measure, collection: PrintCollection, reason: str) -> MeasureRow:
        """Create the row, without a number, of a measure that a collection cannot carry.

        Args:
          measure: which.
          collection: what would have been measured.
          reason: why it is not.
        """
        persons = count_persons(collection.persons)
        return self.create_row(
            measure,
            collection.name,
            math.nan,
            (math.nan, math.nan),
            len(collection),
            persons,
            note=reason,
            status=REFUSED,
        )

    def skip(self, reason: ToolError | NoScaleError, *, matcher: str = "nbis") -> Findings:
        """Create the findings of a family that cannot be measured: one row that says why, for all collections.

        Args:
          reason: a missing tool makes the row a skipped one, prints that have no scale a refused one.
          matcher: that is missing.
        """
        measure = self.headlines[0].measures[0] if self.headlines else self.measures[0]
        status = SKIPPED if isinstance(reason, ToolError) else REFUSED
        return Findings(
            [self.skip_measure(measure.at(matcher=matcher, rate=HEADLINE_RATE), str(reason), status)]
        )

    def skip_measure(self, measure: Measure, reason: str, status: str = SKIPPED) -> MeasureRow:
        """Create the row that says, for all collections, why there is no such measure."""
        nan = math.nan
        return MeasureRow(self.name, measure.name, "all", nan, nan, nan, 0, 0, status=status, note=reason)

    def compute_by_each(
        self, measure: Callable[[Study, ConfigDict, Matcher], Findings], study: Study, tools: Tools
    ) -> Findings:
        """Measure by each matcher.

        Args:
          measure: by one.
          study: what to measure.
          tools: with the matchers.

        Returns:
          The findings of all, one skipped row for each that is not installed.
        """
        return merge_findings(
            [
                self.skip(matcher, matcher=name)
                if isinstance(matcher, ToolError)
                else measure(study, tools.data_config, matcher)
                for name, matcher in tools.matchers.items()
            ]
        )


def merge_findings(findings: Sequence[Findings]) -> Findings:
    """Put findings one after the other."""
    measures: list[MeasureRow] = []
    images: list[ImageRow] = []
    matches: list[MatchRow] = []
    for found in findings:
        measures += found.measures
        images += found.images
        matches += found.matches
    return Findings(measures, images, matches)


def create_image_rows(measure: Measure, collection: PrintCollection, values: np.ndarray) -> list[ImageRow]:
    """Create a row a print.

    Args:
      measure: which.
      collection: the prints.
      values: float [n]; NaN where a print has none.

    Returns:
      n rows.
    """
    return [
        ImageRow(measure.name, collection.name, int(person), filename, float(value))
        for person, filename, value in zip(collection.persons, collection.filenames, values, strict=True)
    ]


def find_interval(values: np.ndarray, persons: np.ndarray, unit: str) -> tuple[float, float]:
    """Find the 95% interval of a mean over prints.

    Args:
      values: float [n], without NaN.
      persons: int [n].
      unit: as in `MeasureRow`; fractions that are 0 or 1 for each print are a rate, whose interval is exact.

    Returns:
      (low, high), NaN as of `compute_interval`.
    """
    if unit == "fraction" and np.isin(values, (0, 1)).all():
        return compute_rate_interval(values, persons)
    return compute_interval(values, persons, bounds=_BOUNDS.get(unit, UNBOUNDED))


def join_notes(*notes: str) -> str:
    """Join what there is to say; an empty note is none."""
    return "; ".join(note for note in notes if note)


def find_groups(persons: np.ndarray | Sequence[int], *, max_prints: int) -> list[np.ndarray]:
    """Find the prints of each person who is known.

    Args:
      persons: [n]; -1 is nobody known.
      max_prints: a person's first prints that are taken.

    Returns:
      int64 places, an array a person, in the order of their ids.
    """
    persons = np.asarray(persons)
    return [np.flatnonzero(persons == person)[:max_prints] for person in np.unique(persons[persons >= 0])]


def capitalize(text: str) -> str:
    """Put a capital in front and leave the rest as it is."""
    return text[:1].upper() + text[1:]
