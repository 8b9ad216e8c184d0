"""Owns experiment 3: does training on synthetic prints help a classifier with impressions that no training saw?

`utility_table.py` evaluates the results.
"""

import dataclasses
import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import jax
import numpy as np
from absl import logging
from ml_collections import ConfigDict

from fpgan_jax import parallel
from fpgan_jax.config.checks import validate_config
from fpgan_jax.config.fields import PERSON_SOURCES
from fpgan_jax.config.identity import CLASSIFIER_FIELDS, claim_workdir
from fpgan_jax.data import feeding, print_loading
from fpgan_jax.data.prints import SPLITS, PrintSet
from fpgan_jax.errors import UserError
from fpgan_jax.evaluation.experiments import utility_table
from fpgan_jax.evaluation.experiments.utility_table import ResultRow
from fpgan_jax.evaluation.statistics.seed_spread import MIN_SEEDS
from fpgan_jax.host.folder_lock import hold_folder
from fpgan_jax.models import factory
from fpgan_jax.scoring import similarity
from fpgan_jax.synthesis.manifest import read_manifest
from fpgan_jax.tables.csv_rows import read_rows, write_rows
from fpgan_jax.training import classifier_trainer

SCORES_FILENAME = "scores.csv"
RESULTS_FILENAME = "results.csv"
# With fewer seeds the intervals are too wide to be useful.
ENOUGH_SEEDS = 5


class Condition(NamedTuple):
    """What a classifier is trained on."""

    name: str  # as in the tables; its folder has "_" for "+"
    is_augmented: bool  # whether config.classifier.augmentation is applied
    # "training" or "new" for half a batch of synthetic prints of that noise; None for real prints alone
    noise: str | None


# The last one runs only if there are prints of new noise. It is a control: new noise carries no identity, so that the
# prints' persons are arbitrary.
CONDITIONS = (
    Condition("real", False, None),
    Condition("real+augmentation", True, None),
    Condition("real+synthetic", False, "training"),
    Condition("all", True, "training"),
    Condition("real+synthetic_new", False, "new"),
)


@dataclasses.dataclass(frozen=True)
class UtilityScore:
    """One print scored by one trained classifier; one row of a training's CSV."""

    condition: str
    seed: int
    synthetic_dir: str
    test_set: str  # one of `prints.SPLITS`; "real" are the prints that every condition trains on
    person: int
    file: str
    similarity_score: float  # the classifier's probability of `person`
    top_person: int  # the most probable person
    data_hash: str  # of everything that was trained on and scored


class SyntheticFolder(NamedTuple):
    """All prints of a folder of `launch.synthesize`, of "training" or "new" noise."""

    path: str
    noise: str
    prints: PrintSet


def measure_utility(
    config: ConfigDict, synthetic_dirs: Sequence[str], out_dir: str, *, seeds: Sequence[int]
) -> str:
    """Train the classifier under every condition and seed, and test it on altered prints; skip what is done.

    Conditions differ only in what they train on. Half of a batch with synthetic prints is real
    (`feeding.MixedClassifierSource`), so that neither kind dominates. A seed decides weights, dropout, augmentation and
    the order of batches.

    Args:
      config: the experiment's config; its seed, classifier.seed and data.shuffle_seed are not used.
      synthetic_dirs: folders of `launch.synthesize`, by generators that were trained on the config's prints. The
        training of the i-th seed gets the (i mod n)-th of n folders of training noise, and likewise of new noise.
      out_dir: gets a folder for each training, `RESULTS_FILENAME`, the files of `utility_table.write_tables`, and
        utility.png.
      seeds: distinct, at least `MIN_SEEDS`.

    Returns:
      The text to show: the tables and how to read them.

    Raises:
      UserError: the config, the seeds, the prints or a folder of synthetic ones is wrong, or out_dir holds another
        experiment.
    """
    _check_settings(config, seeds)
    real, tests = _load_prints(config)
    folders = [_load_synthetic_folder(path, real, config.data) for path in synthetic_dirs]
    if not any(folder.noise == "training" for folder in folders):
        raise UserError(
            "--synthetic_dirs: names no folder of training noise; run python -m launch.synthesize"
        )
    factory.create_classifier(config, num_classes=len(set(real.persons.tolist())))
    plan = _plan_trainings(seeds, folders)
    with hold_folder(out_dir):
        claim_workdir(out_dir, config, prefixes=CLASSIFIER_FIELDS)
        trainer = _Trainer(config, real, tests, out_dir)
        scores = []
        for number, (condition, seed, folder) in enumerate(plan, start=1):
            print(f"[{number}/{len(plan)}] {condition.name}, seed {seed}: ", end="", flush=True)
            scores += trainer.run(condition, seed, folder)
        results = _average_scores(scores)
        write_rows(os.path.join(out_dir, RESULTS_FILENAME), results)
        text = utility_table.write_tables(results, out_dir)
        utility_table.draw(results, os.path.join(out_dir, "utility.png"))
    return f"\n{text}\nEverything is in {out_dir}"


