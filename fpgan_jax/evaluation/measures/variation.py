"""Owns the family "variation": how much two impressions of one finger differ, for real and for synthetic prints.

Whether they are of one finger is measured by `uniqueness.py`.
"""

import functools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from fpgan_jax.data.ridges import ridge_map
from fpgan_jax.data.ridges.print_scale import PERIOD_AT_500_PPI
from fpgan_jax.evaluation.matcher import alignment
from fpgan_jax.evaluation.matcher.matching import Matcher
from fpgan_jax.evaluation.matcher.nist_tools import Minutiae
from fpgan_jax.evaluation.matcher.resolution import prepare_prints
from fpgan_jax.evaluation.measures import uniqueness
from fpgan_jax.evaluation.measures.comparisons import Comparisons, compare_with_gallery
from fpgan_jax.evaluation.measures.family import Family, Tools
from fpgan_jax.evaluation.measures.measure import Measure
from fpgan_jax.evaluation.statistics import intervals
from fpgan_jax.evaluation.study.findings import Findings, MeasureRow, merge_findings
from fpgan_jax.evaluation.study.print_collection import REAL_ROLES, PrintCollection, Study

GRAY_DIFFERENCE = Measure(
    "impression_grey_difference", "grey levels (0-255)", "real", "Impression gray difference", margin=5
)
MEASURES = (
    Measure("impression_turn", "deg", "real", margin=2),
    Measure("impression_shift", "px", "real", margin=10),
    Measure("impression_residual", "px", "real", margin=0.5),
    Measure("impression_mated_share", "fraction", "real", margin=0.05),
    Measure("impression_overlap", "fraction", "real", margin=0.05),
    GRAY_DIFFERENCE,
)
DISTANCES = tuple(Measure(f"{taken.name}_ks", "", "lower", f"{taken.title} KS") for taken in MEASURES)
# An alignment of two strangers' prints finds fewer; without them a rotation means nothing.
MIN_COMMON = 8
_MAX_PAIRS = 1000


def measure(study: Study, tools: Tools) -> Findings:
    """Measure every collection, at 500 ppi.

    Two impressions are compared after alignment by their minutiae: a real print with the finger's other real
    impressions, any other print with those of its own collection. Only pairs count that the matcher accepts at FAR 1%
    and that have `MIN_COMMON` minutiae in common.

    - `impression_turn`: rotation between them, degrees. `impression_shift`: mean displacement of the common minutiae,
      pixels.
    - `impression_residual`: root mean square distance of common minutiae after the alignment, pixels: the skin's
      distortion, and 2.6 px of MINDTCT's own jitter.
    - `impression_mated_share`: share of the minutiae in the common part that both have.
    - `impression_overlap`: share of a print's minutiae in the common part, the larger of the two prints' shares.
    - `impression_grey_difference`: of the mean gray level where the skin touched.
    - each also with `_ks`: the Kolmogorov-Smirnov distance of its distribution from that of all pairs of real
      impressions; 0 is the same, 1 has nothing in common.
    """
    matcher = tools.find_minutiae_matcher()
    prepared = prepare_prints(study, tools.data_config)
    comparisons = compare_with_gallery(study, prepared, matcher)
    gallery = comparisons.gallery
    everyone, _ = uniqueness.choose_within(gallery.persons, _MAX_PAIRS)
    real = _compare(gallery.images, everyone, comparisons, matcher)
    findings = []
    for name, collection in study.collections.items():
        is_real = collection.role in REAL_ROLES
        if is_real:
            places, compared = gallery.find_places(collection), real
        else:
            groups, _ = uniqueness.choose_within(collection.persons, _MAX_PAIRS)
            compared = _compare(prepared.images[name], groups, comparisons, matcher)
            places = np.arange(len(collection))
        findings.append(_average(collection, places, compared))
        others = None if is_real else real
        findings.append(Findings(_compare_distributions(collection, compared, others, gallery.persons)))
    return merge_findings(findings)


class _Differences(NamedTuple):
    """Pairs of prints of one finger: places int64 [k, 2], values float64 [k, quantities], how many were left out."""

    places: np.ndarray
    values: np.ndarray
    num_left_out: int


