"""Owns the rows that the evaluation writes: values of images, scores of matches, and measures of collections.

Does not compute them, and does not read or write files (`tables/csv_rows.py`).
"""

import dataclasses
import math
from collections.abc import Sequence

MEASURED = "measured"
REFUSED = "refused"  # the sample cannot carry it; the note says why
SKIPPED = "skipped"  # a tool is missing on this machine; the note names it


@dataclasses.dataclass(frozen=True)
class ImageRow:
    """One number of one print.

    Attributes:
      measure: such as "ridge_period_px".
      collection: the print's collection.
      person: whom it is counted under, -1 if unknown.
      filename: the print's name in its collection.
      value: the number; NaN where the print has none, as the ridge period of a blank image.
    """

    measure: str
    collection: str
    person: int
    filename: str
    value: float


@dataclasses.dataclass(frozen=True)
class MatchRow:
    """One comparison of two prints by a matcher.

    Attributes:
      matcher: its name.
      probe_collection: of the print that is searched for.
      probe_person: whom it is counted under.
      probe_filename: its name.
      gallery_collection: of the print that it is compared with; "real_mirrored" and the like for made galleries.
      gallery_person: that print's person.
      gallery_filename: its name.
      score: the matcher's raw score; higher is more alike.
    """

    matcher: str
    probe_collection: str
    probe_person: int
    probe_filename: str
    gallery_collection: str
    gallery_person: int
    gallery_filename: str
    score: float


@dataclasses.dataclass(frozen=True)
class MeasureRow:
    """One measure of one collection, or why there is none.

    Attributes:
      family: one of config.evaluation.measures.
      measure: such as "genuine_match_rate_at_far_0.01".
      collection: what was measured.
      value: the number; NaN unless measured.
      low: lower end of the 95% interval; NaN where there is none.
      high: upper end.
      num_images: prints (or pairs of prints) that the number is from.
      num_persons: persons among them, who are what the interval counts.
      unit: such as "px", "dB", "fraction", "score"; "" for plain numbers.
      better: "higher", "lower", "real" (the nearer to the reference's own, the better), or "" where neither is.
      status: `MEASURED`, `REFUSED` or `SKIPPED`.
      note: the reason of a refusal or a skip, or what a reader must know.
    """

    family: str
    measure: str
    collection: str
    value: float
    low: float
    high: float
    num_images: int
    num_persons: int
    unit: str = ""
    better: str = ""
    status: str = MEASURED
    note: str = ""


def is_measured(row: MeasureRow) -> bool:
    """Tell whether a row holds a number; infinity is one."""
    return row.status == MEASURED and not math.isnan(row.value)


@dataclasses.dataclass(frozen=True)
class Findings:
    """What one family of measures found.

    Attributes:
      measures: a row a measure and collection.
      images: a row a measure and print.
      matches: a row a comparison.
    """

    measures: Sequence[MeasureRow]
    images: Sequence[ImageRow] = ()
    matches: Sequence[MatchRow] = ()
