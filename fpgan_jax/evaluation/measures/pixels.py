"""Owns the family "pixels": L1, PSNR and SSIM to the reference print, and among prints of one and of several persons.

These do not measure whether fingers are the same: two impressions of one finger differ in most pixels, and a blurred
print is close to its original.
"""

from collections.abc import Callable, Mapping

import numpy as np

from fpgan_jax.evaluation.measures.family import Family, find_groups, track_collections
from fpgan_jax.evaluation.measures.measure import OTHER_IMPRESSIONS, Baseline, Headline, Measure
from fpgan_jax.evaluation.statistics import intervals
from fpgan_jax.evaluation.statistics.image_similarity import compute_ssim
from fpgan_jax.evaluation.study.findings import Findings, MeasureRow, merge_findings
from fpgan_jax.evaluation.study.print_collection import (
    POPULATION,
    REAL_ROLES,
    REFERENCE,
    PrintCollection,
    Study,
    find_same_person,
)

# The PSNR of two equal prints, which is infinite. One level in one pixel of 256x256 gives 96.3 dB.
IDENTICAL_PSNR = 100.0
# Pairs of prints take most of the time.
MAX_PRINTS_PER_PERSON = 10
MAX_PERSONS = 20
_GRAY = "grey levels (0-255)"
_CHUNK = 32

Distance = Callable[[np.ndarray, np.ndarray], np.ndarray]


