"""Owns the family "minutiae": their number, kinds, positions and directions, and which were added and lost."""

import math
from collections.abc import Callable, Sequence

import numpy as np
from scipy import spatial

from fpgan_jax.evaluation.matcher import alignment
from fpgan_jax.evaluation.matcher.gallery import (
    Gallery,
    average_comparisons,
    create_gallery,
    explain_no_genuine,
)
from fpgan_jax.evaluation.matcher.nist_tools import Minutiae
from fpgan_jax.evaluation.matcher.resolution import prepare_prints
from fpgan_jax.evaluation.measures.family import Family, Tools, join_notes
from fpgan_jax.evaluation.measures.measure import Headline, Measure
from fpgan_jax.evaluation.statistics import intervals
from fpgan_jax.evaluation.study.findings import Findings, MeasureRow, merge_findings
from fpgan_jax.evaluation.study.print_collection import REFERENCE, PrintCollection, Study

MINUTIAE_COUNT = Measure("minutiae_count", "", "real", margin=5)
ENDING_SHARE = Measure("ending_share", "fraction", "real", margin=0.05)
CLARK_EVANS_RATIO = Measure("clark_evans_ratio", "", "real", margin=0.05)
ENDING_BIFURCATION_RATIO = Measure("ending_bifurcation_ratio", "", "real", margin=0.1)
DIRECTION_DISTANCE = Measure("direction_distance", "deg", "lower", margin=3)
POSITION_DISTANCE = Measure("position_distance", "fraction", "lower", margin=0.05)
ADDED_PER_PRINT = Measure("added_per_print", "", "lower", margin=5)
LOST_PER_PRINT = Measure("lost_per_print", "", "lower", margin=5)
ADDED_SHARE = Measure("added_share", "fraction", "lower", margin=0.05)
LOST_SHARE = Measure("lost_share", "fraction", "lower", margin=0.05)
NUM_DIRECTIONS = 32  # MINDTCT's
NUM_CELLS = 4  # along each side
# Minutiae of each print in the common part; with fewer the shares mean nothing.
MIN_COVERED = 8


def measure(study: Study, tools: Tools) -> Findings:
    """Measure every collection, at 500 ppi.

    - `minutiae_count`: per print.
    - `ending_share`: of a print's minutiae; `ending_bifurcation_ratio`: of all minutiae of a collection.
    - `direction_distance`: of the directions of all minutiae from those of the same fingers' real impressions, or of
      everybody's if a person has none: the mean angle, degrees, between them after optimal transport.
      `position_distance`: share of the minutiae that are in other parts of the print than theirs. Both grow as samples
      shrink: compare them with the baseline.
    - `clark_evans_ratio`: of a print; 1 for minutiae at random places of the image, above 1 if they keep a distance,
      below 1 if they cluster, as in a print that fills only a part of its image.
    - `added_per_print`, `lost_per_print`: minutiae that another real impression of the finger does not have, and that
      only it has, in their common part after alignment; `added_share`, `lost_share` of the minutiae there. A print's
      mean over the impressions of `Gallery.find_genuine`.
    """
    matcher = tools.find_minutiae_matcher()
    prepared = prepare_prints(study, tools.data_config)
    found = {name: matcher.extract(images, f"minutiae, {name}") for name, images in prepared.images.items()}
    margin = prepared.margin
    height, width = (side - 2 * margin for side in prepared.images[study.reference.name].shape[1:])
    gallery = create_gallery(study, prepared)
    real = matcher.extract(gallery.images, "minutiae, real")

    def count_cells(minutiae: Minutiae) -> np.ndarray:
        return _count_cells(minutiae, (height, width), margin)

    findings = []
    for name, collection in study.collections.items():
        own = found[name]
        counts = np.array([len(each.x) for each in own], np.float64)
        endings = np.array([each.is_ending.sum() for each in own], np.float64)
        shares = np.divide(endings, counts, out=np.full(len(own), np.nan), where=counts > 0)
        ratios = np.array([compute_clark_evans_ratio(each.x, each.y, (height, width)) for each in own])
        for taken, values in ((MINUTIAE_COUNT, counts), (ENDING_SHARE, shares), (CLARK_EVANS_RATIO, ratios)):
            findings.append(FAMILY.describe(taken, collection, values))
        note = f"{int(counts.sum()):,} minutiae"
        kinds = np.stack([endings, counts - endings], axis=1)
        rows = [_create_pooled_row(ENDING_BIFURCATION_RATIO, collection, kinds, _divide_kinds, note)]
        for taken, count, compute in (
            (DIRECTION_DISTANCE, _count_directions, compute_circular_distance),
            (POSITION_DISTANCE, count_cells, compute_total_variation),
        ):
            histograms, real_histograms = (
                np.array([count(each) for each in prints], np.float64) for prints in (own, real)
            )
            rows.append(
                _compare_distributions(taken, compute, collection, gallery, histograms, real_histograms, note)
            )
        findings += [Findings(rows), _compare_with_own(collection, own, gallery, real)]
    return merge_findings(findings)