def _compare(
    images: np.ndarray, groups: Sequence[np.ndarray], comparisons: Comparisons, matcher: Matcher
) -> _Differences:
    pairs = uniqueness.list_pairs(groups)
    scores = matcher.compare(images, images, pairs, "one finger's impressions")
    thresholds = [threshold for threshold in comparisons.thresholds.values() if not np.isnan(threshold)]
    accepted = pairs[scores >= min(thresholds, default=0)]
    used = np.unique(accepted)
    minutiae = dict(zip(used, matcher.extract(images[used], "minutiae of impressions"), strict=True))
    grays = {place: _measure_gray(images[place]) for place in used}
    values = [(*describe_difference(minutiae[i], minutiae[j]), abs(grays[i] - grays[j])) for i, j in accepted]
    table = np.array(values, np.float64).reshape(-1, len(MEASURES))
    is_known = ~np.isnan(table).any(1)
    return _Differences(accepted[is_known], table[is_known], len(pairs) - int(is_known.sum()))


def describe_difference(first: Minutiae, second: Minutiae) -> tuple[float, float, float, float, float]:
    """Describe the difference of two impressions at 500 ppi, by all of `MEASURES` except the gray level.

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


def _measure_gray(image: np.ndarray) -> float:
    contact = ridge_map.find_contact(image.astype(np.float32), PERIOD_AT_500_PPI)
    total = float(contact.sum())
    return float((image * contact).sum()) / total if total else math.nan


def _average(collection: PrintCollection, places: np.ndarray, compared: _Differences) -> Findings:
    """Average each print's pairs; places are int64 [n], its prints' among those compared, -1 for none."""
    means = np.full((len(collection), len(MEASURES)), np.nan)
    for number in np.flatnonzero(places >= 0):
        is_own = (compared.places == places[number]).any(1)
        if is_own.any():
            means[number] = compared.values[is_own].mean(0)
    note = reason = ""
    if compared.num_left_out:
        note = f"{compared.num_left_out} pairs of one finger left out, which are not accepted or have little in common"
    if np.isnan(means).all():
        reason = "no two of its prints are accepted as one finger's"
    return merge_findings(
        FAMILY.describe(taken, collection, values, note=note, reason=reason)
        for taken, values in zip(MEASURES, means.T, strict=True)
    )


def _compare_distributions(
    collection: PrintCollection, compared: _Differences, real: _Differences | None, real_persons: np.ndarray
) -> list[MeasureRow]:
    reason = ""
    if real is None:
        reason = "it is what the others are compared with"
    elif not len(real.values):
        reason = "no finger has two real impressions"
    elif not len(compared.values):
        reason = "no two of its prints are accepted as one finger's"
    if real is None or reason:
        return [FAMILY.refuse(taken, collection, reason) for taken in DISTANCES]
    persons, others = collection.persons[compared.places[:, 0]], real_persons[real.places[:, 0]]
    counts = len(compared.values), intervals.count_persons(persons)
    note = f"{len(compared.values)} pairs against {len(real.values)} of real impressions"
    measures = []
    for taken, own, other in zip(DISTANCES, compared.values.T, real.values.T, strict=True):
        value = compute_ks_distance(own, other)
        left_out = (
            intervals.leave_persons_out(own, persons, functools.partial(compute_ks_distance, other)),
            intervals.leave_persons_out(other, others, functools.partial(compute_ks_distance, own)),
        )
        interval = intervals.find_jackknife_interval(value, *left_out, bounds=(0.0, 1.0))
        measures.append(FAMILY.create_row(taken, collection, value, counts, interval=interval, note=note))
    return measures


def compute_ks_distance(values: np.ndarray, others: np.ndarray) -> float:
    """Compute the largest difference of two distribution functions: float [n], [m] to [0, 1]; NaN without values.

    Source: Smirnov 1939.
    """
    if not len(values) or not len(others):
        return math.nan
    # Only the statistic: SciPy's test also computes an exact p value, a hundred times the work.
    places = np.concatenate([values, others])
    shares = [
        np.searchsorted(np.sort(sample), places, side="right") / len(sample) for sample in (values, others)
    ]
    return float(np.abs(shares[0] - shares[1]).max())


FAMILY: Family = Family(
    "variation",
    "Variation",
    "How much two impressions of one finger differ: turned, shifted, distorted, cut off, lighter or darker. "
    "Synthetic ones should differ as much as real ones. KS, the Kolmogorov-Smirnov distance, is 0 for the same "
    "distribution and 1 for two without overlap.",
    measures=(*MEASURES, *DISTANCES),
    compute=lambda study, tools: FAMILY.compute_or_skip(measure, study, tools),
)
