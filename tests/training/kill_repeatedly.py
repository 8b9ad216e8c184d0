"""Owns the killing of a training at random moments: the run that is started again each time ends as one left alone.

python -m tests.training.kill_repeatedly --num_kills=50 --seed=0

Prints when each process was killed and at which step, and what differs at the end; exits with 1 if anything does. Does
not decide what a training is: the tiny one, with a checkpoint every third step, so that many kills fall into saves.
"""

import argparse
import os
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import time

import jax
import numpy as np

from fpgan_jax.training import gan_trainer
from fpgan_jax.training.checkpointing import restore_for_evaluation
from tests.training import tiny

_TREES = ("generator", "discriminator", "training", "pending_metrics")


def train(workdir: str, num_epochs: int) -> None:
    """Train the tiny GAN, three steps an epoch."""
    config = tiny.create_config()
    config.num_epochs = num_epochs
    config.sample_epochs = (1, num_epochs // 2, num_epochs)
    gan_trainer.train_and_evaluate(config, workdir, tiny.create_source(config))


def start(workdir: pathlib.Path, num_epochs: int) -> subprocess.Popen:
    """Start the training in a process of its own."""
    command = [sys.executable, "-m", "tests.training.kill_repeatedly", f"--train={workdir}"]
    return subprocess.Popen([*command, f"--num_epochs={num_epochs}"], stderr=subprocess.PIPE, text=True)


def kill_and_restart(workdir: pathlib.Path, *, num_kills: int, num_epochs: int, seed: int) -> int:
    """Kill the training after random times, then let it end.

    Args:
      workdir: the run's folder.
      num_kills: how often.
      num_epochs: of the training.
      seed: of the moments.

    Returns:
      How many processes were killed before they had ended by themselves.
    """
    moments, killed = random.Random(seed), 0
    began = time.monotonic()
    for index in range(num_kills):
        # Half of the kills fall into the steps and saves, which begin when the first checkpoint or row is there.
        process, wait = start(workdir, num_epochs), moments.uniform(0, 3)
        if moments.random() < 0.7:
            _wait_for_progress(workdir, process)
        try:
            _, errors = process.communicate(timeout=wait)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.communicate()
            killed += 1
            print(f"kill {index + 1}: {_describe(workdir)}, {time.monotonic() - began:.0f} s", flush=True)
            continue
        if process.returncode:
            raise SystemExit(f"restart {index + 1} failed:\n{errors}")
        print(f"ended by itself before kill {index + 1}", flush=True)
        break
    process = start(workdir, num_epochs)
    _, errors = process.communicate()
    if process.returncode:
        raise SystemExit(f"the last restart failed:\n{errors}")
    return killed


def _wait_for_progress(workdir: pathlib.Path, process: subprocess.Popen) -> None:
    before = _describe(workdir)
    while process.poll() is None and _describe(workdir) == before:
        time.sleep(0.01)


def _describe(workdir: pathlib.Path) -> str:
    folder = workdir / "checkpoints"
    names = sorted(os.listdir(folder)) if folder.exists() else []
    steps = [int(name) for name in names if name.isdigit()]
    unfinished = len(names) - len(steps)
    return f"checkpoint {max(steps, default=None)}" + (", one being written" if unfinished else "")


def find_differences(expected: pathlib.Path, found: pathlib.Path) -> list[str]:
    """List what two runs' folders differ in: weights, optimiser, metrics, samples, kept checkpoints.

    Args:
      expected: of the run that was left alone.
      found: of the other.

    Returns:
      A line for each difference.
    """
    differences = []
    runs = [restore_for_evaluation(str(folder), _TREES) for folder in (expected, found)]
    if runs[0][0] != runs[1][0]:
        return [f"last steps {runs[0][0]} and {runs[1][0]}"]
    for (path, leaf), other in zip(
        jax.tree_util.tree_leaves_with_path(runs[0][1]), jax.tree.leaves(runs[1][1]), strict=True
    ):
        if not np.array_equal(leaf, other):
            differences.append(jax.tree_util.keystr(path))
    names = ["metrics.csv", *(f"samples/{path.name}" for path in sorted((expected / "samples").iterdir()))]
    for name in names:
        if (expected / name).read_bytes() != (found / name).read_bytes():
            differences.append(name)
    for name in ("checkpoints", "samples", "."):
        lists = [sorted(path.name for path in (folder / name).iterdir()) for folder in (expected, found)]
        if lists[0] != lists[1]:
            differences.append(f"{name}: {lists[0]} and {lists[1]}")
    return differences


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--num_kills", type=int, default=50)
    parser.add_argument("--num_epochs", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--train", help="the folder of a training to run: what the command starts and kills")
    flags = parser.parse_args()
    if flags.train:
        train(flags.train, flags.num_epochs)
        return
    with tempfile.TemporaryDirectory() as folder:
        whole, killed = pathlib.Path(folder, "whole"), pathlib.Path(folder, "killed")
        os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(pathlib.Path(folder, "cache")))
        os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
        start(whole, flags.num_epochs).communicate()
        count = kill_and_restart(
            killed, num_kills=flags.num_kills, num_epochs=flags.num_epochs, seed=flags.seed
        )
        differences = find_differences(whole, killed)
    print("\n".join(differences) or f"killed {count} times; nothing differs")
    sys.exit(bool(differences))


if __name__ == "__main__":
    main()
