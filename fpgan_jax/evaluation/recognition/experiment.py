"""Owns the comparison of recognisers that were trained on few real fingers and on what makes more of them.

Does not own one training (`training.py`), the comparisons of a test (`comparisons.py`) or the tables (`table.py`).
"""

import dataclasses
import functools
import hashlib
import math
import os
import pathlib
from collections.abc import Mapping, Sequence

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
# Ids of one set's new fingers are below it.
_FINGERS_A_SET = 10**9


@dataclasses.dataclass(frozen=True)
class Request:
    """What is to be compared.

    Attributes:
      real: the folder that trains.
      tests: folders that nothing trains on, each of fingers with two prints or more.
      num_fingers: of `real`, the first by id; the few that there are.
      num_impressions: of each, the first by number.
      more_impressions: sets of further prints of these fingers, with the ids that they have in `real`.
      more_fingers: sets of other fingers.
      together: names of sets that also train together.
      num_procedural: fingers of the procedural renderer, as another set of other fingers; 0 leaves it out.
      procedural_impressions: of each.
      seeds: of the recognisers.
    """

    real: SetPlace
    tests: Sequence[SetPlace]
    num_fingers: int
    num_impressions: int
    more_impressions: Sequence[SetPlace]
    more_fingers: Sequence[SetPlace]
    together: Sequence[Sequence[str]]
    num_procedural: int
    procedural_impressions: int
    seeds: Sequence[int]


@dataclasses.dataclass(frozen=True)
class Arm:
    """What a recogniser is trained on.

    Attributes:
      name: as in the tables.
      sources: sets that have an equal share of every batch.
      strength: of the classical augmentation.
    """

    name: str
    sources: tuple[FingerPrints, ...]
    strength: float


def measure_recognition(request: Request, out_dir: str, settings: Settings) -> str:
    """Train a recogniser in every arm and of every seed, and test it on sensors and fingers it never saw.

    Arms differ in what they train on and in nothing else: the same steps, batch size, rates and first weights, and
    the real prints come in the same order. What was trained before on the same prints is not trained again.

    Args:
      request: what is to be compared.
      out_dir: gets the aligned prints, a CSV a training, `RESULTS_FILENAME`, what `table.write_tables` writes, and
        recognition.png.
      settings: of every recogniser.

    Returns:
      The text to show: the tables and how to read them.

    Raises:
      UserError: the request names what is not there, or a test shares a print with the training.
    """
    _check_request(request, settings)
    with hold_folder(out_dir):
        cache_dir = os.path.join(out_dir, "aligned")
        tests = [load_prints(place, "tests", cache_dir) for place in request.tests]
        for test in tests:
            check_test(test)
        arms = load_arms(request, cache_dir)
        check_strangers(arms, tests)
        rows = _run_trainings(arms, tests, request.seeds, settings, os.path.join(out_dir, "trainings"))
        write_rows(os.path.join(out_dir, RESULTS_FILENAME), rows)
        text = table.write_tables(rows, out_dir)
        table.draw(rows, os.path.join(out_dir, "recognition.png"))
    return f"\n{describe_arms(arms)}\n\n{text}\nEverything is in {out_dir}"


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
    for flag, names in (("more_impressions or --more_fingers", sets), ("tests", tests)):
        for name in names:
            if name in _RESERVED:
                raise UserError(f"--{flag}: {name!r} has a meaning of its own; give the set another name")
            if names.count(name) > 1:
                raise UserError(f"--{flag}: two sets are called {name!r}")
    if not tests:
        raise UserError("--tests: none given; name a folder of fingers and a sensor that nothing trains on")
    known = [*sets, *[table.PROCEDURAL] * bool(request.num_procedural)]
    for names in request.together:
        for name in names:
            if name not in known:
                raise UserError(
                    f"--together: no set is called {name!r}; there are {', '.join(known) or 'none'}"
                )
    if len(set(request.seeds)) != len(request.seeds) or not request.seeds:
        raise UserError(f"--seeds={','.join(map(str, request.seeds))}: give each seed once, at least one")
    most = 1 + max(map(len, request.together), default=1)
    if settings.batch_size < most:
        raise UserError(
            f"--batch_size={settings.batch_size}: an arm has prints of {most} kinds in every batch"
        )


