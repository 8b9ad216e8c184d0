"""Owns the family "minutiae": how many, of which kind, where and in which direction, and which came and went.

Does not find minutiae (NIST's MINDTCT does, through `nist_tools.py`) and does not match fingers (`identity.py`).
"""

import math
from collections.abc import Callable, Sequence

import numpy as np
from ml_collections import ConfigDict
from scipy import spatial

from fpgan_jax.evaluation.matcher import alignment, nist_tools
from fpgan_jax.evaluation.matcher.gallery import (
    Gallery,
    average_comparisons,
    create_gallery,
    explain_no_genuine,
)
from fpgan_jax.evaluation.matcher.matching import Matcher
from fpgan_jax.evaluation.matcher.nist_tools import Minutiae, ToolError
from fpgan_jax.evaluation.matcher.resolution import NoScaleError, prepare_prints
from fpgan_jax.evaluation.measures.family import Family, Headline, Measure, create_image_rows, join_notes
from fpgan_jax.evaluation.statistics import intervals
from fpgan_jax.evaluation.study.findings import Findings, ImageRow, MeasureRow
from fpgan_jax.evaluation.study.print_collection import PrintCollection, Study

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
# Minutiae of each print in the part that both show; of fewer the shares tell nothing.
MIN_COVERED = 8


def measure(study: Study, data_config: ConfigDict, matcher: Matcher | None = None) -> Findings:
    """Measure every collection, at 500 ppi.

    - `minutiae_count`: a print.
    - `ending_share`: of a print's minutiae; `ending_bifurcation_ratio`: of a collection's, all together.
    - `direction_distance`: of the directions of all minutiae from those of the same fingers' real impressions (degrees
      that they have to be turned by in the mean to be theirs; of everybody's, where a person has none).
      `position_distance`: share of the minutiae that lie in other parts of the print than theirs. Both grow as samples
      shrink: stand them beside the baseline.
    - `clark_evans_ratio`: of a print; 1 where as many minutiae lie as by chance in the image, above where they keep a
      distance, below where they crowd, as they do in a print that fills a part of its image.
    - `added_per_print`, `lost_per_print`: minutiae that another real impression of the finger does not have, and that
      only it has, in the part that both show once they are aligned; `added_share`, `lost_share` of the minutiae there.
      A print's mean over the impressions that `Gallery.find_genuine` says.

    Args:
      study: what to measure.
      data_config: config.data of its prints.
      matcher: one that has read some of the prints already; None makes one.

    Returns:
      Measures, and the values of prints; one skipped row where MINDTCT is not installed.
    """
    try:
        matcher = matcher or Matcher(nist_tools.find_matching_tool())
        prepared = prepare_prints(study, data_config)
        found = {
            name: matcher.extract(images, f"minutiae, {name}") for name, images in prepared.images.items()
        }
    except (ToolError, NoScaleError) as error:
        return FAMILY.skip(error)
    margin = prepared.margin
    shape = tuple(side - 2 * margin for side in prepared.images[study.reference.name].shape[1:])
    gallery = create_gallery(study, prepared)
    real = matcher.extract(gallery.images, "minutiae, real")
    measures: list[MeasureRow] = []
    images: list[ImageRow] = []
    for name, collection in study.collections.items():
        for taken, values in _describe_prints(found[name], shape).items():
            measures.append(FAMILY.summarize(taken, collection, values))
            images += create_image_rows(taken, collection, values)
        measures.append(_create_ratio_row(collection, found[name]))
        measures += _compare_distributions(study, collection, found[name], gallery, real, shape, margin)
        rows, image_rows = _compare_with_own(collection, found[name], gallery, real)
        measures += rows
        images += image_rows
    return Findings(measures, images)


