"""Owns matching many prints: every distinct print is read once, and every distinct pair compared once.

The work is divided among processes, since NIST's code is not thread-safe. Does not know the tools (`nist_tools.py`) or
what scores mean (`identity.py`).
"""

import collections
import hashlib
import multiprocessing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

import numpy as np

from fpgan_jax.evaluation.matcher.nist_tools import MatchingTool, Minutiae, Template, ToolError
from fpgan_jax.host.cores import count_cores
from fpgan_jax.host.progress import create_progress

Job = TypeVar("Job")
Result = TypeVar("Result")

# Templates by tool and print, in each process.
_templates: dict[tuple[str, str], Template] = {}
_PAIRS_PER_JOB = 128  # about half a second
_PRINTS_A_JOB = 8


class Workers:
    """Processes for tools, so that a crash does not end this one; each remembers the prints that it has read."""

    def __init__(self, num_workers: int | None = None):
        """Plan the processes, which start with the first job: one per core by default, 0 to work in this process."""
        self._num_workers = count_cores() if num_workers is None else num_workers
        self._pool: ProcessPoolExecutor | None = None

    def run(self, function: Callable[[Job], Result], jobs: Iterable[Job]) -> Iterator[Result]:
        """Yield the results of a module's top-level function on each job, in order.

        Raises:
          ToolError: a process ended.
        """
        jobs = list(jobs)
        if not self._num_workers or not jobs:
            yield from map(function, jobs)
            return
        if self._pool is None:
            # Fork is unsafe beside the threads that JAX may have started in this process.
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(self._num_workers, mp_context=context)
        try:
            yield from self._pool.map(function, jobs)
        except BrokenProcessPool as error:
            self._pool = None
            raise ToolError("the tool's process ended abnormally, on a print that crashes it") from error


class Matcher:
    """A tool and its results so far, with `num_workers` as in `Workers`."""

    def __init__(self, tool: MatchingTool, *, num_workers: int | None = None, max_others: int | None = None):
        self.name = tool.name  # as in `MatchRow.matcher`
        # Real prints of other fingers that a print is compared with, for a slow tool; None is all.
        self.max_others = max_others
        self._tool = tool
        self._workers = Workers(num_workers)
        self._scores: dict[tuple[str, str], float] = {}
        self._minutiae: dict[str, Minutiae] = {}

    def extract(self, images: np.ndarray, label: str = "minutiae") -> list[Minutiae]:
        """Find the minutiae of prints, uint8 [n, height, width] at 500 ppi.

        Raises:
          ToolError: the tool ended its process.
        """
        names, distinct = _name_prints(images)
        missing = [name for name in distinct if name not in self._minutiae]
        jobs = [
            (self._tool, {name: distinct[name] for name in missing[start : start + _PRINTS_A_JOB]})
            for start in range(0, len(missing), _PRINTS_A_JOB)
        ]
        with create_progress(len(missing), label, "prints") as progress:
            for found in self._workers.run(_extract_prints, jobs):
                self._minutiae |= found
                progress.update(len(found))
        return [self._minutiae[name] for name in names]

    def compare(
        self, probes: np.ndarray, gallery: np.ndarray, pairs: np.ndarray, label: str = "matching"
    ) -> np.ndarray:
        """Score pairs of prints.

        Args:
          probes: uint8 [n, height, width], at 500 ppi.
          gallery: uint8 [m, height, width], at 500 ppi.
          pairs: int [p, 2], indices of probes and of the gallery; their order does not matter.
          label: of the progress line.

        Returns:
          float64 [p]; higher is more similar.

        Raises:
          ToolError: the tool ended its process.
        """
        probe_names, images = _name_prints(probes)
        gallery_names, others = _name_prints(gallery)
        images |= others
        keys = [tuple(sorted((probe_names[i], gallery_names[j]))) for i, j in np.reshape(pairs, (-1, 2))]
        missing = list(dict.fromkeys(key for key in keys if key not in self._scores))
        with create_progress(len(missing), label, "pairs") as progress:
            for scores in self._workers.run(_score_pairs, self._divide(missing, images)):
                self._scores |= scores
                progress.update(len(scores))
        return np.array([self._scores[key] for key in keys], np.float64)

    def _divide(self, pairs: Sequence[tuple[str, str]], images: Mapping[str, np.ndarray]) -> Iterator[tuple]:
        """Yield jobs, each with the prints of its pairs."""
        # Pairs of one print come together, so that few processes read it.
        counts = collections.Counter(name for pair in pairs for name in pair)
        pairs = sorted(pairs, key=lambda pair: min(pair, key=lambda name: (counts[name], name)))
        for start in range(0, len(pairs), _PAIRS_PER_JOB):
            chosen = pairs[start : start + _PAIRS_PER_JOB]
            yield self._tool, {name: images[name] for pair in chosen for name in pair}, chosen


def find_distinct(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find the distinct prints of uint8 [n, height, width].

    Returns:
      (int64 [m], the index of each one's first copy; int64 [n], each print's number among the distinct ones).
    """
    names, _ = _name_prints(images)
    numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
    inverse = np.array([numbers[name] for name in names], np.int64)
    return np.unique(inverse, return_index=True)[1], inverse


def _name_prints(images: np.ndarray) -> tuple[list[str], dict[str, np.ndarray]]:
    """Return each print's digest, and the prints by digest."""
    names = [hashlib.sha256(repr(image.shape).encode() + image.tobytes()).hexdigest() for image in images]
    return names, dict(zip(names, images, strict=True))


def _extract_prints(job: tuple[MatchingTool, Mapping[str, np.ndarray]]) -> dict[str, Minutiae]:
    tool, images = job
    return {name: _find_template(tool, name, image).minutiae for name, image in images.items()}


def _score_pairs(
    job: tuple[MatchingTool, Mapping[str, np.ndarray], Sequence[tuple[str, str]]],
) -> dict[tuple[str, str], float]:
    tool, images, pairs = job
    return {
        (first, second): tool.compare(
            _find_template(tool, first, images[first]), _find_template(tool, second, images[second])
        )
        for first, second in pairs
    }


def _find_template(tool: MatchingTool, name: str, image: np.ndarray) -> Template:
    key = (type(tool).__name__, name)
    if key not in _templates:
        _templates[key] = tool.extract(image)
    return _templates[key]