def load_arms(request: Request, cache_dir: str) -> list[Arm]:
    """Load what each arm trains on.

    Args:
      request: checked.
      cache_dir: where aligned prints are kept.

    Returns:
      The arms: real prints as they are, with classical augmentation, with each set and with sets together, and where
      the folder holds more, all its real prints.

    Raises:
      UserError: a folder is not as it must be.
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
        sets[prints.name] = prints._replace(fingers=prints.fingers + place * _FINGERS_A_SET)
    arms = [Arm(table.REAL, (real,), 0.0), Arm(table.AUGMENTATION, (real,), 1.0)]
    arms += [Arm(name, (real, prints), 1.0) for name, prints in sets.items()]
    arms += [Arm("+".join(names), (real, *(sets[name] for name in names)), 1.0) for names in request.together]
    if len(everything.images) > len(real.images):
        arms.append(Arm(table.EVERY_FINGER, (everything,), 1.0))
    return arms


def choose_few(prints: FingerPrints, num_fingers: int, num_impressions: int) -> FingerPrints:
    """Choose the first impressions of the first fingers.

    Args:
      prints: in order of finger and impression.
      num_fingers: how many.
      num_impressions: at most, of each.

    Returns:
      The prints.

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


def check_test(prints: FingerPrints) -> None:
    """Check that a set can test: two fingers or more, one of which has two prints.

    Raises:
      UserError: it cannot.
    """
    counts = np.unique(prints.fingers, return_counts=True)[1]
    if len(counts) < 2 or counts.max() < 2:
        raise UserError(f"--tests: {prints.name} needs two fingers or more, with several prints of a finger")


def check_strangers(arms: Sequence[Arm], tests: Sequence[FingerPrints]) -> None:
    """Check that no print of a test trains.

    Raises:
      UserError: one does.
    """
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
    """Train and test, seed by seed, so that a stopped experiment has whole seeds to compare."""
    num_classes = max(1 + int(np.concatenate(training.label_fingers(arm.sources)).max()) for arm in arms)
    trainer = Trainer(settings, num_classes)
    hashes: Mapping[str, str] = {source.name: source.hash() for source in tests}
    plan = []
    for seed in seeds:
        for arm in arms:
            # Not the number of classes: weights of classes that an arm lacks take no part in it.
            parts = [_hash_code(), settings, arm.name, arm.strength, seed, sorted(hashes.items())]
            parts += [source.hash() for source in arm.sources]
            key = hashlib.sha256(repr(parts).encode()).hexdigest()[:16]
            plan.append((arm, seed, os.path.join(folder, f"{key}.csv")))
    waiting = sum(not os.path.exists(path) for _, _, path in plan)
    rows = []
    with create_progress(waiting * settings.num_steps, "recognisers", "step") as progress:
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
    """Compute what changes with the code on which a trained recogniser's numbers depend."""
    modules = (alignment, augmentation, classical, comparisons, distortion, network, training)
    digest = hashlib.sha256()
    for module in modules:
        digest.update(pathlib.Path(module.__file__).read_bytes())
    return digest.hexdigest()[:12]


def describe_arms(arms: Sequence[Arm]) -> str:
    """Say what each arm trains on, for a terminal."""
    lines = []
    for arm in arms:
        parts = [
            f"{len(source.images):,} prints of {len(np.unique(source.fingers)):,} fingers ({source.name})"
            for source in arm.sources
        ]
        lines.append(f"{arm.name}: {' + '.join(parts)}{', augmented' * bool(arm.strength)}")
    return "\n".join(lines)
