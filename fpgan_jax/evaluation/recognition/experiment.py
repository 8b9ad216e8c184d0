"""Owns the comparison of recognizers that were trained on few real fingers and on prints that augment them.

Its parts are one training (`training.py`), the comparisons of a test (`comparisons.py`) and the tables (`table.py`).
"""

import dataclasses
import functools
import hashlib
import inspect
import itertools
import math
import os
from collections.abc import Sequence

import numpy as np
from tqdm import tqdm

from fpgan_jax.data import augmentation, impression_folder
from fpgan_jax.data.ridges import distortion
from fpgan_jax.errors import UserError
from fpgan_jax.evaluation.recognition import alignment, classical, comparisons, network, table, training
from fpgan_jax.evaluation.recognition.comparisons import FingerRow
from fpgan_jax.evaluation.recognition.print_sets import FingerPrints, SetPlace, grow_prints, load_prints
from fpgan_jax.evaluation.recognition.training import Settings, Trainer
from fpgan_jax.host.folder_lock import hold_folder
from fpgan_jax.host.progress import create_progress
from fpgan_jax.tables.csv_rows import read_rows, write_rows

RESULTS_FILENAME = "results.csv"
_RESERVED = (table.REAL, table.AUGMENTATION, table.EVERY_FINGER, table.PROCEDURAL, comparisons.POOLED)


@dataclasses.dataclass(frozen=True)
class Request:
    """What is compared."""

    real: SetPlace  # the folder that trains
    tests: Sequence[SetPlace]  # folders that nothing trains on, with several prints of a finger
    num_fingers: int  # of `real`, the first by id
    num_impressions: int  # of each of these fingers, the first by number
    more_impressions: Sequence[SetPlace]  # sets of further prints of these fingers, with the same ids
    more_fingers: Sequence[SetPlace]  # sets of other fingers
    together: Sequence[Sequence[str]]  # names of sets that also train together
    num_procedural: int  # fingers of the procedural renderer, as another set of other fingers; 0 for none
    procedural_impressions: int  # of each
    seeds: Sequence[int]  # of the recognizers


@dataclasses.dataclass(frozen=True)
class Arm:
    """What a recognizer trains on: sets with equal shares of a batch, and the strength of classical augmentation."""

    name: str
    sources: tuple[FingerPrints, ...]
    strength: float


def measure_recognition(request: Request, out_dir: str, settings: Settings) -> str:
    """Train a recognizer for every arm and seed, and test it on sensors and fingers that it never saw.

    Arms differ only in what they train on: steps, batch size, rates, first weights and the order of the real prints are
    the same. Trainings on the same prints are not repeated.

    Args:
      request: what is compared.
      out_dir: gets the aligned prints, a CSV for each training, `RESULTS_FILENAME`, the files of `table.write_tables`,
        and recognition.png.
      settings: of every recognizer.

    Returns:
      The text to show: the tables and how to read them.

    Raises:
      UserError: a folder or a set is missing, or a test shares a print with the training.
    """
    _check_request(request, settings)
    with hold_folder(out_dir):
        cache_dir = os.path.join(out_dir, "aligned")
        tests = [load_prints(place, "tests", cache_dir) for place in request.tests]
        for test in tests:
            _check_test(test)
        arms = load_arms(request, cache_dir)
        _check_strangers(arms, tests)
        rows = _run_trainings(arms, tests, request.seeds, settings, os.path.join(out_dir, "trainings"))
        write_rows(os.path.join(out_dir, RESULTS_FILENAME), rows)
        text = table.write_tables(rows, out_dir)
        table.draw(rows, os.path.join(out_dir, "recognition.png"))
    return f"\n{_describe_arms(arms)}\n\n{text}\nEverything is in {out_dir}"


