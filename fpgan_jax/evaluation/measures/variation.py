"""Owns the family "variation": how far two impressions of one finger are apart, and whether synthetic ones are as real.

Does not ask whether they are of one finger (`uniqueness.py`) and does not align them (`matcher/alignment.py`).
"""

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from ml_collections import ConfigDict

from fpgan_jax.data.ridges import ridge_map
from fpgan_jax.data.ridges.print_scale import PERIOD_AT_500_PPI
from fpgan_jax.evaluation.matcher import alignment, nist_tools
from fpgan_jax.evaluation.matcher.matching import Matcher
from fpgan_jax.evaluation.matcher.nist_tools import Minutiae, ToolError
from fpgan_jax.evaluation.matcher.resolution import NoScaleError, prepare_prints
from fpgan_jax.evaluation.measures import identity, summary, uniqueness
from fpgan_jax.evaluation.measures.identity import Comparisons
from fpgan_jax.evaluation.statistics import intervals
from fpgan_jax.evaluation.study.findings import Findings, ImageRow, MeasureRow
from fpgan_jax.evaluation.study.print_collection import REAL_ROLES, PrintCollection, Study

FAMILY = "variation"
# Name -> unit of what two impressions differ by.
QUANTITIES = {
    "impression_turn": "deg",
    "impression_shift": "px",
    "impression_residual": "px",
    "impression_mated_share": "fraction",
    "impression_overlap": "fraction",
    "impression_grey_difference": "grey levels (0-255)",
}
# Of strangers an alignment finds fewer; without them a rotation means nothing.
MIN_COMMON = 8
_MAX_PAIRS = 1000


def measure(study: Study, data_config: ConfigDict, matcher: Matcher | None = None) -> Findings:
    """Measure every collection, at 500 ppi.

    Two impressions are compared once they are aligned by their minutiae: a real print with the finger's other real
    impressions, any other print with those of its own collection. Only pairs count that the matcher accepts at FAR 1%
    and that have `MIN_COMMON` minutiae in common.

    - `impression_turn`: degrees that one is turned by. `impression_shift`: pixels that the common minutiae moved by.
    - `impression_residual`: root mean square distance of common minutiae after the alignment, pixels: the skin's
      distortion, and 2.6 px of MINDTCT's own jitter.
    - `impression_mated_share`: of the minutiae in the part that both show, those that both have.
    - `impression_overlap`: share of a print's minutiae in that part, of the two prints the larger.
    - `impression_grey_difference`: of the mean grey where the skin touched.
    - each with `_ks` behind it: the Kolmogorov-Smirnov distance of its distribution from that of all pairs of real
      impressions; 0 is the same, 1 has nothing in common.

    Args:
      study: what to measure.
      data_config: config.data of its prints.
      matcher: one that has matched some of it already; None makes one.

    Returns:
      Measures, and a print's mean over its pairs; one skipped row where no matcher is installed.
    """
    try:
        matcher = matcher or Matcher(nist_tools.find_matching_tool())
        prepared = prepare_prints(study, data_config)
        comparisons = identity.compare_with_gallery(study, prepared, matcher)
        gallery = comparisons.gallery
        everyone, _ = uniqueness.choose_within(gallery.persons, _MAX_PAIRS)
        real = _compare(gallery.images, everyone, comparisons, matcher)
        measures: list[MeasureRow] = []
        images: list[ImageRow] = []
        for name, collection in study.collections.items():
            is_real = collection.role in REAL_ROLES
            if is_real:
                places, compared = gallery.find_places(collection), real
            else:
                groups, _ = uniqueness.choose_within(collection.persons, _MAX_PAIRS)
                compared = _compare(prepared.images[name], groups, comparisons, matcher)
                places = np.arange(len(collection))
            rows, image_rows = _average(collection, places, compared)
            measures += rows
            images += image_rows
            measures += _compare_distributions(
                collection, compared, None if is_real else real, gallery.persons
            )
    except (ToolError, NoScaleError) as error:
        return identity.skip(FAMILY, "impression_turn", error)
    return Findings(measures, images)


class _Differences(NamedTuple):
    """Pairs of prints of one finger: places int64 [k, 2], values float64 [k, quantities], how many were left out."""

    places: np.ndarray
    values: np.ndarray
    num_left_out: int


def _compare(
    images: np.ndarray, groups: Sequence[np.ndarray], comparisons: Comparisons, matcher: Matcher
) -> _Differences:
    pairs = np.array([pair for group in groups for pair in itertools.combinations(group, 2)], np.int64)
    pairs = pairs.reshape(-1, 2)
    scores = matcher.compare(images, images, pairs, "one finger's impressions")
    thresholds = [threshold for threshold in comparisons.thresholds.values() if not np.isnan(threshold)]
    accepted = pairs[scores >= min(thresholds, default=0)]
    used = np.unique(accepted)
    minutiae = dict(zip(used, matcher.extract(images[used], "minutiae of impressions"), strict=True))
    greys = {place: _measure_grey(images[place]) for place in used}
    values = [(*describe_difference(minutiae[i], minutiae[j]), abs(greys[i] - greys[j])) for i, j in accepted]
    table = np.array(values, np.float64).reshape(-1, len(QUANTITIES))
    is_known = ~np.isnan(table).any(1)
    return _Differences(accepted[is_known], table[is_known], len(pairs) - int(is_known.sum()))


