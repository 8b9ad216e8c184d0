"""Owns the long run: a training after which memory, compiled programs and open files must be what they were.

python -m tests.training.run_long --steps=20000 --csv=long.csv
python -m tests.training.run_long --experiment=classifier

Prints the curves' figures, writes a row for every hundred steps if asked to, and exits with 1 if anything has grown.
Does not decide what a training is: the tiny ones of `tiny.py`, from a file of prints fed by the host, with samples
and checkpoints many times as often as usual. For Linux, whose /proc it reads.
"""

import argparse
import csv
import dataclasses
import os
import pathlib
import sys
import tempfile
import time

import jax
import numpy as np

from fpgan_jax.data import feeding, print_archive
from fpgan_jax.data.prints import SPLITS, PrintSet
from fpgan_jax.host.whole_file import write_whole
from fpgan_jax.models import factory
from fpgan_jax.training import classifier_trainer, gan_trainer, loop
from tests.training import tiny

EVERY_STEPS = 100
# Of fewer rows the warm-up is no small part: what is compiled and cached at the start would be taken for growth.
MIN_STEPS = 24 * EVERY_STEPS
# Before this part of the run is over, caches fill and programs are compiled.
WARM_UP = 0.2
# What the resident memory may grow by: allocators keep some of what is given back.
MAX_RESIDENT_GROWTH = 0.02

_COMPILE_EVENT = "/jax/core/compile/backend_compile_duration"


@dataclasses.dataclass(frozen=True)
class Row:
    """What a process holds after some steps.

    Attributes:
      step: completed steps.
      seconds: since the start.
      resident_mb: the process's resident memory, 10**6 bytes.
      live_arrays: JAX's arrays that something still refers to.
      live_array_mb: their size, 10**6 bytes: on a CPU this is the device's memory in use.
      compilations: programs compiled, or loaded from a cache of compiled ones, since the start.
      open_files: file descriptors.
      threads: of the process; not judged, since pools fill up to their sizes only slowly.
    """

    step: int
    seconds: float
    resident_mb: float
    live_arrays: int
    live_array_mb: float
    compilations: int
    open_files: int
    threads: int


class Recorder:
    """Takes a row whenever it is called."""

    def __init__(self):
        self.rows: list[Row] = []
        self._start = time.monotonic()
        self._num_compilations = 0
        jax.monitoring.register_event_duration_secs_listener(self._count)

    def _count(self, event: str, duration: float, **kwargs) -> None:
        del duration, kwargs
        self._num_compilations += event == _COMPILE_EVENT

    def record(self, step: int) -> None:
        """Take a row after `step` completed steps."""
        arrays = jax.live_arrays()
        self.rows.append(
            Row(
                step,
                round(time.monotonic() - self._start, 1),
                _read_resident_bytes() / 1e6,
                len(arrays),
                sum(array.nbytes for array in arrays) / 1e6,
                self._num_compilations,
                len(os.listdir("/proc/self/fd")),
                len(os.listdir("/proc/self/task")),
            )
        )

    def close(self) -> None:
        """Stop counting compilations."""
        jax.monitoring.unregister_event_duration_listener(self._count)


def _read_resident_bytes() -> int:
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def run(experiment: str, num_steps: int, every_steps: int, folder: str) -> list[Row]:
    """Train and record.

    Args:
      experiment: "gan" or "classifier".
      num_steps: a multiple of 4.
      every_steps: the interval of the rows, of which two have a checkpoint and four a sample.
      folder: for the prints and the run.

    Returns:
      The rows.
    """
    config = _create_config(num_steps, every_steps, folder)
    trainer = {"gan": gan_trainer, "classifier": classifier_trainer}[experiment]
    create_source = {"gan": feeding.create_gan_source, "classifier": feeding.create_classifier_source}[
        experiment
    ]
    recorder = Recorder()

    def run_recorded(training, state, base_keys, **options):
        see_metrics = training.watch.see_metrics

        def see_and_record(step, averages, reporter):
            see_metrics(step, averages, reporter)
            recorder.record(step)

        training.watch.see_metrics = see_and_record
        return loop.run_training(training, state, base_keys, **options)

    run_training, create_classifier = trainer.run_training, factory.create_classifier
    trainer.run_training = run_recorded
    factory.create_classifier = lambda config, num_classes: tiny.TinyClassifier()
    try:
        trainer.train_and_evaluate(config, os.path.join(folder, experiment), create_source(config))
    finally:
        trainer.run_training, factory.create_classifier = run_training, create_classifier
        recorder.close()
    return recorder.rows