def _check_request(request: Request, settings: Settings) -> None:
    places = {
        "real": [request.real],
        "tests": request.tests,
        "more_impressions": request.more_impressions,
        "more_fingers": request.more_fingers,
    }
    for flag, named in places.items():
        for place in named:
            impression_folder.check_folder(place.folder, f"--{flag}")
    sets = [place.name for place in (*request.more_impressions, *request.more_fingers)]
    tests = [place.name for place in request.tests]
    for flag, given in (("more_impressions or --more_fingers", sets), ("tests", tests)):
        for name in given:
            if name in _RESERVED:
                raise UserError(f"--{flag}: {name!r} has a meaning of its own; give the set another name")
            if given.count(name) > 1:
                raise UserError(f"--{flag}: two sets are called {name!r}")
    if not tests:
        raise UserError("--tests: none given; name a folder of fingers and a sensor that nothing trains on")
    known = [*sets, *[table.PROCEDURAL] * bool(request.num_procedural)]
    for name in itertools.chain(*request.together):
        if name not in known:
            raise UserError(f"--together: no set is called {name!r}; there are {', '.join(known) or 'none'}")
    if len(set(request.seeds)) != len(request.seeds) or not request.seeds:
        raise UserError(f"--seeds={','.join(map(str, request.seeds))}: give each seed once, at least one")
    most = 1 + max(map(len, request.together), default=1)
    if settings.batch_size < most:
        raise UserError(
            f"--batch_size={settings.batch_size}: an arm has prints of {most} kinds in every batch"
        )


def load_arms(request: Request, cache_dir: str) -> list[Arm]:
    """Load what each arm of a checked request trains on.

    Returns:
      Real prints as they are, with classical augmentation, with each set, with sets together, and if the folder has
      more, all its real prints.

    Raises:
      UserError: a folder cannot be used.
    """
    everything = load_prints(request.real, "real", cache_dir)
    real = choose_few(everything, request.num_fingers, request.num_impressions)
    sets = {
        place.name: _keep_known(load_prints(place, "more_impressions", cache_dir), real)
        for place in request.more_impressions
    }
    others = [load_prints(place, "more_fingers", cache_dir) for place in request.more_fingers]
    if request.num_procedural:
        counts = (request.num_procedural, request.procedural_impressions)
        others.insert(0, grow_prints(table.PROCEDURAL, *counts, 0, cache_dir))
    for place, prints in enumerate(others, start=1):
        sets[prints.name] = prints._replace(fingers=prints.fingers + place * comparisons.FINGERS_PER_SET)
    arms = [Arm(table.REAL, (real,), 0.0), Arm(table.AUGMENTATION, (real,), 1.0)]
    arms += [Arm(name, (real, prints), 1.0) for name, prints in sets.items()]
    arms += [Arm("+".join(names), (real, *(sets[name] for name in names)), 1.0) for names in request.together]
    if len(everything.images) > len(real.images):
        arms.append(Arm(table.EVERY_FINGER, (everything,), 1.0))
    return arms


def choose_few(prints: FingerPrints, num_fingers: int, num_impressions: int) -> FingerPrints:
    """Choose the first impressions of the first fingers, at most `num_impressions` of each.

    Raises:
      UserError: there are fewer fingers.
    """
    fingers, starts, numbers = np.unique(prints.fingers, return_index=True, return_inverse=True)
    if len(fingers) < num_fingers:
        raise UserError(f"--num_fingers={num_fingers}: {prints.name} has {len(fingers)}")
    ranks = np.arange(len(prints.fingers)) - starts[numbers]
    return prints.choose((numbers < num_fingers) & (ranks < num_impressions))


def _keep_known(prints: FingerPrints, real: FingerPrints) -> FingerPrints:
    is_known = np.isin(prints.fingers, real.fingers)
    missing = np.setdiff1d(real.fingers, prints.fingers)
    if len(missing):
        raise UserError(
            f"--more_impressions: {prints.name} has no print of finger {missing[0]}, which trains; its files must "
            "have the fingers' own numbers"
        )
    return prints.choose(is_known)


