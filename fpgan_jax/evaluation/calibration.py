"""Owns the proof of the matcher itself: real prints against their altered impressions, before it judges any other.

Does not own the numbers (`verification.py`) or the way of matching (`identity.py`).
"""

import dataclasses

import numpy as np
from ml_collections import ConfigDict

from fpgan_jax.data import print_loading
from fpgan_jax.errors import UserError
from fpgan_jax.evaluation import identity, nist_tools, print_collection, study
from fpgan_jax.evaluation.matching import Matcher
from fpgan_jax.evaluation.nist_tools import ToolError
from fpgan_jax.evaluation.print_collection import PrintCollection, Study
from fpgan_jax.evaluation.resolution import NoScaleError, prepare_prints
from fpgan_jax.evaluation.rows import write_rows
from fpgan_jax.evaluation.statistics import intervals, verification
from fpgan_jax.evaluation.statistics.verification import Impostors

# Draws of persons behind a threshold's interval.
_NUM_RESAMPLES = 2000


@dataclasses.dataclass(frozen=True)
class Calibration:
    """How well a matcher tells real fingers apart.

    Attributes:
      matcher: its name.
      num_persons: in the gallery, one real print each.
      num_probes: altered impressions of their fingers.
      genuine_scores: float64 [num_probes]; each against the print that it was made from.
      genuine_persons: int [num_probes]; whose prints they are.
      impostors: each against every other print of the gallery.
      unaltered_impostors: the gallery's prints against one another.
      rank_1: share of the altered impressions whose own print scores highest, alone.
      period: median ridge period of the real prints before scaling, pixels.
      factor: by which they were enlarged to 500 ppi.
    """

    matcher: str
    num_persons: int
    num_probes: int
    genuine_scores: np.ndarray
    genuine_persons: np.ndarray
    impostors: Impostors
    unaltered_impostors: Impostors
    rank_1: float
    period: float
    factor: float


def calibrate_matcher(
    config: ConfigDict,
    scores_path: str,
    *,
    max_persons: int = identity.MAX_GALLERY,
    matcher: Matcher | None = None,
) -> Calibration:
    """Match altered impressions against everybody's real print.

    Altered impressions are the same scan, altered, so that a matcher which looked at the image could do well without
    telling fingers; one of minutiae alone is the stricter witness.

    Args:
      config: the experiment's config; its `data` says which finger's prints these are, and how they are preprocessed.
      scores_path: the CSV to write, a `MatchRow` a comparison.
      max_persons: the first so many persons take part.
      matcher: None makes one.

    Returns:
      The scores.

    Raises:
      UserError: there are no such prints, no altered ones, fewer than two persons, or no matcher is installed.
    """
    origin = print_loading.describe_origin(config.data)
    persons = print_loading.list_persons(config)[:max_persons]
    if len(persons) < 2:
        raise UserError(f"{origin}: {len(persons)} persons have a real print; a matcher needs two or more")
    config = config.copy_and_resolve_references()
    config.data.persons = persons
    loaded = study.load_real_collections(config)
    collections = {c.name: c for c in loaded if c.role != print_collection.POPULATION}
    if len(collections) < 2:
        raise UserError(
            f"{origin}: no altered impressions of these persons' prints; a matcher is tried on them"
        )
    made = Study(collections=collections, settings=config.evaluation)
    try:
        matcher = matcher or Matcher(nist_tools.find_matching_tool())
        prepared = prepare_prints(made, config.data)
        comparisons = identity.compare_with_gallery(made, prepared, matcher)
    except (ToolError, NoScaleError) as error:
        raise UserError(str(error)) from error
    baselines = [c for c in collections.values() if c.role == print_collection.BASELINE]
    write_rows(
        scores_path,
        [
            row
            for collection in baselines
            for row in identity.create_match_rows(
                comparisons, collection, comparisons.scores[collection.name]
            )
        ],
    )
    return _collect(comparisons, baselines, prepared.period, prepared.factor)


def _collect(
    comparisons: identity.Comparisons, baselines: list[PrintCollection], period: float, factor: float
) -> Calibration:
    scores = np.concatenate([comparisons.scores[c.name] for c in baselines])
    persons = np.concatenate([c.persons for c in baselines])
    gallery = comparisons.gallery.persons[None, :]
    is_own = persons[:, None] == gallery
    genuine = scores[is_own]
    best_other = np.where(is_own, -np.inf, scores).max(1)
    return Calibration(
        matcher=comparisons.matcher,
        num_persons=len(comparisons.gallery.images),
        num_probes=len(scores),
        genuine_scores=genuine,
        genuine_persons=persons,
        impostors=Impostors(
            scores[~is_own],
            np.stack([array[~is_own] for array in np.broadcast_arrays(persons[:, None], gallery)], axis=1),
        ),
        unaltered_impostors=comparisons.unaltered_impostors,
        rank_1=float(np.mean(genuine > best_other)),
        period=period,
        factor=factor,
    )


def describe_calibration(calibration: Calibration) -> str:
    """Write a calibration for a terminal."""
    genuine = calibration.genuine_scores
    lines = [
        f"matcher: {calibration.matcher}; {calibration.num_persons} real prints, {calibration.num_probes} altered "
        "impressions of them",
        f"ridge period {calibration.period:.2f} px, enlarged {calibration.factor:.3f} times to 500 ppi",
        f"{len(genuine):,} genuine comparisons, each of an altered impression and the scan that it was made of",
        f"rank-1 {calibration.rank_1:.2%}",
        "[ ]: 95% intervals for other persons",
    ]
    for kind, impostors in (
        ("altered impressions against other persons' real prints", calibration.impostors),
        ("real prints against one another, which are more alike", calibration.unaltered_impostors),
    ):
        lines += [
            f"impostors: {len(impostors.scores):,} comparisons of {impostors.count_pairs():,} pairs of persons, {kind}",
            *_describe_rates(calibration, impostors),
        ]
    return "\n".join(lines)


def _describe_rates(calibration: Calibration, impostors: Impostors) -> list[str]:
    genuine, persons = calibration.genuine_scores, calibration.genuine_persons
    error = verification.compute_equal_error(genuine, impostors.scores)
    interval = verification.compute_equal_error_interval(genuine, persons, impostors)
    lines = [f"  EER {error.rate:.2%}{_write_interval(interval, '.2%')} at score {error.threshold:g}"]
    for rate in verification.FALSE_ACCEPT_RATES:
        needed = verification.count_needed_impostors(rate)
        if impostors.count_pairs() < needed:
            lines.append(f"  TAR at FAR {rate:.1%}: refused, {needed:,} pairs of persons are needed")
            continue
        threshold = verification.find_threshold(impostors.scores, rate)
        ends = verification.find_threshold_interval(impostors, rate, num_resamples=_NUM_RESAMPLES, seed=0)
        is_accepted = genuine >= threshold
        accepted = intervals.compute_rate_interval(is_accepted, persons)
        lines.append(
            f"  TAR {is_accepted.mean():.2%}{_write_interval(accepted, '.2%')} at FAR {rate:.1%}, from score "
            f"{threshold:g}{_write_interval(ends, 'g')}"
        )
    return lines


def _write_interval(interval: tuple[float, float], form: str) -> str:
    if np.isnan(interval).any():
        return ""
    return f" [{format(interval[0], form)}, {format(interval[1], form)}]"
