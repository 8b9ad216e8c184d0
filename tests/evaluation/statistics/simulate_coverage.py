"""Owns simulations of how often a 95% interval holds a truth that is known, before and after.

    python -m tests.evaluation.statistics.simulate_coverage

prints the tables of `docs/statistics.md`. "Before" is the percentile bootstrap over persons, "after" what an
evaluation reports.
"""

import functools
import sys
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy import stats

from fpgan_jax.evaluation.measures import distances
from fpgan_jax.evaluation.statistics import differences, intervals, verification
from fpgan_jax.evaluation.statistics.verification import Impostors

NUM_PRINTS = 10
NUM_REFERENCE = 30
NUM_FEATURES = 4
MARGIN = 10.0

Interval = tuple[float, float]


class Coverage(NamedTuple):
    """How often the intervals held the truth, and how wide they were.

    Attributes:
      before: share of the percentile bootstrap's; one that is not there or has no width holds nothing.
      after: share of those of `statistics`.
      no_width: share of the bootstrap's that had none.
      width_before: mean.
      width_after: mean.
    """

    before: float
    after: float
    no_width: float
    width_before: float
    width_after: float


class Case(NamedTuple):
    """What is simulated.

    Attributes:
      draw: a generator and the number of persons -> a sample.
      find_before: a sample, a generator, a number of resamples -> its interval.
      find_after: a sample -> its interval.
      find_truth: the number of persons -> the number that the interval is to hold.
    """

    draw: Callable
    find_before: Callable
    find_after: Callable
    find_truth: Callable[[int], float]


def _draw_places(generator: np.random.Generator, num_persons: int, num_resamples: int) -> np.ndarray:
    return generator.integers(num_persons, size=(num_resamples, num_persons))


def _count(places: np.ndarray) -> np.ndarray:
    return np.stack([np.bincount(row, minlength=places.shape[1]) for row in places])


def _find_percentiles(values: np.ndarray) -> Interval:
    return tuple(np.percentile(values[~np.isnan(values)], [2.5, 97.5]))


def _get_groups(sample: np.ndarray) -> np.ndarray:
    return np.repeat(np.arange(len(sample)), sample.shape[1])


def _bootstrap_mean(sample, generator, num_resamples) -> Interval:
    return _find_percentiles(sample.mean(1)[_draw_places(generator, len(sample), num_resamples)].mean(1))


def _bootstrap_pairs(sample, generator, num_resamples) -> Interval:
    counts = _count(_draw_places(generator, len(sample), num_resamples))
    return _find_percentiles(intervals.average_pairs(sample, counts))


def _draw_normal(generator, num_persons) -> np.ndarray:
    return generator.normal(size=(num_persons, 1)) + generator.normal(size=(num_persons, NUM_PRINTS))


def _draw_rate(rate, generator, num_persons) -> np.ndarray:
    """Draw what persons differ in: of two prints of a person the correlation is 0.3."""
    strength = 0.7 / 0.3
    persons = generator.beta(rate * strength, (1 - rate) * strength, num_persons)
    return generator.random((num_persons, NUM_PRINTS)) < persons[:, None]


def _draw_distances(generator, num_persons) -> np.ndarray:
    values = generator.normal(size=num_persons)
    return np.abs(values[:, None] - values[None, :])


def _draw_scores(generator, num_persons, num_prints=NUM_PRINTS) -> np.ndarray:
    """Draw standard normal scores of pairs, of whose variance either person has 15% and the pair 30%."""
    persons = generator.normal(0, np.sqrt(0.15), num_persons)
    pairs = np.triu(generator.normal(0, np.sqrt(0.3), (num_persons, num_persons)), 1)
    scores = persons[:, None] + persons[None, :] + pairs + pairs.T
    return scores[..., None] + generator.normal(0, np.sqrt(0.4), (num_persons, num_persons, num_prints))


def _draw_pair_scores(generator, num_persons) -> np.ndarray:
    scores = np.triu(_draw_scores(generator, num_persons).mean(2), 1)
    return scores + scores.T


def _draw_collisions(generator, num_persons) -> np.ndarray:
    is_accepted = (_draw_scores(generator, num_persons) > stats.norm.ppf(0.99)).mean(2)
    return np.triu(is_accepted, 1) + np.triu(is_accepted, 1).T


def _draw_verification(distance, generator, num_persons) -> tuple[np.ndarray, np.ndarray]:
    """Draw scores, genuine [persons, prints] and of each print with every other person's [persons, persons, prints]."""
    genuine = distance + _draw_normal(generator, num_persons) / np.sqrt(2)
    return genuine, _draw_scores(generator, num_persons)


def _select_impostors(scores: np.ndarray) -> Impostors:
    is_other = ~np.eye(len(scores), dtype=bool)
    pairs = np.argwhere(is_other)
    return Impostors(scores[is_other].ravel(), np.repeat(pairs, scores.shape[2], axis=0))