def _check_test(prints: FingerPrints) -> None:
    counts = np.unique(prints.fingers, return_counts=True)[1]
    if len(counts) < 2 or counts.max() < 2:
        raise UserError(f"--tests: {prints.name} needs two fingers or more, with several prints of a finger")


def _check_strangers(arms: Sequence[Arm], tests: Sequence[FingerPrints]) -> None:
    """Check that no print of a test trains."""
    tested = {image.tobytes(): test.name for test in tests for image in test.images}
    for source in {id(source): source for arm in arms for source in arm.sources}.values():
        for image in source.images:
            if name := tested.get(image.tobytes()):
                raise UserError(
                    f"--tests: {name} shares a print with {source.name}, which trains; name another"
                )


def _run_trainings(
    arms: Sequence[Arm], tests: Sequence[FingerPrints], seeds: Sequence[int], settings: Settings, folder: str
) -> list[FingerRow]:
    """Train and test, seed by seed, so that an interrupted experiment has whole seeds to compare."""
    num_classes = max(1 + int(np.concatenate(training.label_fingers(arm.sources)).max()) for arm in arms)
    trainer = Trainer(settings, num_classes)
    hashes = sorted((test.name, test.hash()) for test in tests)
    plan = []
    for seed, arm in itertools.product(seeds, arms):
        # Without the number of classes: the weights of classes that an arm lacks do not change its training.
        parts = [_hash_code(), settings, arm.name, arm.strength, seed, hashes]
        parts += [source.hash() for source in arm.sources]
        key = hashlib.sha256(repr(parts).encode()).hexdigest()[:16]
        plan.append((arm, seed, os.path.join(folder, f"{key}.csv")))
    waiting = sum(not os.path.exists(path) for _, _, path in plan)
    rows = []
    with create_progress(waiting * settings.num_steps, "recognizers", "step") as progress:
        for arm, seed, path in plan:
            if not os.path.exists(path):
                write_rows(path, _train_and_test(trainer, arm, seed, tests, progress))
            rows += read_rows(path, FingerRow, "measure_recognition")
    return rows


def _train_and_test(
    trainer: Trainer, arm: Arm, seed: int, tests: Sequence[FingerPrints], progress: tqdm
) -> list[FingerRow]:
    progress.set_description(f"{arm.name}, seed {seed}")

    def show(loss: float) -> None:
        if not math.isfinite(loss):
            raise UserError(
                f"{arm.name}, seed {seed}: the training diverged (loss {loss}); lower --learning_rate"
            )
        progress.set_postfix_str(f"loss {loss:.2f}", refresh=False)
        progress.update()

    variables = trainer.train(arm.sources, strength=arm.strength, seed=seed, show=show)
    found = {
        test.name: comparisons.compare_all(trainer.embed(variables, test.images), test.fingers)
        for test in tests
    }
    if len(found) > 1:
        found[comparisons.POOLED] = comparisons.pool(list(found.values()))
    measure = functools.partial(comparisons.measure_fingers, arm=arm.name, seed=seed)
    return [row for name, compared in found.items() for row in measure(compared, test_set=name)]


@functools.cache
def _hash_code() -> str:
    """Hash the code that a trained recognizer's numbers depend on."""
    modules = (alignment, augmentation, classical, comparisons, distortion, network, training)
    return hashlib.sha256("".join(map(inspect.getsource, modules)).encode()).hexdigest()[:12]


def _describe_arms(arms: Sequence[Arm]) -> str:
    """Say what each arm trains on, for a terminal."""
    lines = []
    for arm in arms:
        parts = [
            f"{len(source.images):,} prints of {len(np.unique(source.fingers)):,} fingers ({source.name})"
            for source in arm.sources
        ]
        lines.append(f"{arm.name}: {' + '.join(parts)}{', augmented' * bool(arm.strength)}")
    return "\n".join(lines)