def _create_config(num_steps: int, every_steps: int, folder: str):
    config = tiny.create_config()
    config.generator.dropout_rate = 0.5
    config.ema_decay = 0.5
    config.data.source, config.data.npz_file = "npz", os.path.join(folder, "prints.npz")
    config.global_batch_size = config.classifier.global_batch_size = 3
    config.num_epochs = num_steps // 4  # of 12 pairs
    config.sample_epochs = tuple(range(every_steps, config.num_epochs, every_steps))
    config.log_every_steps = config.classifier.log_every_steps = every_steps
    config.checkpoint_every_steps = config.classifier.checkpoint_every_steps = 2 * every_steps
    config.classifier.num_steps = num_steps
    nobody = PrintSet(np.zeros((0, 16, 16, 1), np.uint8), np.zeros(0, np.int32), ())
    sets = {split: tiny.create_prints() if split == "real" else nobody for split in SPLITS}
    print_archive.write_archive(config.data.npz_file, sets, config.data)
    return config


def find_growth(rows: list[Row]) -> list[str]:
    """List what has grown after the warm-up.

    The first and the last third of the rest are compared: by their means the resident memory, by their smallest values
    what is counted, of which a checkpoint under way holds some. Nothing may be compiled any more.

    Args:
      rows: of one run, in order, evenly spaced.

    Returns:
      A line for each; none if all is flat.
    """
    rest = rows[int(WARM_UP * len(rows)) :]
    first, last = rest[: len(rest) // 3], rest[-(len(rest) // 3) :]
    growth = []
    if rest[-1].compilations > rest[0].compilations:
        growth.append(f"compilations: {rest[0].compilations}, then {rest[-1].compilations}")
    for name in ("live_arrays", "live_array_mb", "open_files"):
        before, after = (min(getattr(row, name) for row in part) for part in (first, last))
        if after > before:
            growth.append(f"{name}: at least {before:g}, then {after:g}")
    before, after = (np.mean([row.resident_mb for row in part]) for part in (first, last))
    if after > before * (1 + MAX_RESIDENT_GROWTH):
        growth.append(f"resident_mb: {before:.1f} in the mean, then {after:.1f}")
    return growth


def describe(rows: list[Row]) -> str:
    """Write a table of eleven rows, evenly spaced."""
    names = [field.name for field in dataclasses.fields(Row)]
    chosen = [rows[round(place * (len(rows) - 1) / 10)] for place in range(11)]
    lines = [names] + [[f"{getattr(row, name):.10g}"[:9] for name in names] for row in chosen]
    return "\n".join(" ".join(text.rjust(14) for text in line) for line in lines)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=20000)
    parser.add_argument("--experiment", choices=("gan", "classifier"), default="gan")
    parser.add_argument("--csv", type=pathlib.Path, help="where the rows go")
    flags = parser.parse_args()
    if flags.steps < MIN_STEPS:
        parser.error(f"--steps={flags.steps}: too few to tell growth from the warm-up; at least {MIN_STEPS}")
    with tempfile.TemporaryDirectory() as folder:
        rows = run(flags.experiment, flags.steps // EVERY_STEPS * EVERY_STEPS, EVERY_STEPS, folder)
    if flags.csv:
        with write_whole(flags.csv) as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(field.name for field in dataclasses.fields(Row))
            writer.writerows(dataclasses.astuple(row) for row in rows)
    print(describe(rows))
    growth = find_growth(rows)
    print("\n".join(growth) or "nothing grows")
    sys.exit(bool(growth))


if __name__ == "__main__":
    main()