def compute_circular_distance(counts: np.ndarray, other_counts: np.ndarray) -> float:
    """Compute the Wasserstein distance of two histograms on a circle.

    Args:
      counts: [n], not all 0; of equal parts of the circle.
      other_counts: [n], alike.

    Returns:
      Degrees that a share of the first is turned by, in the mean, to become the second; in [0, 180].

    Source: Rabin, Delon & Gousseau 2011, equation 12 (order 1); differs in: nothing.
    """
    differences = np.cumsum(counts / np.sum(counts) - other_counts / np.sum(other_counts))
    return float(np.abs(differences - np.median(differences)).mean() * 360)


def compute_total_variation(counts: np.ndarray, other_counts: np.ndarray) -> float:
    """Compute the share of one histogram that lies elsewhere than in the other: [n] and [n] to [0, 1]."""
    return float(np.abs(counts / np.sum(counts) - other_counts / np.sum(other_counts)).sum() / 2)


def compute_clark_evans_ratio(x: np.ndarray, y: np.ndarray, sides: tuple[float, float]) -> float:
    """Compute how evenly points lie.

    Args:
      x: float [n].
      y: float [n].
      sides: of the rectangle where they could lie.

    Returns:
      Mean distance to the nearest other point, over what it is for as many points laid by chance into the rectangle;
      NaN of fewer than 2 points.

    Source: Clark & Evans 1954, equation 4; Donnelly 1978 (points near an edge have fewer neighbours, which makes the
      plain ratio of some 40 points laid by chance 1.1).
    """
    if len(x) < 2:
        return float("nan")
    points = np.stack([x, y], axis=1).astype(np.float64)
    nearest = spatial.KDTree(points).query(points, k=2)[0][:, 1]
    by_chance = 0.5 * math.sqrt(sides[0] * sides[1] / len(x))
    by_chance += (0.0514 + 0.041 / math.sqrt(len(x))) * 2 * (sides[0] + sides[1]) / len(x)
    return float(nearest.mean() / by_chance)


def _describe_prints(found: Sequence[Minutiae], shape: tuple[int, int]) -> dict[Measure, np.ndarray]:
    sides = float(shape[0]), float(shape[1])
    counts = np.array([len(minutiae.x) for minutiae in found], np.float64)
    shares = np.array([m.is_ending.mean() if len(m.x) else np.nan for m in found], np.float64)
    ratios = np.array([compute_clark_evans_ratio(m.x, m.y, sides) for m in found], np.float64)
    return {MINUTIAE_COUNT: counts, ENDING_SHARE: shares, CLARK_EVANS_RATIO: ratios}


def _create_ratio_row(collection: PrintCollection, found: Sequence[Minutiae]) -> MeasureRow:
    kinds = np.array([(m.is_ending.sum(), (~m.is_ending).sum()) for m in found], np.float64)

    def compute(rows: np.ndarray) -> float:
        num_endings, num_bifurcations = rows.sum(0)
        return float(num_endings / num_bifurcations) if num_bifurcations else float("nan")

    return _create_pooled_row(collection, ENDING_BIFURCATION_RATIO, kinds, compute, kinds.sum())


def _compare_distributions(
    study: Study,
    collection: PrintCollection,
    found: Sequence[Minutiae],
    gallery: Gallery,
    real: Sequence[Minutiae],
    shape: tuple[int, int],
    margin: int,
) -> list[MeasureRow]:
    measures = []
    is_own = gallery.find_genuine(collection)
    for taken, count, compute in (
        (DIRECTION_DISTANCE, _count_directions, compute_circular_distance),
        (POSITION_DISTANCE, lambda m: _count_cells(m, shape, margin), compute_total_variation),
    ):
        if collection is study.reference and not is_own.any():
            measures.append(FAMILY.refuse(taken, collection, explain_no_genuine(collection)))
            continue
        counts = np.array([count(minutiae) for minutiae in found], np.float64)
        # A row has what a print has, then what it is compared with.
        expected = np.array([count(minutiae) for minutiae in real], np.float64)
        if is_own.any(1).all():
            # The own persons' impressions are left out with them, or a copy would lie outside its own interval.
            own = is_own / is_own.sum(1, keepdims=True)
            rows, note = np.concatenate([counts, own @ expected], axis=1), ""
        else:
            expected = np.broadcast_to(expected[: gallery.num_reference].sum(0), counts.shape)
            rows, note = np.concatenate([counts, expected], axis=1), "from all reference prints"

        def compare(drawn: np.ndarray, compute=compute) -> float:
            own, other = np.split(drawn.sum(0), 2)
            return compute(own, other) if own.any() and other.any() else float("nan")

        measures.append(_create_pooled_row(collection, taken, rows, compare, counts.sum(), note))
    return measures