def _plan_trainings(
    seeds: Sequence[int], folders: Sequence[SyntheticFolder]
) -> list[tuple[Condition, int, SyntheticFolder | None]]:
    """List the trainings, seed by seed, so that an interrupted experiment has whole seeds to compare."""
    plan: list[tuple[Condition, int, SyntheticFolder | None]] = []
    for place, seed in enumerate(seeds):
        for condition in CONDITIONS:
            fitting = [folder for folder in folders if folder.noise == condition.noise]
            if fitting or condition.noise is None:
                folder = fitting[place % len(fitting)] if fitting else None
                plan.append((condition, seed, folder))
    return plan


def _check_settings(config: ConfigDict, seeds: Sequence[int]) -> None:
    validate_config(config)
    if config.data.source not in PERSON_SOURCES:
        raise UserError(
            f"config.data.source={config.data.source!r}: the classifier needs to know each print's person; use one "
            f"of {', '.join(PERSON_SOURCES)}"
        )
    batch_size = config.classifier.global_batch_size
    if batch_size < 2:
        raise UserError(
            "config.classifier.global_batch_size=1: half of every batch is to be synthetic; use 2 or more"
        )
    parallel.check_batch_size(batch_size, "config.classifier.global_batch_size")
    if not any(config.classifier.augmentation.values()):
        raise UserError(
            "config.classifier.augmentation: every field is 0, so that augmentation would change nothing; set one"
        )
    if len(set(seeds)) != len(seeds):
        raise UserError(f"--seeds={','.join(map(str, seeds))}: a seed is named twice")
    if len(seeds) < MIN_SEEDS:
        raise UserError(
            f"--seeds: {len(seeds)} given; an interval needs {MIN_SEEDS}, and {ENOUGH_SEEDS} to say much"
        )
    if len(seeds) < ENOUGH_SEEDS:
        logging.warning(
            "--seeds: only %d; use %d or more, the intervals will be very wide", len(seeds), ENOUGH_SEEDS
        )


def _load_prints(config: ConfigDict) -> tuple[PrintSet, dict[str, PrintSet]]:
    """Load the training prints and all test sets."""
    real = print_loading.load_prints(config)
    persons = np.unique(real.persons)
    origin = print_loading.describe_origin(config.data)
    tests = {"real": real}
    for split in SPLITS[1:]:
        altered = print_loading.load_prints(config, split=split, persons=persons.tolist())
        if len(altered):
            tests[split] = altered
        else:
            logging.warning("%s: no %s prints of these persons; they are not tested", origin, split)
    if len(tests) == 1:
        raise UserError(
            f"{origin}: holds no altered prints of these persons, on which the classifiers are to be tested"
        )
    return real, tests


def _load_synthetic_folder(path: str, real: PrintSet, data_config: ConfigDict) -> SyntheticFolder:
    """Load a folder of synthetic prints, of the same persons and size as the classifier's real prints."""
    rows = read_manifest(path)
    similarity.check_origin(path, rows, real.data_hash)
    found, wanted = (
        sorted(set(persons)) for persons in ((row.person for row in rows), real.persons.tolist())
    )
    if found != wanted:
        raise UserError(
            f"{path}: holds synthetic prints of the persons {', '.join(map(str, found))}, but the training prints are "
            f"of {', '.join(map(str, wanted))}; use the same config.data for both"
        )
    noises = sorted({row.noise for row in rows})
    if len(noises) != 1 or noises[0] not in ("training", "new"):
        raise UserError(f"{path}: its noise is {' and '.join(noises)}; must be all training or all new")
    images = [similarity.read_synthetic_image(os.path.join(path, row.file), data_config) for row in rows]
    persons = np.array([row.person for row in rows], np.int32)
    prints = PrintSet(np.stack(images), persons, tuple(row.file for row in rows))
    return SyntheticFolder(path, noises[0], prints)