def compute_l1(images: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Compute the mean absolute difference of pairs of uint8 [n, height, width]: float64 [n], in [0, 255]."""
    return np.abs(images.astype(np.int16) - others).mean((1, 2))


def compute_psnr(images: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Compute the peak signal-to-noise ratio of pairs of uint8 [n, height, width]: float64 [n], dB.

    It is 10 log10(255^2 / mean squared difference), and `IDENTICAL_PSNR` for equal images.
    """
    squares = ((images.astype(np.float64) - others) ** 2).mean((1, 2))
    return np.where(squares > 0, 10 * np.log10(255**2 / np.where(squares > 0, squares, 1)), IDENTICAL_PSNR)


# A print that is not a copy should be as far from its reference as another impression of the finger.
L1_TO_REFERENCE = Measure(
    "l1_to_reference", _GRAY, "lower", "L1 to reference", margin=5, baseline=OTHER_IMPRESSIONS
)
PSNR_TO_REFERENCE = Measure(
    "psnr_to_reference", "dB", "higher", "PSNR to reference", margin=1, baseline=OTHER_IMPRESSIONS
)
SSIM_TO_REFERENCE = Measure(
    "ssim_to_reference", "", "higher", "SSIM to reference", margin=0.05, baseline=OTHER_IMPRESSIONS
)
_UNSEEN: Baseline = ((POPULATION,), (REFERENCE,))
L1_TO_NEAREST = Measure(
    "l1_to_nearest_reference", _GRAY, "higher", "L1 to nearest reference", margin=5, baseline=_UNSEEN
)
L1_WITHIN = Measure("l1_within_person", _GRAY, "real", "L1 within person", margin=5)
SSIM_WITHIN = Measure("ssim_within_person", "", "real", "SSIM within person", margin=0.05)
L1_BETWEEN = Measure("l1_between_persons", _GRAY, "real", "L1 between persons", margin=5)
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
      most similar of several. The baseline is real impressions: others of the same fingers, or the altered ones.
    - `l1_to_nearest_reference`: to the most similar reference print of anybody, 0 for a copied training print; of real
      prints, to the most similar of the other persons. The baseline is prints that no generator saw.
    - `l1_within_person`, `ssim_within_person`: among the prints of one person, that is, how much the noise changes.
      Compare with `l1_between_persons` and `ssim_between_persons`, among the first prints of different persons.
    """
    return merge_findings(
        findings
        for collection in track_collections(study, "comparing pixels")
        for findings in (
            _measure_to_reference(study, collection),
            _measure_to_nearest(study, collection),
            _measure_within(collection),
            Findings([_measure_between(collection, *each) for each in _BETWEEN.items()]),
        )
    )


def _measure_to_reference(study: Study, collection: PrintCollection) -> Findings:
    reference = study.reference
    own = find_same_person(collection.persons, reference.persons)
    if collection is reference:
        np.fill_diagonal(own, False)
    reason = "" if own.any() else "none of its persons has a reference print"
    if reason and collection is reference:
        reason = "it is the reference, and has one print of each person"
    prints, references = np.nonzero(own)
    findings = []
    for taken, compute in _TO_REFERENCE.items():
        found = np.full(own.shape, np.nan)
        found[own] = _compute_in_chunks(compute, collection.images, prints, reference.images, references)
        values = np.full(len(collection), np.nan)
        choose_best = np.nanmax if taken.better == "higher" else np.nanmin
        values[own.any(1)] = choose_best(found[own.any(1)], axis=1)
        is_capped = taken is PSNR_TO_REFERENCE and (values == IDENTICAL_PSNR).any()
        note = "two equal prints count as 100 dB" if is_capped else ""
        findings.append(FAMILY.describe(taken, collection, values, note=note, reason=reason))
    return merge_findings(findings)


def _measure_to_nearest(study: Study, collection: PrintCollection) -> Findings:
    reference = study.reference
    # A real print's other impressions are of its own finger.
    is_own = find_same_person(collection.persons, reference.persons) & (collection.role in REAL_ROLES)
    reason = "there is no other reference print" if is_own.all(1).any() else ""
    rows, columns = np.indices(is_own.shape).reshape(2, -1)
    distances = _compute_in_chunks(compute_l1, collection.images, rows, reference.images, columns)
    nearest = np.where(is_own, np.inf, distances.reshape(is_own.shape)).min(1)
    note = "to the other persons' prints" if is_own.any() else ""
    return FAMILY.describe(L1_TO_NEAREST, collection, nearest, note=note, reason=reason)


def _measure_within(collection: PrintCollection) -> Findings:
    groups = [group for group in find_groups(collection.persons) if len(group) > 1]
    reason = "" if groups else "no person has two prints"
    is_cut = any(len(group) > MAX_PRINTS_PER_PERSON for group in groups)
    note = f"the first {MAX_PRINTS_PER_PERSON} prints of each person" if is_cut else ""
    findings = []
    for taken, compute in _WITHIN.items():
        # Each print's mean over the person's other prints.
        values = np.full(len(collection), np.nan)
        for group in groups:
            chosen = group[:MAX_PRINTS_PER_PERSON]
            matrix = _compute_matrix(compute, collection.images[chosen])
            values[chosen] = matrix.sum(1) / (len(chosen) - 1)
        findings.append(FAMILY.describe(taken, collection, values, note=note, reason=reason))
    return merge_findings(findings)


def _measure_between(collection: PrintCollection, taken: Measure, compute: Distance) -> MeasureRow:
    firsts = np.array([group[0] for group in find_groups(collection.persons)], np.int64)
    num_all = len(firsts)
    if num_all < 2:
        return FAMILY.refuse(taken, collection, "there are no two persons known")
    note = ""
    if num_all > MAX_PERSONS:
        firsts = firsts[np.arange(MAX_PERSONS) * num_all // MAX_PERSONS]
        note = f"{MAX_PERSONS} of {num_all} persons"
    matrix = _compute_matrix(compute, collection.images[firsts])
    value, low, high = intervals.compute_pair_interval(matrix)
    counts = len(firsts), len(firsts)
    return FAMILY.create_row(taken, collection, value, counts, interval=(low, high), note=note)


def _compute_in_chunks(
    compute: Distance, images: np.ndarray, places: np.ndarray, others: np.ndarray, other_places: np.ndarray
) -> np.ndarray:
    """Compare images[places] with others[other_places], a few at a time to save memory."""
    chunks = (np.split(each, range(_CHUNK, len(each), _CHUNK)) for each in (places, other_places))
    return np.concatenate([compute(images[own], others[other]) for own, other in zip(*chunks, strict=True)])


def _compute_matrix(compute: Distance, images: np.ndarray) -> np.ndarray:
    """Compare all pairs of images: float64 [n, n], symmetric, 0 on the diagonal."""
    first, second = np.triu_indices(len(images), 1)
    matrix = np.zeros((len(images), len(images)))
    matrix[first, second] = _compute_in_chunks(compute, images, first, images, second)
    return matrix + matrix.T


FAMILY = Family(
    "pixels",
    "Pixels",
    "Gray levels, compared with the person's real print, the nearest real print, and one another.",
    measures=(*_TO_REFERENCE, L1_TO_NEAREST, *_WITHIN, *_BETWEEN),
    compute=lambda study, tools: measure(study),
    headlines=(
        Headline(
            (SSIM_TO_REFERENCE,),
            "How close are they to the person's print, pixel by pixel?",
            "The structural similarity (SSIM) to it",
        ),
        Headline(
            (SSIM_WITHIN,),
            "Does the noise change the print?",
            "The structural similarity (SSIM) of one person's prints",
        ),
    ),
)
