"""Owns how a duration is measured: warm-up, blocking, repeats, interleaved rounds, and their statistics.

Does not know what is timed, and imports neither JAX nor PyTorch: each process times its own side with it.
"""

import dataclasses
import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

# (least number of samples, least seconds) -> seconds per call, one a sample.
Turn = Callable[[int, float], list[float]]
# A program that takes less is called several times a sample, back to back as a training loop calls it, so that
# neither the clock nor the wait at a sample's end is what is measured.
SAMPLE_SECONDS = 0.02
_MAX_CALLS_PER_SAMPLE = 1000


@dataclasses.dataclass(frozen=True)
class Settings:
    """How long a contestant is timed, over all rounds.

    Attributes:
      min_repeats: least number of samples.
      min_seconds: least number of seconds.
      rounds: turns of each contestant; what drifts on the machine then falls on all of them.
    """

    min_repeats: int = 10
    min_seconds: float = 2.0
    rounds: int = 3


@dataclasses.dataclass(frozen=True)
class Summary:
    """Statistics of a contestant's samples, in the samples' unit.

    Attributes:
      median: of all samples.
      q1: lower quartile.
      q3: upper quartile.
      minimum: the least sample.
      count: how many there are.
    """

    median: float
    q1: float
    q3: float
    minimum: float
    count: int


@dataclasses.dataclass(frozen=True)
class Ratio:
    """How many times as long one contestant takes as another.

    Attributes:
      median: the ratio of the medians of all samples.
      low: the least ratio of the medians of a round.
      high: the greatest one.
    """

    median: float
    low: float
    high: float


def create_turn(
    call: Callable[[], Any], block: Callable[[Any], Any], *, clock: Callable[[], float] = time.perf_counter
) -> Turn:
    """Create what times a function each time that it is its turn.

    A turn begins with an untimed sample, which fetches caches and wakes threads, and tells how many calls
    fill `SAMPLE_SECONDS`.

    Args:
      call: what is timed; may return before its work is done.
      block: gets what the last call returned and waits until it is done.
      clock: seconds from any beginning.

    Returns:
      The function of a turn.
    """

    def take_turn(min_repeats: int, min_seconds: float) -> list[float]:
        begin = clock()
        block(call())
        seconds = max(clock() - begin, SAMPLE_SECONDS / _MAX_CALLS_PER_SAMPLE)
        num_calls = math.ceil(SAMPLE_SECONDS / seconds)
        samples = []
        turn_begin = clock()
        while len(samples) < min_repeats or clock() - turn_begin < min_seconds:
            begin = clock()
            for _ in range(num_calls):
                result = call()
            block(result)
            samples.append((clock() - begin) / num_calls)
        return samples

    return take_turn


def run_rounds(
    turns: Mapping[str, Turn], settings: Settings, *, is_over: Callable[[], bool] = lambda: False
) -> dict[str, list[list[float]]]:
    """Time contestants in turn, every other round in the opposite order.

    Args:
      turns: name -> turn.
      settings: how long; divided over the rounds.
      is_over: asked after each round: whether the others are left out.

    Returns:
      name -> round -> seconds per call.
    """
    samples = {name: [] for name in turns}
    min_repeats = math.ceil(settings.min_repeats / settings.rounds)
    min_seconds = settings.min_seconds / settings.rounds
    for index in range(settings.rounds):
        for name in list(turns) if index % 2 == 0 else reversed(list(turns)):
            samples[name].append(turns[name](min_repeats, min_seconds))
        if is_over():
            break
    return samples


def summarize(samples: Sequence[float]) -> Summary:
    """Compute the statistics of samples.

    Args:
      samples: at least one.

    Returns:
      Median, quartiles (interpolated linearly, as NumPy's default) and minimum.
    """
    q1, median, q3 = (
        statistics.quantiles(samples, n=4, method="inclusive") if len(samples) > 1 else [*samples] * 3
    )
    return Summary(median, q1, q3, min(samples), len(samples))


def summarize_rounds(rounds: Sequence[Sequence[float]]) -> Summary:
    """Compute the statistics over the samples of all rounds; see `summarize`."""
    return summarize([sample for samples in rounds for sample in samples])


def compute_ratio(theirs: Sequence[Sequence[float]], ours: Sequence[Sequence[float]]) -> Ratio:
    """Compute how many times as long they take as we do.

    Args:
      theirs: round -> seconds per call.
      ours: likewise, of as many rounds.

    Returns:
      The ratio and its spread over the rounds.
    """
    by_round = [
        statistics.median(their) / statistics.median(our) for their, our in zip(theirs, ours, strict=True)
    ]
    median = summarize_rounds(theirs).median / summarize_rounds(ours).median
    return Ratio(median, min(by_round), max(by_round))


def to_milliseconds(summary: Summary, prefix: str = "ms") -> dict[str, float]:
    """Name the statistics of seconds as a row's fields.

    Args:
      summary: in seconds.
      prefix: of the names.

    Returns:
      "ms_median", "ms_q1", "ms_q3", "ms_minimum", in milliseconds, and "ms_count".
    """
    fields = dataclasses.asdict(summary)
    count = fields.pop("count")
    return {f"{prefix}_{name}": 1e3 * value for name, value in fields.items()} | {f"{prefix}_count": count}