def _bootstrap_equal_error(sample, generator, num_resamples) -> Interval:
    genuine, scores = sample
    # A person's comparisons, each print with every other person's.
    others = np.stack([np.delete(scores[person], person, 0) for person in range(len(scores))])
    return _find_percentiles(
        np.array(
            [
                verification.compute_equal_error(genuine[drawn].ravel(), others[drawn].ravel()).rate
                for drawn in _draw_places(generator, len(genuine), num_resamples)
            ]
        )
    )


def _find_equal_error(sample) -> Interval:
    genuine, scores = sample
    return verification.compute_equal_error_interval(
        genuine.ravel(), _get_groups(genuine), _select_impostors(scores)
    )


def _draw_impostors(generator, num_persons) -> Impostors:
    """Draw whole scores of mean 10 and deviation 5, each pair of persons once."""
    scores = _draw_scores(generator, num_persons, 1)[..., 0]
    pairs = np.argwhere(np.triu(np.ones_like(scores), 1))
    return Impostors(np.floor(10 + 5 * scores[tuple(pairs.T)]), pairs)


def _find_threshold(sample) -> Interval:
    return verification.find_threshold_interval(sample, 0.01, num_resamples=300, seed=0)


def _have_none(sample, generator, num_resamples) -> Interval:
    return intervals.NO_INTERVAL


def _draw_features(generator, num_persons) -> tuple[np.ndarray, np.ndarray]:
    """Draw a collection's features a deviation from the reference's."""
    return (
        generator.normal(1, 1, (num_persons, NUM_FEATURES)),
        generator.normal(size=(NUM_REFERENCE, NUM_FEATURES)),
    )


def _measure_features(name, sample) -> tuple[float, float, float]:
    features, reference = sample
    persons, draws = np.arange(len(features)), np.arange(len(features))[None]
    if name == "kid":
        return distances.compute_kid(features, persons, reference, np.arange(len(reference)))
    if name == "frechet_distance":
        return distances.measure_frechet(features[:, :2], reference[:, :2], draws, seed=0)
    return distances.measure_neighborhoods(features, persons, reference, draws, seed=0)[name]


def _compute_feature(name, features, reference) -> float:
    if name == "kid":
        return distances.compute_kid(
            features, np.arange(len(features)), reference, np.arange(len(reference))
        )[0]
    if name == "frechet_distance":
        return float(distances.compute_frechet_distance(features[:, :2], reference[:, :2]))
    found = distances.compute_neighborhoods(features, reference, distances.NUM_NEIGHBORS)
    return float(getattr(found, name).mean())


def _bootstrap_features(name, sample, generator, num_resamples) -> Interval:
    """Resample as it was: both samples for distances, one of them for what is a mean over it."""
    features, reference = sample
    if name in ("precision", "density", "recall", "coverage"):
        found = distances.compute_neighborhoods(features, reference, distances.NUM_NEIGHBORS)
        values = getattr(found, name).astype(float)
        return _bootstrap_mean(values[:, None], generator, num_resamples)
    draws = [_draw_places(generator, len(part), num_resamples) for part in sample]
    if name == "frechet_distance":
        values = distances.compute_frechet_distance(features[draws[0], :2], reference[draws[1], :2])
        return _find_percentiles(values - values.mean() + _compute_feature(name, features, reference))
    within, within_reference, across = (
        (first @ second.T / NUM_FEATURES + 1) ** 3
        for first, second in ((features, features), (reference, reference), (features, reference))
    )
    counts, reference_counts = map(_count, draws)
    means = np.einsum("rp,pq,rq->r", counts, across, reference_counts) / len(features) / len(reference)
    return _find_percentiles(
        intervals.average_pairs(within, counts)
        + intervals.average_pairs(within_reference, reference_counts)
        - 2 * means
    )


@functools.cache
def _find_expected_feature(name, num_persons) -> float:
    """Find a measure's mean over samples of as many persons, which is what its interval is of."""
    generator = np.random.default_rng(0)
    return float(
        np.mean([_compute_feature(name, *_draw_features(generator, num_persons)) for _ in range(2000)])
    )


def _create_feature_case(name) -> Case:
    part = functools.partial
    return Case(
        _draw_features,
        part(_bootstrap_features, name),
        lambda sample: _measure_features(name, sample)[1:],
        part(_find_expected_feature, name),
    )


def _create_rate_case(rate) -> Case:
    return Case(
        functools.partial(_draw_rate, rate),
        _bootstrap_mean,
        lambda sample: intervals.compute_rate_interval(sample.ravel(), _get_groups(sample)),
        lambda _: rate,
    )


def _create_error_case(rate) -> Case:
    return Case(
        functools.partial(_draw_verification, -2 * stats.norm.ppf(rate)),
        _bootstrap_equal_error,
        _find_equal_error,
        lambda _: rate,
    )


