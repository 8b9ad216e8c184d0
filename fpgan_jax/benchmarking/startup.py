"""Owns the timing of start-up: imports, `--help`, and the time to the first training step, each in a new process."""

import os
import pathlib
import pkgutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
from ml_collections import ConfigDict

import fpgan_jax
from fpgan_jax.benchmarking.worker_process import find_message
from fpgan_jax.data import pair_writing, pairs
from fpgan_jax.data.prints import PrintSet
from fpgan_jax.errors import UserError
from fpgan_jax.host.progress import create_progress

_ROOT = pathlib.Path(fpgan_jax.__file__).parents[1]
_TEST_SIZE = 128  # pixels, of configs/test_size.py
_SMALLEST_SIZE = 16


def measure_start_up(*, smallest: bool = False) -> Iterator[dict[str, Any]]:
    """Time imports, `--help` of every script, and the start of a training.

    Each import and `--help` is the median of three runs; with `smallest` a few of them are run once. Training starts
    with an empty and with a filled cache of compiled programs.

    Yields:
      Rows with "what", and "seconds" and "count" of runs, or "error". The time of an empty Python process is
      subtracted from the imports.

    Raises:
      UserError: this is not a checkout, with the scripts and configs beside the package.
    """
    if not (_ROOT / "launch" / "train_gan.py").exists():
        raise UserError(f"--cases=start_up: no launch/train_gan.py in {_ROOT}; run it from a checkout")
    num_runs = 1 if smallest else 3
    # Only these two modules need an optional dependency.
    need_torch = ("fpgan_jax.benchmarking.peers", "fpgan_jax.benchmarking.peer_programs")
    modules = [module.name for module in pkgutil.walk_packages(fpgan_jax.__path__, "fpgan_jax.")]
    scripts = sorted(path.stem for path in (_ROOT / "launch").glob("*.py"))
    if smallest:
        modules, scripts = ["fpgan_jax.config.fields", "fpgan_jax.training.gan_trainer"], ["train_gan"]
    empty = _time_runs(["-c", ""], num_runs)
    measures: dict[str, Callable[[], float]] = {"python, empty": lambda: empty}
    for script in scripts:
        if script not in ("__init__", "cli"):
            # absl exits with 1 after --help.
            arguments = ["-m", f"launch.{script}", "--help"]
            measures[f"launch.{script} --help"] = partial(_time_runs, arguments, num_runs, expected=(0, 1))
    for module in modules:
        if module not in need_torch:
            measures[f"import {module}"] = partial(_time_import, module, num_runs, empty)
    with create_progress(len(measures) + 2, "start-up", "starts") as progress:
        for what, measure in measures.items():
            yield _create_row(what, measure, num_runs)
            progress.update()
        for row in _measure_first_steps(_SMALLEST_SIZE if smallest else _TEST_SIZE):
            yield row
            progress.update()


def _create_row(what: str, measure: Callable[[], float], count: int) -> dict[str, Any]:
    row = {"kind": "start_up", "name": "start_up", "what": what}
    try:
        return row | {"seconds": measure(), "count": count}
    except RuntimeError as error:
        # A module may need a package that is not installed; the others are still worth timing.
        return row | {"error": str(error)}


def _time_import(module: str, num_runs: int, empty_seconds: float) -> float:
    return _time_runs(["-c", f"import {module}"], num_runs) - empty_seconds


def _time_runs(arguments: Sequence[str], num_runs: int, expected: Sequence[int] = (0,)) -> float:
    durations = []
    for _ in range(num_runs):
        begin = time.perf_counter()
        result = subprocess.run([sys.executable, *arguments], check=False, capture_output=True, cwd=_ROOT)
        durations.append(time.perf_counter() - begin)
        if result.returncode not in expected:
            raise RuntimeError(find_message(result.stderr.decode()))
    return statistics.median(durations)


def _measure_first_steps(size: int) -> Iterator[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        _write_pairs(folder / "pairs", size)
        for temperature in ("cold", "warm"):
            what = f"launch.train_gan at {size}x{size} to its first step, {temperature}"
            workdir = folder / temperature
            row = _create_row(what, partial(_time_first_step, folder, workdir, size), 1)
            yield row | {"compilation_cache": temperature}


def _write_pairs(folder: pathlib.Path, size: int) -> None:
    shape = (2, size, size, 1)
    images = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    prints = PrintSet(images, np.array([1, 2], np.int32), ("1", "2"))
    # Only these fields are needed, and `configs` is not part of the package.
    data = {"num_replicas": 2, "noise_per": "replica", "noise_seed": 0, "noise_distribution": "uniform"}
    pair_writing.write_pairs(pairs.ReplicatedPrints(prints, ConfigDict(data)), folder)


def _time_first_step(folder: pathlib.Path, workdir: pathlib.Path, size: int) -> float:
    """Return the seconds from the launch to the first row of metrics, written after the first step."""
    environment = os.environ | {
        "JAX_COMPILATION_CACHE_DIR": str(folder / "cache"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    command = [
        *(sys.executable, "-m", "launch.train_gan", "--config=configs/test_size.py", f"--workdir={workdir}"),
        *("--config.data.source=paired_folder", f"--config.data.paired_dir={folder / 'pairs' / 'train'}"),
        *("--config.log_every_steps=1", "--config.num_epochs=1", "--config.sample_epochs=()"),
        "--config.generator.num_levels=0",  # as deep as those that are trained for use
    ]
    if size != _TEST_SIZE:
        command += [f"--config.data.image_size={size}", "--config.generator.dropout_outputs=()"]
    metrics = workdir / "metrics.csv"
    begin = time.perf_counter()
    with open(folder / "log", "w") as log:
        process = subprocess.Popen(command, cwd=_ROOT, env=environment, stdout=log, stderr=log)
        while process.poll() is None and _count_lines(metrics) < 2:
            time.sleep(0.01)
        seconds = time.perf_counter() - begin
        process.wait()
    if process.returncode or _count_lines(metrics) < 2:
        raise RuntimeError(find_message((folder / "log").read_text()))
    return seconds


def _count_lines(path: pathlib.Path) -> int:
    return path.read_text().count("\n") if path.exists() else 0
