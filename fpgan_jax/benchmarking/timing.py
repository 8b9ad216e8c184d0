"""Owns how a duration is measured: warm-up, blocking, repeats, interleaved rounds, and their statistics.

Imports neither JAX nor PyTorch, since the processes of both use it.
"""

import dataclasses
import itertools
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
    """How long to time each contestant, over all rounds.

    Attributes:
      min_repeats: minimum number of samples.
      min_seconds: minimum time.
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


def create_turn(
    call: Callable[[], Any], block: Callable[[Any], Any], *, clock: Callable[[], float] = time.perf_counter
) -> Turn:
    """Create the function that times `call` once per turn.

    Each turn starts with one untimed call, which fills caches and wakes threads. Its duration sets how many calls
    make a sample of `SAMPLE_SECONDS`.

    Args:
      call: the timed function; may return before its work is done.
      block: waits until the result of the last call is ready.
      clock: returns seconds.
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
    """Time contestants in turn, every second round in reverse order; stop after a round if `is_over` returns True.

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


def summarize(rounds: Sequence[Sequence[float]]) -> Summary:
    """Compute the statistics over the samples of all rounds; quartiles are interpolated linearly, as in NumPy."""
    samples = list(itertools.chain.from_iterable(rounds))
    quartiles = statistics.quantiles(samples, n=4, method="inclusive") if len(samples) > 1 else samples * 3
    q1, median, q3 = quartiles
    return Summary(median, q1, q3, min(samples), len(samples))


def compute_ratio(theirs: Sequence[Sequence[float]], ours: Sequence[Sequence[float]]) -> dict[str, float]:
    """Compute theirs / ours from the samples of as many rounds each.

    Returns:
      "median": ratio of the medians over all samples; "low" and "high": lowest and highest ratio of the medians of
      one round.
    """
    by_round = [
        statistics.median(their) / statistics.median(our) for their, our in zip(theirs, ours, strict=True)
    ]
    median = summarize(theirs).median / summarize(ours).median
    return {"median": median, "low": min(by_round), "high": max(by_round)}


def to_milliseconds(summary: Summary, prefix: str = "ms") -> dict[str, float]:
    """Convert statistics in seconds to "ms_median", "ms_q1", "ms_q3", "ms_minimum" in milliseconds, and "ms_count"."""
    fields = dataclasses.asdict(summary)
    count = fields.pop("count")
    return {f"{prefix}_{name}": 1e3 * value for name, value in fields.items()} | {f"{prefix}_count": count}
