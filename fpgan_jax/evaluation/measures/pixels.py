"""Owns the family "pixels": L1, PSNR and SSIM to the reference print, and among prints of one and of several persons.

Does not tell likeness of fingers: two impressions of one finger differ in most pixels, and a blurred print is near to
its original.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from skimage.metrics import structural_similarity

from fpgan_jax.evaluation.measures.family import (
    OTHER_IMPRESSIONS,
    Family,
    Headline,
    Measure,
    create_image_rows,
    find_groups,
    join_notes,
)
from fpgan_jax.evaluation.statistics import intervals
from fpgan_jax.evaluation.study.findings import Findings, ImageRow, MeasureRow
from fpgan_jax.evaluation.study.print_collection import (
    POPULATION,
    REAL_ROLES,
    REFERENCE,
    PrintCollection,
    Study,
    find_same_person,
)
from fpgan_jax.host.progress import create_progress

# What two equal prints count as: their PSNR is infinite. One level in one pixel of 256x256 gives 96.3 dB.
IDENTICAL_PSNR = 100.0
# Pairs of prints take most of the time.
MAX_PRINTS_PER_PERSON = 10
MAX_PERSONS = 20
_GREY = "grey levels (0-255)"
_CHUNK = 32


def compute_l1(images: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Compute the mean absolute difference of pairs of images.

    Args:
      images: uint8 [n, height, width].
      others: uint8 of the same shape.

    Returns:
      float64 [n], grey levels, in [0, 255].
    """
    return np.abs(images.astype(np.int16) - others).mean((1, 2))