CASES = {
    "mean": Case(
        _draw_normal,
        _bootstrap_mean,
        lambda sample: intervals.compute_interval(sample.ravel(), _get_groups(sample)),
        lambda _: 0.0,
    ),
    "rate 0.95": _create_rate_case(0.95),
    "rate 0.7": _create_rate_case(0.7),
    "scores of pairs": Case(
        _draw_pair_scores,
        _bootstrap_pairs,
        lambda sample: intervals.compute_pair_interval(sample)[1:],
        lambda _: 0.0,
    ),
    "distances of pairs": Case(
        _draw_distances,
        _bootstrap_pairs,
        lambda sample: intervals.compute_pair_interval(sample)[1:],
        lambda _: 2 / np.sqrt(np.pi),
    ),
    "collisions 1%": Case(
        _draw_collisions,
        _bootstrap_pairs,
        lambda sample: intervals.compute_pair_interval(sample, is_rate=True)[1:],
        lambda _: 0.01,
    ),
    "EER 2%": _create_error_case(0.02),
    "EER 7%": _create_error_case(0.07),
    "threshold at FAR 1%": Case(
        _draw_impostors, _have_none, _find_threshold, lambda _: 10 + 5 * stats.norm.ppf(0.99)
    ),
    **{
        name: _create_feature_case(name)
        for name in ("kid", "frechet_distance", "precision", "recall", "density", "coverage")
    },
}
SIZES = {name: (10, 25) for name in ("precision", "recall", "density", "coverage", "frechet_distance")}
# 300 pairs of persons, without which there is no threshold at FAR 1%.
SIZES["threshold at FAR 1%"] = (25,)


def measure(
    case: str, num_persons: int, *, num_simulations: int, seed: int, num_resamples: int = 0
) -> Coverage:
    """Simulate one case.

    Args:
      case: of `CASES`.
      num_persons: in each sample.
      num_simulations: how many samples.
      seed: of the samples and the draws.
      num_resamples: of the bootstrap; 0 leaves it out.

    Returns:
      The coverage; NaN of what was left out.
    """
    generator = np.random.default_rng(seed)
    draw, find_before, find_after, find_truth = CASES[case]
    truth = find_truth(num_persons)
    found = np.full((2, num_simulations, 2), np.nan)
    for place in range(num_simulations):
        sample = draw(generator, num_persons)
        found[1, place] = find_after(sample)
        if num_resamples:
            found[0, place] = find_before(sample, generator, num_resamples)
    # Not there, an interval holds nothing.
    before, after = ((part[:, 0] <= truth) & (truth <= part[:, 1]) for part in found)
    widths = found[..., 1] - found[..., 0]
    if not num_resamples or np.isnan(widths[0]).all():
        return Coverage(*(np.nan, after.mean(), np.nan, np.nan, np.nanmean(widths[1])))
    return Coverage(
        before.mean(), after.mean(), (widths[0] < 1e-12).mean(), np.nanmean(widths[0]), np.nanmean(widths[1])
    )


def measure_verdicts(
    difference: float, num_persons: int, *, num_simulations: int, seed: int
) -> dict[str, float]:
    """Simulate verdicts on scores that are by so much above real ones, with a margin of `MARGIN`.

    Persons' scores have a deviation of 30, their prints' one of 20 about it and synthetic ones 10 of a person's own;
    3 real prints a person and 10 synthetic ones.

    Args:
      difference: of the synthetic scores' mean from the real one.
      num_persons: in each sample.
      num_simulations: how many samples.
      seed: of the samples.

    Returns:
      verdict -> share of the samples.
    """
    generator = np.random.default_rng(seed)
    found = []
    for _ in range(num_simulations):
        persons = generator.normal(120, 30, (num_persons, 1))
        real = persons + generator.normal(0, 20, (num_persons, 3))
        shift = generator.normal(difference, 10, (num_persons, 1))
        synthetic = persons + shift + generator.normal(0, 20, (num_persons, NUM_PRINTS))
        one = differences.compute_difference(
            synthetic.ravel(), _get_groups(synthetic), real.ravel(), _get_groups(real)
        )
        found.append(differences.judge([one], "higher", MARGIN))
    words = (differences.BETTER, differences.EQUIVALENT, differences.UNDECIDED, differences.WORSE)
    return {word: found.count(word) / num_simulations for word in words}


def main() -> None:
    """Print both tables as Markdown."""
    num_simulations, num_resamples = 1000, 500
    print("| number | persons | before | of no width | after | width before | width after |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for case in CASES:
        for num_persons in SIZES.get(case, (5, 10, 25)):
            row = measure(
                case, num_persons, num_simulations=num_simulations, seed=0, num_resamples=num_resamples
            )
            shares = (f"{share:.1%}" if share == share else "-" for share in (row[0], row[2], row[1]))
            widths = (f"{width:.3g}" if width == width else "-" for width in row[3:])
            print(f"| {case} | {num_persons} | {' | '.join(shares)} | {' | '.join(widths)} |")
            sys.stdout.flush()
    print("\n| true difference | persons | better | equivalent | undecided | worse |")
    print("| --- | --- | --- | --- | --- | --- |")
    for difference in (0, -MARGIN, -3 * MARGIN):
        for num_persons in (5, 10, 25):
            shares = measure_verdicts(difference, num_persons, num_simulations=2000, seed=0).values()
            print(f"| {difference:g} | {num_persons} | {' | '.join(f'{share:.1%}' for share in shares)} |")


if __name__ == "__main__":
    main()
