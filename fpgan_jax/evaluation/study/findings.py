"""Owns the rows that the evaluation writes: values of images, scores of matches, and measures of collections."""

import dataclasses
import math
from collections.abc import Iterable, Sequence

MEASURED = "measured"
REFUSED = "refused"  # the prints do not allow it; the note says why
SKIPPED = "skipped"  # a tool is missing on this machine; the note names it


@dataclasses.dataclass(frozen=True)
class ImageRow:
    """One number of one print."""

    measure: str
    collection: str
    person: int  # -1 if unknown
    filename: str
    value: float  # NaN if the print has none, such as the ridge period of a blank image


@dataclasses.dataclass(frozen=True)
class MatchRow:
    """One comparison of two prints by a matcher: a probe with a print of the gallery."""

    matcher: str
    probe_collection: str
    probe_person: int
    probe_filename: str
    gallery_collection: str  # a collection, or one made for the gallery, such as "real_mirrored"
    gallery_person: int
    gallery_filename: str
    score: float  # the matcher's own; higher is more similar

    @property
    def is_genuine(self) -> bool:
        """Whether both prints are of one known person."""
        return self.probe_person == self.gallery_person >= 0


@dataclasses.dataclass(frozen=True)
class MeasureRow:
    """One measure of one collection, or why there is none."""

    family: str  # one of config.evaluation.measures
    measure: str  # such as "nbis_match_rate_at_far_0.01"
    collection: str
    value: float  # NaN unless measured
    low: float  # ends of the 95% interval; NaN without an interval
    high: float
    num_images: int  # prints (or pairs of prints) that the number is from
    num_persons: int  # their persons, who are the units of the interval
    unit: str = ""  # such as "px", "dB", "fraction", "score"; "" for plain numbers
    # "higher", "lower", "real" (the nearer to real prints' number, the better), or "" if neither is.
    better: str = ""
    status: str = MEASURED  # or `REFUSED` or `SKIPPED`
    note: str = ""  # the reason of a refusal or a skip, or what a reader must know


def is_measured(row: MeasureRow) -> bool:
    """Check whether a row has a number, which may be infinite."""
    return row.status == MEASURED and not math.isnan(row.value)


@dataclasses.dataclass(frozen=True)
class Findings:
    """Rows of families of measures: of collections, of prints, and of comparisons."""

    measures: Sequence[MeasureRow] = ()
    images: Sequence[ImageRow] = ()
    matches: Sequence[MatchRow] = ()


def merge_findings(findings: Iterable[Findings]) -> Findings:
    """Concatenate findings."""
    found = list(findings)
    return Findings(
        [row for one in found for row in one.measures],
        [row for one in found for row in one.images],
        [row for one in found for row in one.matches],
    )