def compute_circular_distance(counts: np.ndarray, other_counts: np.ndarray) -> float:
    """Compute the Wasserstein distance of two histograms [n] of equal parts of a circle, neither all 0.

    It is the mean angle, degrees in [0, 180], by which the first must be moved to become the second.

    Source: Rabin, Delon & Gousseau 2011, equation 12 (order 1); differs in: nothing.
    """
    differences = np.cumsum(counts / np.sum(counts) - other_counts / np.sum(other_counts))
    return float(np.abs(differences - np.median(differences)).mean() * 360)


def compute_total_variation(counts: np.ndarray, other_counts: np.ndarray) -> float:
    """Compute the share of one histogram that is elsewhere in the other: [n] and [n] to [0, 1]."""
    return float(np.abs(counts / np.sum(counts) - other_counts / np.sum(other_counts)).sum() / 2)


def compute_clark_evans_ratio(x: np.ndarray, y: np.ndarray, sides: tuple[float, float]) -> float:
    """Compute how evenly points, float [n], are spread in a rectangle with these sides.

    It is the mean distance to the nearest other point, divided by that of as many random points; NaN with fewer than 2
    points.

    Source: Clark & Evans 1954, equation 4; Donnelly 1978 (points near an edge have fewer neighbors, which makes the
      plain ratio of about 40 random points 1.1).
    """
    if len(x) < 2:
        return math.nan
    points = np.stack([x, y], axis=1).astype(np.float64)
    nearest = spatial.KDTree(points).query(points, k=2)[0][:, 1]
    expected = 0.5 * math.sqrt(sides[0] * sides[1] / len(x))
    expected += (0.0514 + 0.041 / math.sqrt(len(x))) * 2 * (sides[0] + sides[1]) / len(x)
    return float(nearest.mean() / expected)


def _divide_kinds(kinds: np.ndarray) -> float:
    num_endings, num_bifurcations = kinds.sum(0)
    return float(num_endings / num_bifurcations) if num_bifurcations else math.nan


def _compare_distributions(
    taken: Measure,
    compute: Callable[[np.ndarray, np.ndarray], float],
    collection: PrintCollection,
    gallery: Gallery,
    own: np.ndarray,
    real: np.ndarray,
    note: str,
) -> MeasureRow:
    """Compare the histograms of prints [n, bins], added up, with those of the gallery's prints [m, bins]."""
    is_own = gallery.find_genuine(collection)
    if collection.role == REFERENCE and not is_own.any():
        return FAMILY.refuse(taken, collection, explain_no_genuine(collection))
    if is_own.any(1).all():
        # A person's own impressions are left out together with the person, or a copy would be outside its own interval.
        expected = (is_own / is_own.sum(1, keepdims=True)) @ real
    else:
        expected = np.broadcast_to(real[: gallery.num_reference].sum(0), own.shape)
        note = f"{note}; from all reference prints"

    def compare(rows: np.ndarray) -> float:
        parts = np.split(rows.sum(0), 2)
        return compute(*parts) if all(part.any() for part in parts) else math.nan

    return _create_pooled_row(taken, collection, np.concatenate([own, expected], axis=1), compare, note)