def describe_difference(first: Minutiae, second: Minutiae) -> tuple[float, float, float, float, float]:
    """Describe how two impressions differ, by all of `QUANTITIES` but the grey.

    Args:
      first: of one impression, at 500 ppi.
      second: of the other.

    Returns:
      (turn in degrees, shift and residual in pixels, mated share, overlap); NaN with fewer than `MIN_COMMON` common
      minutiae.
    """
    common = alignment.align(first, second)
    if len(common.pairs) < MIN_COMMON:
        return (math.nan,) * 5
    mated = 2 * len(common.pairs) / (common.num_first + common.num_second)
    overlap = max(common.num_first / len(first.x), common.num_second / len(second.x))
    return abs(math.degrees(common.turn)), common.shift, common.residual, min(mated, 1.0), overlap


def _measure_grey(image: np.ndarray) -> float:
    contact = ridge_map.find_contact(image.astype(np.float32), PERIOD_AT_500_PPI)
    total = float(contact.sum())
    return float((image * contact).sum()) / total if total else math.nan


def _average(
    collection: PrintCollection, places: np.ndarray, compared: _Differences
) -> tuple[list[MeasureRow], list[ImageRow]]:
    """Average each print's pairs: places int64 [n], where its prints are among those compared, -1 for nowhere."""
    means = np.full((len(collection), len(QUANTITIES)), np.nan)
    for number in np.flatnonzero(places >= 0):
        is_own = (compared.places == places[number]).any(1)
        if is_own.any():
            means[number] = compared.values[is_own].mean(0)
    measures, images = [], []
    for (name, unit), values in zip(QUANTITIES.items(), means.T, strict=True):
        if np.isnan(values).all():
            reason = "no two of its prints are accepted as one finger's"
            measures.append(summary.refuse(FAMILY, name, collection, reason, unit=unit, better="real"))
            continue
        note = f"{compared.num_left_out} pairs of one finger left out, which are not accepted or have little in common"
        measures.append(
            summary.summarise(
                FAMILY,
                name,
                collection,
                values,
                unit=unit,
                better="real",
                note=note * (compared.num_left_out > 0),
            )
        )
        images += summary.create_image_rows(name, collection, values)
    return measures, images


def _compare_distributions(
    collection: PrintCollection, compared: _Differences, real: _Differences | None, real_persons: np.ndarray
) -> list[MeasureRow]:
    names = [f"{name}_ks" for name in QUANTITIES]
    if real is None:
        reason = "it is what the others are compared with"
    elif not len(real.values):
        reason = "no finger has two real impressions"
    elif not len(compared.values):
        reason = "no two of its prints are accepted as one finger's"
    else:
        reason = ""
    if reason:
        return [summary.refuse(FAMILY, name, collection, reason, better="lower") for name in names]
    persons, others = collection.persons[compared.places[:, 0]], real_persons[real.places[:, 0]]
    measures = []
    for name, own, other in zip(names, compared.values.T, real.values.T, strict=True):
        value = compute_ks_distance(own, other)
        interval = intervals.find_jackknife_interval(
            value,
            intervals.leave_persons_out(
                own, persons, lambda rest, other=other: compute_ks_distance(rest, other)
            ),
            intervals.leave_persons_out(other, others, lambda rest, own=own: compute_ks_distance(own, rest)),
            bounds=(0.0, 1.0),
        )
        num_persons = intervals.count_persons(persons)
        note = summary.join_notes(
            f"{len(own)} pairs against {len(other)} of real impressions",
            intervals.describe_missing_interval(num_persons, interval),
        )
        measures.append(
            MeasureRow(
                FAMILY, name, collection.name, value, *interval, len(own), num_persons, "", "lower", note=note
            )
        )
    return measures


def compute_ks_distance(values: np.ndarray, others: np.ndarray) -> float:
    """Compute the largest difference of two distribution functions: float [n], [m] to [0, 1]; NaN of nothing.

    Source: Smirnov 1939.
    """
    if not len(values) or not len(others):
        return math.nan
    # The statistic alone: SciPy's test also computes an exact p value, a hundred times the work.
    places = np.concatenate([values, others])
    shares = [
        np.searchsorted(np.sort(sample), places, side="right") / len(sample) for sample in (values, others)
    ]
    return float(np.abs(shares[0] - shares[1]).max())
