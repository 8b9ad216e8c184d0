"""Owns the family "leakage": is a print, or its mirror image, one of the prints that the generator was trained on?

Does not tell whether that is wanted: a synthetic print that keeps its person's identity gives that person away.
"""

import dataclasses

import numpy as np
from ml_collections import ConfigDict

from fpgan_jax.evaluation import identity, nist_tools, summary
from fpgan_jax.evaluation.identity import Comparisons
from fpgan_jax.evaluation.matching import Matcher
from fpgan_jax.evaluation.measurements import Findings, ImageRow, MatchRow, MeasureRow
from fpgan_jax.evaluation.nist_tools import ToolError
from fpgan_jax.evaluation.print_collection import REFERENCE, PrintCollection, Study
from fpgan_jax.evaluation.resolution import NoScaleError, PreparedPrints, prepare_prints
from fpgan_jax.evaluation.statistics.verification import FALSE_ACCEPT_RATES

FAMILY = "leakage"
MIRRORED = "_mirrored"


def measure(study: Study, data_config: ConfigDict, matcher: Matcher | None = None) -> Findings:
    """Measure every collection by NIST's MINDTCT and BOZORTH3.

    - `nbis_best_score`: of a print, its highest score against any print of the training. `nbis_mirrored_best_score`:
      alike, against their mirrored copies.
    - `nbis_leak_rate_at_far_F`, `nbis_mirrored_leak_rate_at_far_F`: share of prints whose best score is accepted. The
      threshold is that of single comparisons; the best of many passes more often by chance, and how often is what
      prints of strangers, `real_others`, score here.

    Args:
      study: what to measure; its reference is the training gallery.
      data_config: config.data of its prints.
      matcher: one that has matched some of it already; None makes one.

    Returns:
      Measures, scores a print, and the comparisons with the mirrored gallery ("identity" has the others); one skipped
      row where no matcher is installed.
    """
    try:
        matcher = matcher or Matcher(nist_tools.find_matching_tool())
        prepared = prepare_prints(study, data_config)
        comparisons = identity.compare_with_gallery(study, prepared, matcher)
        mirrored = compare_with_mirrored(study, prepared, comparisons, matcher)
    except (ToolError, NoScaleError) as error:
        return identity.skip(FAMILY, "nbis_leak_rate_at_far_0.01", error)
    measures: list[MeasureRow] = []
    images: list[ImageRow] = []
    matches: list[MatchRow] = []
    for name, collection in study.collections.items():
        num_training = comparisons.gallery.num_reference
        for word, scores in (
            ("", comparisons.scores[name][:, :num_training]),
            ("mirrored_", mirrored.scores[name]),
        ):
            rows, image_rows = _measure_collection(study, comparisons, collection, scores, word)
            measures += rows
            images += image_rows
        matches += identity.create_match_rows(mirrored, collection, mirrored.scores[name])
    return Findings(measures, images, matches)


def compare_with_mirrored(
    study: Study, prepared: PreparedPrints, comparisons: Comparisons, matcher: Matcher
) -> Comparisons:
    """Compare every print that was compared with the gallery with the training prints' mirror images.

    Args:
      study: the collections.
      prepared: its prints at 500 ppi.
      comparisons: with the gallery.
      matcher: what compares.

    Returns:
      The same matcher, impostors and thresholds, with another gallery; NaN where there was no comparison.

    Raises:
      ToolError: the tool failed.
    """
    num_training = comparisons.gallery.num_reference
    images = np.ascontiguousarray(comparisons.gallery.images[:num_training, :, ::-1])
    gallery = identity.Gallery(
        images,
        comparisons.gallery.persons[:num_training],
        tuple(f"{name}{MIRRORED}" for name in comparisons.gallery.collections[:num_training]),
        comparisons.gallery.filenames[:num_training],
        num_training,
    )
    scores = {}
    for name, known in comparisons.scores.items():
        places = np.flatnonzero(~np.isnan(known).all(1))
        pairs = np.stack(np.meshgrid(places, np.arange(num_training), indexing="ij"), axis=-1).reshape(-1, 2)
        scores[name] = np.full((len(known), num_training), np.nan)
        found = matcher.compare(prepared.images[name], images, pairs, f"mirrored, {name}")
        scores[name][places] = found.reshape(-1, num_training)
    return dataclasses.replace(comparisons, gallery=gallery, scores=scores, is_same_image={})


def _measure_collection(
    study: Study, comparisons: Comparisons, collection: PrintCollection, scores: np.ndarray, word: str
) -> tuple[list[MeasureRow], list[ImageRow]]:
    prefix = f"{comparisons.matcher}_{word}"
    has_score = ~np.isnan(scores).all(1)
    best = np.full(len(collection), np.nan)
    best[has_score] = np.nanmax(scores[has_score], axis=1)
    note = ""
    if collection.role == REFERENCE and not word:
        note = "each against the other persons' prints"
    measures = [
        summary.summarise(
            FAMILY, f"{prefix}best_score", collection, best, unit="score", better="lower", note=note
        )
    ]
    for rate in FALSE_ACCEPT_RATES:
        name = f"{prefix}leak_rate_at_far_{rate:g}"
        if why := comparisons.describe_refusal(rate):
            measures.append(summary.refuse(FAMILY, name, collection, why, unit="fraction", better="lower"))
            continue
        accepted = np.where(has_score, best >= comparisons.thresholds[rate], np.nan)
        measures.append(
            summary.summarise(FAMILY, name, collection, accepted, unit="fraction", better="lower", note=note)
        )
    return measures, summary.create_image_rows(f"{prefix}best_score", collection, best)