def _create_pooled_row(
    collection: PrintCollection,
    taken: Measure,
    rows: np.ndarray,
    compute: Callable[[np.ndarray], float],
    num_minutiae: float,
    note: str = "",
) -> MeasureRow:
    """Create the row of a number of all minutiae together; rows are what each print has."""
    value = compute(rows)
    if math.isnan(value):
        return FAMILY.refuse(taken, collection, "there are too few minutiae")
    bounds = (0.0, 1.0 if taken.unit == "fraction" else np.inf)
    interval = intervals.compute_interval(rows, collection.persons, statistic=compute, bounds=bounds)
    num_persons = intervals.count_persons(collection.persons)
    note = join_notes(
        f"{int(num_minutiae):,} minutiae", note, intervals.describe_missing_interval(num_persons, interval)
    )
    return FAMILY.create_row(taken, collection.name, value, interval, len(rows), num_persons, note=note)


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
    collection: PrintCollection,
    found: Sequence[Minutiae],
    gallery: Gallery,
    real: Sequence[Minutiae],
) -> tuple[list[MeasureRow], list[ImageRow]]:
    is_own = gallery.find_genuine(collection)
    # Of each print: added, lost, and the shares of both.
    values = np.full((4, len(collection)), np.nan)
    for number in np.flatnonzero(is_own.any(1)):
        compared = [_count_changes(found[number], real[place]) for place in np.flatnonzero(is_own[number])]
        values[:, number] = average_comparisons(np.array(compared).T)
    reason = "" if is_own.any() else explain_no_genuine(collection)
    measures, images = [], []
    for taken, found_values in zip(
        (ADDED_PER_PRINT, LOST_PER_PRINT, ADDED_SHARE, LOST_SHARE), values, strict=True
    ):
        if reason:
            measures.append(FAMILY.refuse(taken, collection, reason))
            continue
        note = join_notes(gallery.describe_genuine(collection), _describe_missing(found_values))
        measures.append(FAMILY.summarize(taken, collection, found_values, note=note))
        images += create_image_rows(taken, collection, found_values)
    return measures, images


def _count_changes(own: Minutiae, other: Minutiae) -> tuple[float, float, float, float]:
    """Count what a print added to another impression and lost of it, and both shares; NaN of too small a part."""
    common = alignment.align(own, other)
    if min(common.num_first, common.num_second) < MIN_COVERED:
        return (float("nan"),) * 4
    added, lost = common.num_first - len(common.pairs), common.num_second - len(common.pairs)
    return added, lost, added / common.num_first, lost / common.num_second


def _describe_missing(values: np.ndarray) -> str:
    count = int(np.isnan(values).sum())
    return f"{count} prints have too little in common with theirs" if count else ""


FAMILY = Family(
    "minutiae",
    "Minutiae",
    "The ridges' endings and bifurcations: how many, of which kind, where and in which direction, and which "
    "were added or lost against real impressions of the finger, once the two are aligned.",
    measures=(
        *(MINUTIAE_COUNT, ENDING_SHARE, CLARK_EVANS_RATIO, ENDING_BIFURCATION_RATIO),
        *(DIRECTION_DISTANCE, POSITION_DISTANCE),
        *(ADDED_PER_PRINT, LOST_PER_PRINT, ADDED_SHARE, LOST_SHARE),
    ),
    compute=lambda study, tools: measure(study, tools.data_config, tools.minutiae_matcher),
    headlines=(
        Headline((MINUTIAE_COUNT,), "Have they a real print's minutiae?", "The mean number of minutiae"),
    ),
)
