"""Owns what a family of measures is, and the rows that all families write: means, refusals and skips."""

import dataclasses
import functools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from fpgan_jax.evaluation.matcher import nist_tools
from fpgan_jax.evaluation.matcher.matching import Matcher
from fpgan_jax.evaluation.matcher.nist_tools import ToolError
from fpgan_jax.evaluation.matcher.resolution import NoScaleError
from fpgan_jax.evaluation.measures.features import HAND_MADE, FeatureExtractor
from fpgan_jax.evaluation.measures.measure import HEADLINE_RATE, REAL_PRINTS, Baseline, Headline, Measure
from fpgan_jax.evaluation.statistics import intervals
from fpgan_jax.evaluation.statistics.intervals import Interval
from fpgan_jax.evaluation.study.findings import (
    MEASURED,
    REFUSED,
    SKIPPED,
    Findings,
    ImageRow,
    MeasureRow,
    merge_findings,
)
from fpgan_jax.evaluation.study.print_collection import PrintCollection, Study
from fpgan_jax.host.progress import create_progress

# The range of a number by its unit.
_BOUNDS = {
    "fraction": (0.0, 1.0),
    "probability": (0.0, 1.0),
    "score": (0.0, np.inf),
    "px": (0.0, np.inf),
    "grey levels (0-255)": (0.0, 255.0),
}


@dataclasses.dataclass(frozen=True)
class Tools:
    """What families measure with, the same for all studies of an evaluation, so that nothing is compared twice."""

    data_config: ConfigDict
    # A name of `config.fields.MATCHERS` -> the matcher, or why there is none.
    matchers: Mapping[str, Matcher | ToolError] = dataclasses.field(default_factory=dict)
    extractor: FeatureExtractor = HAND_MADE

    def find_minutiae_matcher(self) -> Matcher:
        """Return NIST's matcher, whose minutiae are measured whichever matchers are used; ToolError without it."""
        matcher = self.matchers.get("nbis")
        return matcher if isinstance(matcher, Matcher) else Matcher(nist_tools.find_matching_tool())


