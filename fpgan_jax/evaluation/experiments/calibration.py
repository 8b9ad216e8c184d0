"""Owns the test of a matcher on real prints, before it judges any others.

Several real impressions of a finger are matched with one another; if there is only one, with its altered copies.
"""

import dataclasses

import numpy as np
from ml_collections import ConfigDict

from fpgan_jax.data import print_loading
from fpgan_jax.errors import UserError
from fpgan_jax.evaluation.experiments import impression_trial
from fpgan_jax.evaluation.matcher.matching import Matcher
from fpgan_jax.evaluation.matcher.nist_tools import ToolError
from fpgan_jax.evaluation.matcher.resolution import NoScaleError, PreparedPrints, prepare_prints
from fpgan_jax.evaluation.matcher.tools import find_tool
from fpgan_jax.evaluation.measures.comparisons import (
    Comparisons,
    compare_with_gallery,
    create_match_rows,
    create_pair_rows,
)
from fpgan_jax.evaluation.statistics import intervals, verification
from fpgan_jax.evaluation.statistics.intervals import write_interval
from fpgan_jax.evaluation.statistics.verification import Impostors
from fpgan_jax.evaluation.study import loading, print_collection
from fpgan_jax.evaluation.study.findings import MatchRow
from fpgan_jax.evaluation.study.print_collection import PrintCollection, Study
from fpgan_jax.tables.csv_rows import write_rows

MAX_PERSONS = 60  # more cost time and change little
# Of persons, for a threshold's interval.
_NUM_RESAMPLES = 2000


@dataclasses.dataclass(frozen=True)
class Calibration:
    """How well a matcher tells real fingers apart."""

    matcher: str
    num_persons: int
    num_prints: int
    num_altered: int  # altered impressions that were matched; 0 if real impressions were
    # float64 [g]; two real impressions of a finger, or an altered one and its original
    genuine_scores: np.ndarray
    genuine_persons: np.ndarray  # int [g]; whose prints they are
    impostors: Impostors  # altered impressions against every other finger's real print
    unaltered_impostors: Impostors  # real prints of two fingers
    rank_1: float  # share of the altered impressions whose original scores higher than all others; NaN without any
    failure_to_enroll: float  # share of the real prints that score nothing even against themselves
    period: float  # the sensor's ridge period before scaling, pixels
    factor: float  # of the enlargement to 500 ppi


def calibrate_matcher(
    config: ConfigDict, scores_path: str, *, max_persons: int = MAX_PERSONS, matcher: Matcher | None = None
) -> Calibration:
    """Match real impressions of one finger with one another, or without any, altered ones with all real prints.

    Altered impressions are the same scan, altered: a matcher that compares images could do well without telling fingers
    apart. One that only uses minutiae is tested more strictly.

    Args:
      config: the experiment's config; its `data` selects and preprocesses the prints.
      scores_path: the CSV to write, one `MatchRow` per comparison.
      max_persons: the first persons take part.
      matcher: None for that of config.evaluation.matchers.

    Raises:
      UserError: there are no such prints, no second impressions, fewer than two persons, or no matcher is installed.
    """
    origin = print_loading.describe_origin(config.data)
    persons = print_loading.list_persons(config)[:max_persons]
    if len(persons) < 2:
        raise UserError(f"{origin}: {len(persons)} persons have a real print; a matcher needs two or more")
    config = config.copy_and_resolve_references()
    config.data.persons, config.data.num_impressions = persons, 0
    loaded = loading.load_real_collections(config)
    collections = {c.name: c for c in loaded if c.role != print_collection.POPULATION}
    has_impressions = len(np.unique(loaded[0].persons)) < len(loaded[0])
    if len(collections) < 2 and not has_impressions:
        raise UserError(
            f"{origin}: no second impressions of these persons' fingers, nor altered ones; a matcher is tried on them"
        )
    study = Study(collections=collections, settings=config.evaluation)
    try:
        matcher = matcher or Matcher(find_tool(config.evaluation.matchers[0]))
        prepared = prepare_prints(study, config.data)
        if has_impressions:
            return _try_on_impressions(study.reference, prepared, matcher, scores_path)
        comparisons = compare_with_gallery(study, prepared, matcher)
    except (ToolError, NoScaleError) as error:
        raise UserError(str(error)) from error
    baselines = [c for c in collections.values() if c.role == print_collection.BASELINE]
    rows: list[MatchRow] = []
    for collection in baselines:
        rows += create_match_rows(comparisons, collection, comparisons.scores[collection.name])
    write_rows(scores_path, rows)
    return _collect(comparisons, baselines, prepared)


