"""Owns how a duration is measured: warm-up, blocking, repeats, interleaved rounds, and their statistics.

Does not know what it times. Imports neither JAX nor PyTorch, since the processes of both use it.
"""

import dataclasses
import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

# (minimum number of samples, minimum seconds) -> seconds per call of each sample.
Turn = Callable[[int, float], list[float]]
# A shorter program is called several times per sample, back to back as in a training loop; otherwise the clock and
# the wait at the end of each sample would count.
SAMPLE_SECONDS = 0.02
_MAX_CALLS_PER_SAMPLE = 1000


@dataclasses.dataclass(frozen=True)
class Settings:
    """How long to time each contestant.

    Attributes:
      min_repeats: minimum number of samples, over all rounds.
      min_seconds: minimum time, over all rounds.
      rounds: turns per contestant. They alternate so that drift of the machine affects all contestants.
    """

    min_repeats: int = 10
    min_seconds: float = 2.0
    rounds: int = 3


@dataclasses.dataclass(frozen=True)
class Summary:
    """Statistics of samples, in their unit."""

    median: float
    q1: float
    q3: float
    minimum: float
    count: int


@dataclasses.dataclass(frozen=True)
class Ratio:
    """The time of one contestant divided by that of another.

    Attributes:
      median: ratio of the medians over all samples.
      low: lowest ratio of the medians of one round.
      high: highest ratio of the medians of one round.
    """

    median: float
    low: float
    high: float


def create_turn(
    call: Callable[[], Any], block: Callable[[Any], Any], *, clock: Callable[[], float] = time.perf_counter
) -> Turn:
    """Create the function that times `call` once per turn.

    Each turn starts with one untimed call, which fills caches and wakes threads. Its duration sets how many calls
    make a sample of `SAMPLE_SECONDS`.

    Args:
      call: the timed function; may return before its work is done.
      block: waits until the result of the last call is ready.
      clock: returns seconds; a parameter for tests.
    """

    def take_turn(min_repeats: int, min_seconds: float) -> list[float]:
        begin = clock()
        block(call())
        seconds = max(clock() - begin, SAMPLE_SECONDS / _MAX_CALLS_PER_SAMPLE)
        num_calls = math.ceil(SAMPLE_SECONDS / seconds)
        samples: list[float] = []
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
    """Time contestants in turn, every second round in reverse order.

    Args:
      turns: contestant's name -> turn.
      settings: durations, divided over the rounds.
      is_over: called after each round; True skips the remaining rounds.

    Returns:
      name -> round -> seconds per call of each sample.
    """
    samples: dict[str, list[list[float]]] = {name: [] for name in turns}
    min_repeats = math.ceil(settings.min_repeats / settings.rounds)
    min_seconds = settings.min_seconds / settings.rounds
    for index in range(settings.rounds):
        for name in list(turns) if index % 2 == 0 else reversed(list(turns)):
            samples[name].append(turns[name](min_repeats, min_seconds))
        if is_over():
            break
    return samples


def summarize(samples: Sequence[float]) -> Summary:
    """Compute the statistics of one or more samples; quartiles are interpolated linearly, as in NumPy."""
    q1, median, q3 = (
        statistics.quantiles(samples, n=4, method="inclusive") if len(samples) > 1 else [*samples] * 3
    )
    return Summary(median, q1, q3, min(samples), len(samples))


def summarize_rounds(rounds: Sequence[Sequence[float]]) -> Summary:
    """Compute the statistics over the samples of all rounds."""
    return summarize([sample for samples in rounds for sample in samples])


def compute_ratio(theirs: Sequence[Sequence[float]], ours: Sequence[Sequence[float]]) -> Ratio:
    """Compute theirs / ours from the samples of as many rounds each."""
    by_round = [
        statistics.median(their) / statistics.median(our) for their, our in zip(theirs, ours, strict=True)
    ]
    median = summarize_rounds(theirs).median / summarize_rounds(ours).median
    return Ratio(median, min(by_round), max(by_round))


def to_milliseconds(summary: Summary, prefix: str = "ms") -> dict[str, float]:
    """Convert statistics in seconds to "ms_median", "ms_q1", "ms_q3", "ms_minimum" in milliseconds, and "ms_count"."""
    fields = dataclasses.asdict(summary)
    count = fields.pop("count")
    return {f"{prefix}_{name}": 1e3 * value for name, value in fields.items()} | {f"{prefix}_count": count}
