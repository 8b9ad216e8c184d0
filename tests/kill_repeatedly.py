"""Owns the killing of launch scripts at random moments: what is started again each time ends as what was left alone.

python -m tests.kill_repeatedly --what=gan --num_kills=50 --seed=0

Prints when each process was killed and what it left, and what differs at the end; exits with 1 if anything does. A
script that ends before the kills are used up is compared, and killed again from its beginning.
"""

import argparse
import collections
import dataclasses
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence

import jax
import numpy as np

from configs import test_size
from fpgan_jax.config.files import override_fields
from fpgan_jax.data import print_archive
from fpgan_jax.data.prints import SPLITS, PrintSet
from fpgan_jax.training.checkpoints.restore import restore_for_evaluation

ROOT = pathlib.Path(__file__).resolve().parents[1]

# What a script writes, relative to the folder that it is started in.
OUT = "run"
# What it says while it runs, beside that.
_ERRORS = "errors.txt"

# Saves every third step, so that many kills fall into them; all that is random is on.
_GAN = (
    "data.image_size=16",
    "data.num_persons=3",
    "data.num_replicas=4",
    "data.jitter=2",
    "data.feeding=device",
    "generator.dropout_outputs=(4,)",
    "ema_decay=0.5",
    "global_batch_size=4",
    "num_epochs=100",
    "sample_epochs=(1,50,100)",
    "keep_epochs=(40,)",
    "checkpoint_every_steps=3",
)
_CLASSIFIER = (
    "data.image_size=72",
    "data.feeding=device",
    "data.num_persons=3",
    "classifier.num_steps=90",
    "classifier.checkpoint_every_steps=3",
)
# A generator of no matter what, with many pairs to draw.
_DRAWN = (*_GAN, "data.num_replicas=500", "num_epochs=1", "global_batch_size=100", "checkpoint_every_steps=0")
_CHAIN = (
    "data.num_replicas=8",
    "num_epochs=10",
    "sample_epochs=(1,10)",
    "classifier.num_steps=40",
    "synthesis.batch_size=1",
)


@dataclasses.dataclass(frozen=True)
class Subject:
    """A launch script that is killed.

    Attributes:
      prepare: inputs -> None; makes what the script reads in the folder `inputs`.
      create_command: inputs -> the script with its flags, started in a folder of its own, where it writes into `OUT`.
      is_watched: whether files appear while it works, so that most kills can be placed after the first of them.
    """

    prepare: Callable[[pathlib.Path], None]
    create_command: Callable[[pathlib.Path], Sequence[str]]
    is_watched: bool = True


def _create_flags(inputs: pathlib.Path, overrides: Sequence[str]) -> list[str]:
    place = (f"data.npz_file={inputs / 'prints.npz'}", "data.source=npz")
    return [
        f"--config={ROOT / 'configs' / 'test_size.py'}",
        *(f"--config.{override}" for override in (*overrides, *place)),
    ]


def _write_prints(inputs: pathlib.Path, overrides: Sequence[str]) -> None:
    """Write the prints of three persons, which are noise, as one file."""
    config = override_fields(test_size.get_config(), overrides)
    shape = (3, config.data.image_size, config.data.image_size, config.data.num_channels)
    images = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    prints = PrintSet(images, np.array([1, 2, 3], np.int32), ("1", "2", "3"))
    print_archive.write_archive(inputs / "prints.npz", dict.fromkeys(SPLITS, prints), config.data)


def _prepare_synthesis(inputs: pathlib.Path) -> None:
    _write_prints(inputs, _DRAWN)
    run(["launch.train_gan", *_create_flags(inputs, _DRAWN), "--workdir=gan"], inputs)


def _prepare_scores(inputs: pathlib.Path) -> None:
    _write_prints(inputs, _CHAIN)
    run(["launch.reproduce", *_create_flags(inputs, _CHAIN), "--workdir=chain"], inputs)


def _prepare_chain(inputs: pathlib.Path) -> None:
    run(["launch.make_prints", "--out_dir=prints", "--num_persons=3"], inputs)


def _create_score_command(inputs: pathlib.Path) -> list[str]:
    chain = inputs / "chain"
    return [
        "launch.score_similarity",
        f"--classifier_workdir={chain / 'classifier'}",
        f"--synthetic_dirs={chain / 'synthetic_training'},{chain / 'synthetic_new'}",
        f"--scores={OUT}/scores.csv",
    ]


def _create_chain_command(inputs: pathlib.Path) -> list[str]:
    # From the images themselves, so that their preparation is killed too.
    place = (f"data.socofing_dir={inputs / 'prints'}", "data.tfds_dir=tfds")
    return [
        "launch.reproduce",
        f"--config={ROOT / 'configs' / 'test_size.py'}",
        *(f"--config.{override}" for override in (*_CHAIN, *place)),
        f"--workdir={OUT}",
    ]