def compute_psnr(images: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Compute the peak signal-to-noise ratio of pairs of images.

    Args:
      images: uint8 [n, height, width].
      others: uint8 of the same shape.

    Returns:
      float64 [n], dB: 10 log10(255^2 / mean squared difference); `IDENTICAL_PSNR` for equal images.
    """
    squares = ((images.astype(np.float64) - others) ** 2).mean((1, 2))
    return np.where(squares > 0, 10 * np.log10(255**2 / np.where(squares > 0, squares, 1)), IDENTICAL_PSNR)


def compute_ssim(images: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Compute the mean structural similarity of pairs of images.

    Args:
      images: uint8 [n, height, width], sides of at least 11 pixels.
      others: uint8 of the same shape.

    Returns:
      float64 [n], in [-1, 1]; 1 for equal images.

    Source: Wang, Bovik, Sheikh & Simoncelli 2004, section III (Gaussian window of 11 pixels, standard deviation 1.5,
      K1 = 0.01, K2 = 0.03), by scikit-image; differs in: nothing.
    """
    return np.array(
        [
            structural_similarity(
                image, other, data_range=255, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
            )
            for image, other in zip(images, others, strict=True)
        ],
        np.float64,
    )


Distance = Callable[[np.ndarray, np.ndarray], np.ndarray]

# Another impression of the finger is what a print that is no copy looks like beside its reference.
L1_TO_REFERENCE = Measure(
    "l1_to_reference", _GREY, "lower", "L1 to reference", margin=5, baseline=OTHER_IMPRESSIONS
)
PSNR_TO_REFERENCE = Measure(
    "psnr_to_reference", "dB", "higher", "PSNR to reference", margin=1, baseline=OTHER_IMPRESSIONS
)
SSIM_TO_REFERENCE = Measure(
    "ssim_to_reference", "", "higher", "SSIM to reference", margin=0.05, baseline=OTHER_IMPRESSIONS
)
L1_TO_NEAREST = Measure(
    *("l1_to_nearest_reference", _GREY, "higher", "L1 to nearest reference"),
    margin=5,
    baseline=((POPULATION,), (REFERENCE,)),
)
L1_WITHIN = Measure("l1_within_person", _GREY, "real", "L1 within person", margin=5)
SSIM_WITHIN = Measure("ssim_within_person", "", "real", "SSIM within person", margin=0.05)
L1_BETWEEN = Measure("l1_between_persons", _GREY, "real", "L1 between persons", margin=5)
SSIM_BETWEEN = Measure("ssim_between_persons", "", "real", "SSIM between persons", margin=0.05)

_TO_REFERENCE: Mapping[Measure, Distance] = {
    L1_TO_REFERENCE: compute_l1,
    PSNR_TO_REFERENCE: compute_psnr,
    SSIM_TO_REFERENCE: compute_ssim,
}
_WITHIN: Mapping[Measure, Distance] = {L1_WITHIN: compute_l1, SSIM_WITHIN: compute_ssim}
_BETWEEN: Mapping[Measure, Distance] = {L1_BETWEEN: compute_l1, SSIM_BETWEEN: compute_ssim}


def measure(study: Study) -> Findings:
    """Measure every collection.

    - `l1_to_reference`, `psnr_to_reference`, `ssim_to_reference`: each print to its own person's reference print, the
      most alike of several. The baseline is real impressions: others of the same fingers, or the altered ones.
    - `l1_to_nearest_reference`: to the most alike reference print of anybody, which a copied training print has at 0;
      of real prints, to the most alike of the other persons. The baseline is prints that no generator saw.
    - `l1_within_person`, `ssim_within_person`: among the prints of one person, how much the noise changes. The
      yardstick is `l1_between_persons` and `ssim_between_persons`, among the first prints of different persons.

    Args:
      study: what to compare.

    Returns:
      Rows of all collections, and those of prints that have one value each.
    """
    measures: list[MeasureRow] = []
    images: list[ImageRow] = []
    with create_progress(len(study.collections), "comparing pixels", "collections") as progress:
        for collection in study.collections.values():
            for rows, image_rows in (
                _measure_to_reference(study, collection),
                _measure_to_nearest(study, collection),
                _measure_within(collection),
                (_measure_between(collection), []),
            ):
                measures += rows
                images += image_rows
            progress.update(1)
    return Findings(measures, images)


def _measure_to_reference(
    study: Study, collection: PrintCollection
) -> tuple[list[MeasureRow], list[ImageRow]]:
    own = study.find_own_references(collection)
    reason = "" if own.any() else "none of its persons has a reference print"
    if reason and collection is study.reference:
        reason = "it is the reference, and has one print of each person"
    measures, images = [], []
    for taken, compute in _TO_REFERENCE.items():
        if reason:
            measures.append(FAMILY.refuse(taken, collection, reason))
            continue
        found = np.full(own.shape, np.nan)
        found[own] = _compute_in_chunks(
            compute, collection.images, np.nonzero(own)[0], study.reference.images, np.nonzero(own)[1]
        )
        values = np.full(len(collection), np.nan)
        choose_best = np.nanmax if taken.better == "higher" else np.nanmin
        values[own.any(1)] = choose_best(found[own.any(1)], axis=1)
        is_capped = taken is PSNR_TO_REFERENCE and (values == IDENTICAL_PSNR).any()
        note = "two equal prints count as 100 dB" if is_capped else ""
        measures.append(FAMILY.summarize(taken, collection, values, note=note))
        images += create_image_rows(taken, collection, values)
    return measures, images


def _measure_to_nearest(study: Study, collection: PrintCollection) -> tuple[list[MeasureRow], list[ImageRow]]:
    reference = study.reference
    # Another impression of the own finger is no stranger's print.
    is_own = find_same_person(collection.persons, reference.persons) & (collection.role in REAL_ROLES)
    if is_own.all(1).any():
        return [FAMILY.refuse(L1_TO_NEAREST, collection, "there is no other reference print")], []
    distances = np.stack(
        [
            _compute_in_chunks(
                compute_l1,
                collection.images,
                np.arange(len(collection)),
                reference.images,
                np.full(len(collection), place),
            )
            for place in range(len(reference))
        ],
        axis=1,
    )
    distances[is_own] = np.inf
    values = distances.min(1)
    note = "to the other persons' prints" if is_own.any() else ""
    row = FAMILY.summarize(L1_TO_NEAREST, collection, values, note=note)
    return [row], create_image_rows(L1_TO_NEAREST, collection, values)


def _measure_within(collection: PrintCollection) -> tuple[list[MeasureRow], list[ImageRow]]:
    groups = find_groups(collection.persons, max_prints=MAX_PRINTS_PER_PERSON)
    groups = [group for group in groups if len(group) > 1]
    is_cut = (
        sum(map(len, groups)) < np.isin(collection.persons, [collection.persons[g[0]] for g in groups]).sum()
    )
    note = f"the first {MAX_PRINTS_PER_PERSON} prints of each person" if is_cut else ""
    measures, images = [], []
    for taken, compute in _WITHIN.items():
        if not groups:
            measures.append(FAMILY.refuse(taken, collection, "no person has two prints"))
            continue
        # Each print's mean over the person's other prints.
        values = np.full(len(collection), np.nan)
        for group in groups:
            matrix = _compute_matrix(compute, collection.images[group])
            values[group] = matrix.sum(1) / (len(group) - 1)
        measures.append(FAMILY.summarize(taken, collection, values, note=note))
        images += create_image_rows(taken, collection, values)
    return measures, images


def _measure_between(collection: PrintCollection) -> list[MeasureRow]:
    firsts = np.array([group[0] for group in find_groups(collection.persons, max_prints=1)], np.int64)
    num_all = len(firsts)
    if num_all > MAX_PERSONS:
        firsts = firsts[np.arange(MAX_PERSONS) * num_all // MAX_PERSONS]
    measures = []
    for taken, compute in _BETWEEN.items():
        if len(firsts) < 2:
            measures.append(FAMILY.refuse(taken, collection, "there are no two persons known"))
            continue
        value, *interval = intervals.compute_pair_interval(
            _compute_matrix(compute, collection.images[firsts])
        )
        note = join_notes(
            f"{MAX_PERSONS} of {num_all} persons" if num_all > MAX_PERSONS else "",
            intervals.describe_missing_interval(len(firsts), interval),
        )
        measures.append(
            FAMILY.create_row(taken, collection.name, value, interval, len(firsts), len(firsts), note=note)
        )
    return measures


def _compute_in_chunks(
    compute: Callable[[np.ndarray, np.ndarray], np.ndarray],
    images: np.ndarray,
    places: Sequence[int],
    others: np.ndarray,
    other_places: Sequence[int],
) -> np.ndarray:
    """Compare images[places] with others[other_places], a few at a time for the sake of memory."""
    parts = [
        compute(images[places[start : start + _CHUNK]], others[other_places[start : start + _CHUNK]])
        for start in range(0, len(places), _CHUNK)
    ]
    return np.concatenate([np.zeros(0), *parts])


def _compute_matrix(
    compute: Callable[[np.ndarray, np.ndarray], np.ndarray], images: np.ndarray
) -> np.ndarray:
    """Compare each two of some images: float64 [n, n], symmetric, 0 on the diagonal."""
    first, second = np.triu_indices(len(images), 1)
    matrix = np.zeros((len(images), len(images)))
    matrix[first, second] = _compute_in_chunks(compute, images, first, images, second)
    return matrix + matrix.T


FAMILY = Family(
    "pixels",
    "Pixels",
    "Grey by grey, against the person's real print, the nearest real print, and one another.",
    measures=(*_TO_REFERENCE, L1_TO_NEAREST, *_WITHIN, *_BETWEEN),
    compute=lambda study, tools: measure(study),
    headlines=(
        Headline(
            (SSIM_TO_REFERENCE,),
            "How near are they to the person's print, grey by grey?",
            "The structural similarity (SSIM) to it",
        ),
        Headline(
            (SSIM_WITHIN,),
            "Does the noise change the print?",
            "The structural similarity (SSIM) of one person's prints",
        ),
    ),
)