def _create_pooled_row(
    taken: Measure,
    collection: PrintCollection,
    rows: np.ndarray,
    compute: Callable[[np.ndarray], float],
    note: str,
) -> MeasureRow:
    """Create the row of a number of all minutiae together; each print has a row of the array."""
    value = compute(rows)
    if math.isnan(value):
        return FAMILY.refuse(taken, collection, "there are too few minutiae")
    bounds = (0.0, 1.0 if taken.unit == "fraction" else np.inf)
    interval = intervals.compute_interval(rows, collection.persons, statistic=compute, bounds=bounds)
    counts = len(rows), intervals.count_persons(collection.persons)
    return FAMILY.create_row(taken, collection, value, counts, interval=interval, note=note)


def _count_directions(minutiae: Minutiae) -> np.ndarray:
    numbers = np.rint(minutiae.direction / (2 * np.pi) * NUM_DIRECTIONS).astype(int) % NUM_DIRECTIONS
    return np.bincount(numbers, minlength=NUM_DIRECTIONS)


def _count_cells(minutiae: Minutiae, shape: tuple[int, int], margin: int) -> np.ndarray:
    down, across = (
        np.clip((places - margin) * NUM_CELLS // length, 0, NUM_CELLS - 1)
        for places, length in zip((minutiae.y, minutiae.x), shape, strict=True)
    )
    return np.bincount(down * NUM_CELLS + across, minlength=NUM_CELLS**2)


def _compare_with_own(
    collection: PrintCollection, found: Sequence[Minutiae], gallery: Gallery, real: Sequence[Minutiae]
) -> Findings:
    is_own = gallery.find_genuine(collection)
    # In the order of the measures below.
    values = np.full((4, len(collection)), np.nan)
    for number in np.flatnonzero(is_own.any(1)).tolist():
        places = np.flatnonzero(is_own[number]).tolist()
        compared = np.array([_count_changes(found[number], real[place]) for place in places])
        values[:, number] = average_comparisons(compared.T)
    reason = "" if is_own.any() else explain_no_genuine(collection)
    num_missing = int(np.isnan(values[0]).sum())
    note = join_notes(
        gallery.describe_genuine(collection),
        f"{num_missing} prints have too little in common with theirs" if num_missing else "",
    )
    return merge_findings(
        FAMILY.describe(taken, collection, each, note=note, reason=reason)
        for taken, each in zip(
            (ADDED_PER_PRINT, LOST_PER_PRINT, ADDED_SHARE, LOST_SHARE), values, strict=True
        )
    )


def _count_changes(own: Minutiae, other: Minutiae) -> tuple[float, float, float, float]:
    """Count what a print added to another impression and lost of it, and both shares; NaN if too little is common."""
    common = alignment.align(own, other)
    if min(common.num_first, common.num_second) < MIN_COVERED:
        return (math.nan,) * 4
    added, lost = common.num_first - len(common.pairs), common.num_second - len(common.pairs)
    return added, lost, added / common.num_first, lost / common.num_second


FAMILY: Family = Family(
    "minutiae",
    "Minutiae",
    "Ridge endings and bifurcations: their number, kinds, positions and directions, and those added or lost "
    "compared with real impressions of the finger after alignment.",
    measures=(
        *(MINUTIAE_COUNT, ENDING_SHARE, CLARK_EVANS_RATIO, ENDING_BIFURCATION_RATIO),
        *(DIRECTION_DISTANCE, POSITION_DISTANCE),
        *(ADDED_PER_PRINT, LOST_PER_PRINT, ADDED_SHARE, LOST_SHARE),
    ),
    compute=lambda study, tools: FAMILY.compute_or_skip(measure, study, tools),
    headlines=(
        Headline((MINUTIAE_COUNT,), "How many minutiae do they have?", "The mean number of minutiae"),
    ),
)