def _try_on_impressions(
    real: PrintCollection, prepared: PreparedPrints, matcher: Matcher, scores_path: str
) -> Calibration:
    images = prepared.images[real.name]
    itself = np.repeat(np.arange(len(real))[:, None], 2, axis=1)
    genuine = impression_trial.choose_genuine(real.persons)
    impostors = impression_trial.choose_impostors(real.persons)
    self_scores = matcher.compare(images, images, itself, "each print with itself")
    genuine_scores = matcher.compare(images, images, genuine, "genuine")
    impostor_scores = matcher.compare(images, images, impostors, "impostors")
    rows = create_pair_rows(matcher.name, real, genuine, genuine_scores)
    rows += create_pair_rows(matcher.name, real, impostors, impostor_scores)
    write_rows(scores_path, rows)
    return Calibration(
        matcher=matcher.name,
        num_persons=len(np.unique(real.persons)),
        num_prints=len(real),
        num_altered=0,
        genuine_scores=genuine_scores,
        genuine_persons=real.persons[genuine[:, 0]],
        impostors=Impostors(np.zeros(0), np.zeros((0, 2), np.int64)),
        unaltered_impostors=Impostors(impostor_scores, real.persons[impostors]),
        rank_1=float("nan"),
        failure_to_enroll=float(np.mean(self_scores == 0)),
        period=prepared.period,
        factor=prepared.factor,
    )


def _collect(
    comparisons: Comparisons, baselines: list[PrintCollection], prepared: PreparedPrints
) -> Calibration:
    scores = np.concatenate([comparisons.scores[c.name] for c in baselines])
    persons = np.concatenate([c.persons for c in baselines])
    others = comparisons.gallery.persons
    is_own = persons[:, None] == others
    genuine = scores[is_own]
    probes, originals = np.nonzero(~is_own)
    best_other = np.where(is_own, -np.inf, scores).max(1)
    return Calibration(
        matcher=comparisons.matcher,
        num_persons=len(others),
        num_prints=len(others),
        num_altered=len(scores),
        genuine_scores=genuine,
        genuine_persons=persons,
        impostors=Impostors(scores[~is_own], np.stack([persons[probes], others[originals]], axis=1)),
        unaltered_impostors=comparisons.unaltered_impostors,
        rank_1=float(np.mean(genuine > best_other)),
        failure_to_enroll=float(np.mean(comparisons.self_scores["real"] == 0)),
        period=prepared.period,
        factor=prepared.factor,
    )


def describe_calibration(calibration: Calibration) -> str:
    """Format a calibration for a terminal."""
    genuine = calibration.genuine_scores
    low, median, high = np.quantile(genuine, (0.05, 0.5, 0.95))
    lines = [
        f"matcher: {calibration.matcher}; {calibration.num_prints} real prints of {calibration.num_persons} fingers",
        f"ridge period {calibration.period:.2f} px, enlarged {calibration.factor:.3f} times to 500 ppi",
        f"failure to enroll: {calibration.failure_to_enroll:.2%} of the real prints score nothing against themselves",
        f"genuine: {len(genuine):,} comparisons, median score {median:g} (5% below {low:g}, 5% above {high:g})",
        "[ ]: 95% intervals for other persons",
    ]
    pools = [("real prints of two fingers", calibration.unaltered_impostors)]
    if calibration.num_altered:
        lines += [
            f"each genuine one is of one of {calibration.num_altered} altered impressions and the scan that it was "
            "made of",
            f"rank-1 {calibration.rank_1:.2%}",
        ]
        pools = [
            ("altered impressions against other persons' real prints", calibration.impostors),
            ("real prints against one another, which are more alike", calibration.unaltered_impostors),
        ]
    for kind, impostors in pools:
        high, most = np.quantile(impostors.scores, 0.99), impostors.scores.max()
        lines += [
            f"impostors: {len(impostors.scores):,} comparisons of {impostors.count_pairs():,} pairs of persons, {kind}",
            f"  1% score above {high:g}, the highest {most:g}",
            *_describe_rates(calibration, impostors),
        ]
    return "\n".join(lines)


def _describe_rates(calibration: Calibration, impostors: Impostors) -> list[str]:
    genuine, persons = calibration.genuine_scores, calibration.genuine_persons
    error = verification.compute_equal_error(genuine, impostors.scores)
    interval = verification.compute_equal_error_interval(genuine, persons, impostors)
    lines = [f"  EER {error.rate:.2%}{write_interval(interval, '.2%')} at score {error.threshold:g}"]
    for rate in verification.FALSE_ACCEPT_RATES:
        needed = verification.count_needed_impostors(rate)
        is_enough = impostors.count_pairs() >= needed
        # Comparisons of several impressions count, though of few fingers; those of altered copies of a print do not.
        if not is_enough and (calibration.num_altered or len(impostors.scores) < needed):
            lines.append(f"  TAR at FAR {rate:.1%}: refused, {needed:,} pairs of persons are needed")
            continue
        threshold = verification.find_threshold(impostors.scores, rate)
        is_accepted = genuine >= threshold
        accepted = ends = note = ""
        if is_enough:
            accepted = write_interval(intervals.compute_rate_interval(is_accepted, persons), ".2%")
            found = verification.find_threshold_interval(
                impostors, rate, num_resamples=_NUM_RESAMPLES, seed=0
            )
            ends = write_interval(found, "g")
        else:
            note = f", of these persons; for others {needed:,} pairs of persons are needed"
        tar = f"TAR {is_accepted.mean():.2%}{accepted} at FAR {rate:.1%}"
        lines.append(f"  {tar}, from score {threshold:g}{ends}{note}")
    return lines