SUBJECTS = {
    "gan": Subject(
        lambda inputs: _write_prints(inputs, _GAN),
        lambda inputs: ["launch.train_gan", *_create_flags(inputs, _GAN), f"--workdir={OUT}"],
    ),
    "classifier": Subject(
        lambda inputs: _write_prints(inputs, _CLASSIFIER),
        lambda inputs: ["launch.train_classifier", *_create_flags(inputs, _CLASSIFIER), f"--workdir={OUT}"],
    ),
    "synthesize": Subject(
        _prepare_synthesis,
        lambda inputs: ["launch.synthesize", f"--gan_workdir={inputs / 'gan'}", f"--out_dir={OUT}"],
    ),
    "score_similarity": Subject(_prepare_scores, _create_score_command, is_watched=False),
    "reproduce": Subject(_prepare_chain, _create_chain_command),
}


def start(command: Sequence[str], folder: pathlib.Path) -> subprocess.Popen:
    """Start a script in a process of its own, in a folder that is made if missing."""
    folder.mkdir(parents=True, exist_ok=True)
    environment = os.environ | {"JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT)}
    # A pipe that nobody reads would stop the script once it is full.
    with open(folder / _ERRORS, "w", encoding="utf-8") as errors:
        return subprocess.Popen(
            [sys.executable, "-m", *command],
            cwd=folder,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=errors,
        )


def run(command: Sequence[str], folder: pathlib.Path) -> float:
    """Run a script to its end; return the seconds it took."""
    began = time.monotonic()
    _check(folder, start(command, folder))
    return time.monotonic() - began


def _check(folder: pathlib.Path, process: subprocess.Popen) -> None:
    """Wait for a script's end, which must be a good one."""
    if process.wait():
        raise SystemExit(f"{folder}: failed\n{(folder / _ERRORS).read_text(encoding='utf-8')}")


def kill_and_restart(
    command: Sequence[str],
    folder: pathlib.Path,
    *,
    num_kills: int,
    moments: random.Random,
    after_start: float,
    after_results: int = 0,
    watched_share: float = 0.7,
) -> list[str]:
    """Kill a script after random times and start it again each time, until it ends.

    Args:
      command: the script with its flags.
      folder: it is started in.
      num_kills: how often at most; after these it is left alone.
      moments: what the times are drawn from.
      after_start: seconds; kills come at most so long after the start.
      after_results: if not 0, a share of the kills comes instead within a second after at most so many results came.
      watched_share: that share; 1 leaves nothing to how fast the machine is.

    Returns:
      What was left by each kill that met the script at work.
    """
    left = []
    while len(left) < num_kills:
        process, wait = start(command, folder), moments.uniform(0, after_start)
        if after_results and moments.random() < watched_share:
            wait = moments.uniform(0, 1)
            _watch_results(folder, process, moments.randint(1, after_results))
        try:
            process.wait(timeout=wait)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            left.append(_describe(folder))
            print(f"  kill {len(left)}: {left[-1]}, {len(_list_results(folder))} results", flush=True)
            continue
        _check(folder, process)
        return left
    run(command, folder)
    return left


def _list_names(folder: pathlib.Path) -> set[str]:
    names = set()
    # Files come and go meanwhile, which a walk does not mind.
    for parent, folders, files in os.walk(folder):
        names.update(os.path.join(parent, name) for name in (*folders, *files))
    return names


def _list_results(folder: pathlib.Path) -> set[str]:
    """List what appears only once a script is at work; configs and events are written while it prepares itself."""
    names = _list_names(folder / OUT)
    # A checkpoint counts once while it is written and once when it is whole.
    names = {name for name in names if name.partition("/checkpoints/")[2].count("/") == 0}
    return {name for name in names if not any(part in name for part in (".lock", "config.json", "/events"))}


def _watch_results(folder: pathlib.Path, process: subprocess.Popen, most: int | None = None) -> int:
    """Wait until so many results have appeared, or the process has ended; return how many have."""
    before, seen = _list_results(folder), set()
    while process.poll() is None and (most is None or len(seen) < most):
        seen |= _list_results(folder) - before
        time.sleep(0.02)
    return len(seen)


def _describe(folder: pathlib.Path) -> str:
    names, is_begun = _list_names(folder), bool(_list_results(folder))
    if any("orbax-checkpoint-tmp" in name for name in names):
        return "a checkpoint was being written"
    if any(name.endswith(".tmp") for name in names):
        return "a file was being written"
    if any("incomplete" in name for name in names):
        return "prints were being prepared"
    return "between two files" if is_begun else "no result yet"


def find_differences(expected: pathlib.Path, found: pathlib.Path) -> list[str]:
    """List what two folders of one script differ in: files, and of checkpoints the steps, arrays and metadata.

    TensorBoard's events are left out, which hold times and may tell of a step twice.

    Args:
      expected: of the script that was left alone.
      found: of the other.

    Returns:
      A line for each difference.
    """
    files = [_list_files(folder) for folder in (expected, found)]
    differences = [f"{name}: in one only" for name in sorted(files[0] ^ files[1])]
    differences += [
        name for name in sorted(files[0] & files[1]) if _read(expected / name) != _read(found / name)
    ]
    for checkpoints in sorted(expected.rglob("checkpoints")):
        workdir = checkpoints.parent.relative_to(expected)
        differences += _compare_checkpoints(expected / workdir, found / workdir)
    return differences


def _list_files(folder: pathlib.Path) -> set[str]:
    names = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return {str(name) for name in names if not {"checkpoints", "events"} & set(name.parts[:-1])}


def _read(path: pathlib.Path) -> object:
    if path.parent.name == "done":
        return json.loads(path.read_text())["settings"]  # beside the seconds it took
    return path.read_bytes()


def _compare_checkpoints(expected: pathlib.Path, found: pathlib.Path) -> list[str]:
    names = [sorted(os.listdir(folder / "checkpoints")) for folder in (expected, found)]
    if names[0] != names[1]:
        return [f"{found}: checkpoints {names[0]} and {names[1]}"]
    differences = []
    for step in map(int, names[0]):
        parts = [_restore(folder, step) for folder in (expected, found)]
        paths = sorted(parts[0].keys() | parts[1].keys())
        differences += [
            f"{found}: {path} of step {step}"
            for path in paths
            if not np.array_equal(parts[0].get(path), parts[1].get(path))
        ]
    return differences


def _restore(workdir: pathlib.Path, step: int) -> dict[str, object]:
    folder = workdir / "checkpoints" / str(step)
    names = sorted(path.name for path in folder.iterdir() if path.is_dir())
    trees = tuple(name for name in names if name not in ("metadata", "metrics"))
    _, arrays, metadata = restore_for_evaluation(str(workdir), trees, step)
    leaves = jax.tree_util.tree_leaves_with_path(arrays)
    return {jax.tree_util.keystr(path): leaf for path, leaf in leaves} | {"metadata": json.dumps(metadata)}


def kill(name: str, folder: pathlib.Path, *, num_kills: int, seed: int) -> list[str]:
    """Kill one of `SUBJECTS` so often, and compare it each time it ends.

    Args:
      name: which.
      folder: everything goes there.
      num_kills: how often in all.
      seed: of the moments.

    Returns:
      A line for each difference from the one left alone.
    """
    subject, moments = SUBJECTS[name], random.Random(seed)
    inputs, whole = folder / "inputs", folder / "whole"
    inputs.mkdir(parents=True)
    subject.prepare(inputs)
    command = subject.create_command(inputs)
    if subject.is_watched:
        process = start(command, whole)
        # So many that the kills are spread over the whole work.
        after_start, after_results = 10.0, max(1, 2 * _watch_results(whole, process) // num_kills)
        _check(whole, process)
    else:
        run(command, whole)
        # Now that its programs are compiled.
        after_start, after_results = run(command, folder / "again"), 0
    left, differences, began = [], [], time.monotonic()
    for round_number in range(1, num_kills + 1):
        killed = folder / f"killed_{round_number}"
        left += kill_and_restart(
            command,
            killed,
            num_kills=num_kills - len(left),
            moments=moments,
            after_start=after_start,
            after_results=after_results,
        )
        found = find_differences(whole / OUT, killed / OUT)
        seconds = time.monotonic() - began
        print(f"{name}: {len(left)} kills, {len(found)} differences, {seconds:.0f} s", flush=True)
        differences += found
        if len(left) >= num_kills:
            break
    counts = ", ".join(f"{count} x {text}" for text, count in collections.Counter(left).most_common())
    print(f"{name}: killed {len(left)} times ({counts}); {differences or 'nothing differs'}", flush=True)
    return differences


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--what", choices=(*SUBJECTS, "all"), default="all")
    parser.add_argument("--num_kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    flags = parser.parse_args()
    differences = []
    for name in SUBJECTS if flags.what == "all" else [flags.what]:
        with tempfile.TemporaryDirectory() as folder:
            os.environ["JAX_COMPILATION_CACHE_DIR"] = os.path.join(folder, "cache")
            os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
            differences += kill(name, pathlib.Path(folder), num_kills=flags.num_kills, seed=flags.seed)
    sys.exit(bool(differences))


if __name__ == "__main__":
    main()