def _create_training_config(config: ConfigDict, condition: Condition, seed: int) -> ConfigDict:
    """Create the config of one training; streams of config.classifier that have a seed of their own keep it."""
    own = config.copy_and_resolve_references()
    own.seed = own.data.shuffle_seed = seed
    own.classifier.seed = -1
    # Many trainings share the disk.
    own.classifier.checkpoint_every_steps = own.classifier.num_steps
    if not condition.is_augmented:
        for field in own.classifier.augmentation:
            own.classifier.augmentation[field] = 0.0
    return own


class _Trainer:
    """Trains and scores classifiers, all with one compiled scoring program."""

    def __init__(self, config: ConfigDict, real: PrintSet, tests: Mapping[str, PrintSet], out_dir: str):
        self._config, self._out_dir = config, out_dir
        self._real, self._tests = real, tests
        self._compute_probabilities: Callable | None = None

    def run(self, condition: Condition, seed: int, synthetic: SyntheticFolder | None) -> list[UtilityScore]:
        """Train and score, or read earlier scores."""
        workdir = os.path.join(self._out_dir, condition.name.replace("+", "_"), f"seed_{seed}")
        path = os.path.join(workdir, SCORES_FILENAME)
        config = _create_training_config(self._config, condition, seed)
        if synthetic is None:
            source = feeding.create_classifier_source_from_prints(config, self._real)
        else:
            source = feeding.MixedClassifierSource(self._real, synthetic.prints, config)
        data_hash = self._hash_data(source)
        if os.path.exists(path):
            print("done before", flush=True)
            scores = read_rows(path, UtilityScore, "measure_utility")
            if {score.data_hash for score in scores} != {data_hash}:
                raise UserError(
                    f"{path}: made from other prints, or other synthetic ones, than are given now; use another "
                    "--out_dir, or the ones it was started with"
                )
            return scores
        print(f"training in {workdir}", flush=True)
        network = classifier_trainer.train_and_evaluate(config, workdir, source).classifier
        variables = {"params": network.params, "batch_stats": network.batch_stats}
        folder = "" if synthetic is None else synthetic.path
        scores = [
            UtilityScore(condition.name, seed, folder, *values, data_hash)
            for values in self._score(variables, source.persons)
        ]
        write_rows(path, scores)
        return scores

    def _hash_data(self, source: feeding.ClassifierSource) -> str:
        parts = [source.data_hash, *(f"{name} {prints.data_hash}" for name, prints in self._tests.items())]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]

    def _score(
        self, variables: Mapping, persons: Sequence[int]
    ) -> Iterator[tuple[str, int, str, float, int]]:
        """Yield (test set, person, file, probability of the person, most probable person) of every test print."""
        if self._compute_probabilities is None:
            self._compute_probabilities, _ = similarity.bind_classifier(
                self._config, variables, len(persons), self._out_dir
            )
        variables = jax.device_put(variables)
        for name, prints in self._tests.items():
            probabilities = similarity.compute_in_batches(
                self._compute_probabilities, variables, prints.images, self._config.evaluation.batch_size
            )
            for row, person, file in zip(
                probabilities, prints.persons.tolist(), prints.filenames, strict=True
            ):
                yield name, person, file, float(row[persons.index(person)]), persons[int(row.argmax())]


def _average_scores(scores: Sequence[UtilityScore]) -> list[ResultRow]:
    """Average the scores of every condition, seed and test set."""
    groups: dict[tuple[str, int, str, str], list[UtilityScore]] = {}
    for score in scores:
        key = (score.condition, score.seed, score.synthetic_dir, score.test_set)
        groups.setdefault(key, []).append(score)
    return [
        ResultRow(
            *key,
            num_images=len(group),
            num_persons=len({score.person for score in group}),
            accuracy=float(np.mean([score.top_person == score.person for score in group])),
            own_probability=float(np.mean([score.similarity_score for score in group])),
        )
        for key, group in groups.items()
    ]