@dataclasses.dataclass(frozen=True)
class Family:
    """Measures that are taken together, and all that is known about them."""

    name: str  # its module, and its entry in `config.fields.MEASURE_FAMILIES`
    title: str
    explanation: str  # what its numbers mean, for people
    measures: tuple[Measure, ...]  # all that it may report
    compute: Callable[[Study, Tools], Findings]
    headlines: tuple[Headline, ...] = ()  # of the summary; without any it takes the first measure
    rank: int = 3  # its place in the summary, the lowest first; equal ranks are in the order of the families
    baseline: Baseline = REAL_PRINTS  # of the measures that have none of their own
    # Whether an image that is not a print does well, as noise does if it matches nobody.
    is_passed_by_any_image: bool = False
    # Workdirs of the classifiers whose weights the numbers depend on.
    list_networks: Callable[[Study], Sequence[str]] = lambda study: ()
    is_by_classifier_seed: bool = False  # whether it is measured again for each seed of the classifier

    @functools.cached_property
    def by_name(self) -> Mapping[str, Measure]:
        """All its measures by the names in rows, with every value of their parameters."""
        return {measure.name: measure for template in self.measures for measure in template.expand()}

    def bind(self, tools: Tools) -> Callable[[Study], Findings]:
        """Bind it to its tools."""
        return lambda study: self.compute(study, tools)

    def create_row(
        self,
        measure: Measure,
        collection: PrintCollection,
        value: float,
        counts: tuple[int, int],
        *,
        interval: Interval | None = None,
        note: str = "",
        status: str = MEASURED,
    ) -> MeasureRow:
        """Create a measure's row; arguments as in `MeasureRow`, and counts are (num_images, num_persons).

        The note also says why an interval is NaN; it is None for a number that never has one.

        Raises:
          ValueError: the family does not list the measure, so the report would know nothing about it.
        """
        if measure.name not in self.by_name:
            raise ValueError(f"{measure.name}: not among the measures of the family {self.name}")
        if interval is not None:
            note = join_notes(note, intervals.describe_missing_interval(counts[1], interval))
        return MeasureRow(
            *(self.name, measure.name, collection.name, value, *(interval or intervals.NO_INTERVAL), *counts),
            *(measure.unit, measure.better, status, note),
        )

    def summarize(
        self,
        measure: Measure,
        collection: PrintCollection,
        values: np.ndarray,
        note: str = "",
        reason: str = "",
    ) -> MeasureRow:
        """Create the row of a measure that is the mean over a collection's prints.

        Args:
          measure: of the family.
          collection: the prints.
          values: float [n]; NaN if a print has none. If no print has one, the row is refused.
          note: what a reader must know.
          reason: why the measure is refused; "" if it is not.
        """
        has_value = ~np.isnan(values)
        if reason or not has_value.any():
            return self.refuse(measure, collection, reason or "no print has a value")
        values, persons = values[has_value], collection.persons[has_value]
        # Fractions that are 0 or 1 for each print are a rate, whose interval is exact.
        if measure.unit == "fraction" and np.isin(values, (0, 1)).all():
            interval = intervals.compute_rate_interval(values, persons)
        else:
            bounds = _BOUNDS.get(measure.unit, intervals.UNBOUNDED)
            interval = intervals.compute_interval(values, persons, bounds=bounds)
        counts = len(values), intervals.count_persons(persons)
        return self.create_row(
            measure, collection, float(np.mean(values)), counts, interval=interval, note=note
        )

    def describe(
        self, measure: Measure, collection: PrintCollection, values: np.ndarray, **texts: str
    ) -> Findings:
        """Create the row of `summarize`, whose arguments these are, and a row for each print.

        If there is a reason to refuse the measure, prints have no rows.
        """
        row = self.summarize(measure, collection, values, **texts)
        is_refused = bool(texts.get("reason"))
        return Findings([row], [] if is_refused else create_image_rows(measure, collection, values))

    def refuse(self, measure: Measure, collection: PrintCollection, reason: str) -> MeasureRow:
        """Create the row, without a number, of a measure that a collection does not allow."""
        counts = len(collection), intervals.count_persons(collection.persons)
        return self.create_row(measure, collection, math.nan, counts, note=reason, status=REFUSED)

    def refuse_all(self, collection: PrintCollection, reason: str) -> Findings:
        """Create the refused rows of all measures."""
        return Findings([self.refuse(measure, collection, reason) for measure in self.measures])

    def skip(self, reason: ToolError | NoScaleError, *, matcher: str = "nbis") -> Findings:
        """Create the one row that says, for all collections, why a family cannot be measured.

        A missing tool makes the row a skipped one, prints without a scale a refused one.
        """
        measure = self.headlines[0].measures[0] if self.headlines else self.measures[0]
        status = SKIPPED if isinstance(reason, ToolError) else REFUSED
        return Findings(
            [self.skip_measure(measure.at(matcher=matcher, rate=HEADLINE_RATE), str(reason), status)]
        )

    def skip_measure(self, measure: Measure, reason: str, status: str = SKIPPED) -> MeasureRow:
        """Create the row that says, for all collections, why a measure is missing."""
        nan = math.nan
        return MeasureRow(self.name, measure.name, "all", nan, nan, nan, 0, 0, status=status, note=reason)

    def compute_or_skip(
        self, measure: Callable[..., Findings], *arguments: Any, matcher: str = "nbis"
    ) -> Findings:
        """Measure, or create the row of `skip` if a tool or the prints' scale is missing."""
        try:
            return measure(*arguments)
        except (ToolError, NoScaleError) as error:
            return self.skip(error, matcher=matcher)

    def compute_by_each(
        self, measure: Callable[[Study, ConfigDict, Matcher], Findings], study: Study, tools: Tools
    ) -> Findings:
        """Measure with each matcher; one that cannot be used has the row of `skip`."""
        return merge_findings(
            self.skip(matcher, matcher=name)
            if isinstance(matcher, ToolError)
            else self.compute_or_skip(measure, study, tools.data_config, matcher, matcher=name)
            for name, matcher in tools.matchers.items()
        )


def create_image_rows(measure: Measure, collection: PrintCollection, values: np.ndarray) -> list[ImageRow]:
    """Create a row for each print; values are float [n], NaN if a print has none."""
    return [
        ImageRow(measure.name, collection.name, int(person), filename, float(value))
        for person, filename, value in zip(collection.persons, collection.filenames, values, strict=True)
    ]


def track_collections(study: Study, label: str) -> Iterator[PrintCollection]:
    """Yield a study's collections, with a progress line."""
    with create_progress(len(study.collections), label, "collections") as progress:
        for collection in study.collections.values():
            yield collection
            progress.update()


def join_notes(*notes: str) -> str:
    """Join the notes that are not empty."""
    return "; ".join(note for note in notes if note)


def describe_missing(values: np.ndarray) -> str:
    """Say how many of float [n] values are NaN; "" if none is."""
    count = int(np.isnan(values).sum())
    return f"{count} prints have none" if count else ""


def find_groups(persons: np.ndarray) -> list[np.ndarray]:
    """Find the places, int64, of the prints of each known person, in the order of the ids int [n]."""
    return [np.flatnonzero(persons == person) for person in np.unique(persons[persons >= 0])]
