"""Owns the family "pixels": L1, PSNR and SSIM to the reference print, and among prints of one and of several persons.

Does not tell likeness of fingers: two impressions of one finger differ in most pixels, and a blurred print is near to
its original.
"""

from collections.abc import Callable, Sequence

import numpy as np
from skimage.metrics import structural_similarity

from fpgan_jax.evaluation.measures import summary
from fpgan_jax.evaluation.statistics import intervals
from fpgan_jax.evaluation.study.findings import Findings, ImageRow, MeasureRow
from fpgan_jax.evaluation.study.print_collection import REAL_ROLES, PrintCollection, Study, find_same_person
from fpgan_jax.host.progress import create_progress

FAMILY = "pixels"
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


# Name -> (function, unit, the better direction of the distance to the reference).
_DISTANCES: dict[str, tuple[Callable[[np.ndarray, np.ndarray], np.ndarray], str, str]] = {
    "l1": (compute_l1, _GREY, "lower"),
    "psnr": (compute_psnr, "dB", "higher"),
    "ssim": (compute_ssim, "", "higher"),
}


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
    for name, (compute, unit, better) in _DISTANCES.items():
        title = f"{name}_to_reference"
        if reason:
            measures.append(summary.refuse(FAMILY, title, collection, reason, unit=unit, better=better))
            continue
        found = np.full(own.shape, np.nan)
        found[own] = _compute_in_chunks(
            compute, collection.images, np.nonzero(own)[0], study.reference.images, np.nonzero(own)[1]
        )
        values = np.full(len(collection), np.nan)
        choose_best = np.nanmax if better == "higher" else np.nanmin
        values[own.any(1)] = choose_best(found[own.any(1)], axis=1)
        note = (
            "two equal prints count as 100 dB" if name == "psnr" and (values == IDENTICAL_PSNR).any() else ""
        )
        measures.append(
            summary.summarise(FAMILY, title, collection, values, unit=unit, better=better, note=note)
        )
        images += summary.create_image_rows(title, collection, values)
    return measures, images


def _measure_to_nearest(study: Study, collection: PrintCollection) -> tuple[list[MeasureRow], list[ImageRow]]:
    title, reference = "l1_to_nearest_reference", study.reference
    # Another impression of the own finger is no stranger's print.
    is_own = find_same_person(collection.persons, reference.persons) & (collection.role in REAL_ROLES)
    if is_own.all(1).any():
        reason = "there is no other reference print"
        return [summary.refuse(FAMILY, title, collection, reason, unit=_GREY, better="higher")], []
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
    row = summary.summarise(
        FAMILY,
        title,
        collection,
        values,
        unit=_GREY,
        better="higher",
        note="to the other persons' prints" if is_own.any() else "",
    )
    return [row], summary.create_image_rows(title, collection, values)


def _measure_within(collection: PrintCollection) -> tuple[list[MeasureRow], list[ImageRow]]:
    groups = summary.find_groups(collection.persons, max_prints=MAX_PRINTS_PER_PERSON)
    groups = [group for group in groups if len(group) > 1]
    is_cut = (
        sum(map(len, groups)) < np.isin(collection.persons, [collection.persons[g[0]] for g in groups]).sum()
    )
    note = f"the first {MAX_PRINTS_PER_PERSON} prints of each person" if is_cut else ""
    measures, images = [], []
    for name in ("l1", "ssim"):
        compute, unit, _ = _DISTANCES[name]
        title = f"{name}_within_person"
        if not groups:
            reason = "no person has two prints"
            measures.append(summary.refuse(FAMILY, title, collection, reason, unit=unit, better="real"))
            continue
        # Each print's mean over the person's other prints.
        values = np.full(len(collection), np.nan)
        for group in groups:
            matrix = _compute_matrix(compute, collection.images[group])
            values[group] = matrix.sum(1) / (len(group) - 1)
        measures.append(
            summary.summarise(
                FAMILY,
                title,
                collection,
                values,
                unit=unit,
                better="real",
                note=note,
            )
        )
        images += summary.create_image_rows(title, collection, values)
    return measures, images


def _measure_between(collection: PrintCollection) -> list[MeasureRow]:
    firsts = np.array([group[0] for group in summary.find_groups(collection.persons, max_prints=1)], np.int64)
    num_all = len(firsts)
    if num_all > MAX_PERSONS:
        firsts = firsts[np.arange(MAX_PERSONS) * num_all // MAX_PERSONS]
    measures = []
    for name in ("l1", "ssim"):
        compute, unit, _ = _DISTANCES[name]
        title = f"{name}_between_persons"
        if len(firsts) < 2:
            reason = "there are no two persons known"
            measures.append(summary.refuse(FAMILY, title, collection, reason, unit=unit, better="real"))
            continue
        value, *interval = intervals.compute_pair_interval(
            _compute_matrix(compute, collection.images[firsts])
        )
        note = summary.join_notes(
            f"{MAX_PERSONS} of {num_all} persons" if num_all > MAX_PERSONS else "",
            intervals.describe_missing_interval(len(firsts), interval),
        )
        measures.append(
            MeasureRow(
                FAMILY,
                title,
                collection.name,
                value,
                *interval,
                len(firsts),
                len(firsts),
                unit,
                "real",
                note=note,
            )
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
