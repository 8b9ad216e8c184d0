"""Owns experiment 3: does training on synthetic prints help a classifier with impressions that no training saw?

Does not own the training (`classifier_trainer.py`) nor what the results amount to (`utility_table.py`).
"""

import dataclasses
import hashlib
import os
from collections.abc import Callable, Mapping, Sequence

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
# The fewest seeds that give an interval worth having.
ENOUGH_SEEDS = 5


@dataclasses.dataclass(frozen=True)
class Condition:
    """What a classifier is trained on.

    Attributes:
      name: as in the tables; with "_" for "+" its folder's name.
      is_augmented: whether prints are changed at random as config.classifier.augmentation says, or not at all.
      noise: which synthetic prints are half of every batch, those of "training" noise or of "new" noise; None for
        real prints alone.
    """

    name: str
    is_augmented: bool
    noise: str | None


# Every other condition is compared with the first. The last one runs only where there are prints of new noise: a
# control, since their person is none that the noise could tell.
CONDITIONS = (
    Condition("real", False, None),
    Condition("real+augmentation", True, None),
    Condition("real+synthetic", False, "training"),
    Condition("all", True, "training"),
    Condition("real+synthetic_new", False, "new"),
)


@dataclasses.dataclass(frozen=True)
class UtilityScore:
    """One print scored by one trained classifier; one row of a training's CSV.

    Attributes:
      condition: the name of one of `CONDITIONS`.
      seed: of the training.
      synthetic_dir: where its synthetic prints came from, "" for none.
      test_set: one of `prints.SPLITS`; "real" are the very prints that every condition trains on.
      person: whose print it is.
      file: its name.
      similarity_score: the classifier's probability of `person`, in [0, 1].
      top_person: the most probable person.
      data_hash: of everything that was trained on and scored.
    """

    condition: str
    seed: int
    synthetic_dir: str
    test_set: str
    person: int
    file: str
    similarity_score: float
    top_person: int
    data_hash: str


@dataclasses.dataclass(frozen=True)
class SyntheticFolder:
    """The prints of a folder of `launch.synthesize`.

    Attributes:
      path: the folder.
      noise: "training" or "new".
      prints: all of its prints.
    """

    path: str
    noise: str
    prints: PrintSet


def measure_utility(
    config: ConfigDict, synthetic_dirs: Sequence[str], out_dir: str, *, seeds: Sequence[int]
) -> str:
    """Train the classifier under every condition and seed, and test it on altered prints; skip what is done.

    Conditions differ in what they train on and in nothing else: the same steps, batch size, rates and first weights.
    Of a batch with synthetic prints half are real (`feeding.MixedClassifierSource`), so that neither kind drowns the
    other however many there are. A seed decides the weights, dropout, augmentation and order of the batches.

    Args:
      config: the experiment's config; its seed, classifier.seed and data.shuffle_seed are not used.
      synthetic_dirs: folders of `launch.synthesize`, drawn by generators that were trained on the config's prints.
        Of n folders of training noise the training of the i-th seed gets the (i mod n)-th; of new noise likewise.
      out_dir: gets a folder a training, `RESULTS_FILENAME`, what `utility_table.write_tables` writes, and utility.png.
      seeds: at least two, each once.

    Returns:
      The text to show: the tables and how to read them.

    Raises:
      UserError: the config, the seeds, the prints or a folder of synthetic ones is not as it must be, or out_dir holds
        another experiment.
    """
    _check_settings(config, seeds)
    real, tests = _load_prints(config)
    folders = [load_synthetic_folder(path, real, config.data) for path in synthetic_dirs]
    if not any(folder.noise == "training" for folder in folders):
        raise UserError(
            "--synthetic_dirs: names no folder of training noise; run python -m launch.synthesize"
        )
    factory.create_classifier(config, num_classes=len(set(real.persons.tolist())))
    plan = plan_trainings(seeds, folders)
    with hold_folder(out_dir):
        claim_workdir(out_dir, config, prefixes=CLASSIFIER_FIELDS)
        trainer = _Trainer(config, real, tests, out_dir)
        scores = []
        for number, (condition, seed, folder) in enumerate(plan, start=1):
            print(f"[{number}/{len(plan)}] {condition.name}, seed {seed}: ", end="", flush=True)
            scores += trainer.run(condition, seed, folder)
        results = compute_results(scores)
        write_rows(os.path.join(out_dir, RESULTS_FILENAME), results)
        text = utility_table.write_tables(results, out_dir)
        utility_table.draw(results, os.path.join(out_dir, "utility.png"))
    return f"\n{text}\nEverything lies in {out_dir}"


def plan_trainings(
    seeds: Sequence[int], folders: Sequence[SyntheticFolder]
) -> list[tuple[Condition, int, SyntheticFolder | None]]:
    """List what is to be trained: seed by seed, so that a stopped experiment has whole seeds to compare.

    Args:
      seeds: in the order in which they take the folders in turn.
      folders: of training noise and, for the last condition, of new noise.

    Returns:
      (condition, seed, where its synthetic prints come from) for each training.
    """
    plan: list[tuple[Condition, int, SyntheticFolder | None]] = []
    for place, seed in enumerate(seeds):
        for condition in CONDITIONS:
            fitting = [folder for folder in folders if folder.noise == condition.noise]
            if condition.noise is None:
                plan.append((condition, seed, None))
            elif fitting:
                plan.append((condition, seed, fitting[place % len(fitting)]))
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
    """Load the training prints, and every set that is tested."""
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


def load_synthetic_folder(path: str, real: PrintSet, data_config: ConfigDict) -> SyntheticFolder:
    """Load a folder of synthetic prints that a classifier of the real ones may train on.

    Args:
      path: of the folder.
      real: the classifier's real prints.
      data_config: config.data.

    Returns:
      The folder's prints.

    Raises:
      UserError: it is no folder of `launch.synthesize`, its generator was trained on other prints, its prints are of
        other persons or another size, or of both kinds of noise.
    """
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
    prints = PrintSet(
        np.stack(images),
        np.array([row.person for row in rows], np.int32),
        tuple(row.file for row in rows),
    )
    return SyntheticFolder(path, noises[0], prints)


def create_training_config(config: ConfigDict, condition: Condition, seed: int) -> ConfigDict:
    """Create the config of one training.

    Args:
      config: the experiment's.
      condition: what to train on.
      seed: of everything random, but for a stream of config.classifier that has a seed of its own.

    Returns:
      A copy that differs in the seeds, in the augmentation (every field 0 where the condition has none: an image then
      goes in bit for bit as it is), and in having one checkpoint, at the end: many trainings lie side by side.
    """
    own = config.copy_and_resolve_references()
    own.seed = own.data.shuffle_seed = seed
    own.classifier.seed = -1
    own.classifier.checkpoint_every_steps = own.classifier.num_steps
    if not condition.is_augmented:
        for field in own.classifier.augmentation:
            own.classifier.augmentation[field] = 0.0
    return own


class _Trainer:
    """Runs single trainings of an experiment, and keeps the program that scores."""

    def __init__(self, config: ConfigDict, real: PrintSet, tests: Mapping[str, PrintSet], out_dir: str):
        self._config = config
        self._real = real
        self._tests = tests
        self._out_dir = out_dir
        self._compute_probabilities: Callable | None = None

    def run(self, condition: Condition, seed: int, synthetic: SyntheticFolder | None) -> list[UtilityScore]:
        """Train and score, or read what was scored before."""
        workdir = os.path.join(self._out_dir, condition.name.replace("+", "_"), f"seed_{seed}")
        path = os.path.join(workdir, SCORES_FILENAME)
        config = create_training_config(self._config, condition, seed)
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
        state = classifier_trainer.train_and_evaluate(config, workdir, source)
        network = state.classifier
        variables = {"params": network.params, "batch_stats": network.batch_stats}
        folder = "" if synthetic is None else synthetic.path
        rows = [
            UtilityScore(condition.name, seed, folder, *values, data_hash)
            for values in self._score(variables, source.persons)
        ]
        write_rows(path, rows)
        return rows

    def _hash_data(self, source: feeding.ClassifierSource) -> str:
        parts = [source.data_hash, *(f"{name} {prints.data_hash}" for name, prints in self._tests.items())]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]

    def _score(self, variables: Mapping, persons: Sequence[int]) -> list[tuple[str, int, str, float, int]]:
        """Score every test print: (test set, person, file, probability of the person, most probable person)."""
        compute_probabilities = self._compute_probabilities
        if compute_probabilities is None:
            compute_probabilities, _ = similarity.bind_classifier(
                self._config, variables, len(persons), self._out_dir
            )
            self._compute_probabilities = compute_probabilities
        variables = jax.device_put(variables)
        scores = []
        for name, prints in self._tests.items():
            probabilities = similarity.compute_in_batches(
                compute_probabilities, variables, prints.images, self._config.evaluation.batch_size
            )
            for row, person, file in zip(
                probabilities, prints.persons.tolist(), prints.filenames, strict=True
            ):
                top_person = persons[int(row.argmax())]
                scores.append((name, person, file, float(row[persons.index(person)]), top_person))
        return scores


def compute_results(scores: Sequence[UtilityScore]) -> list[ResultRow]:
    """Average the scores of every training by test set.

    Args:
      scores: of any number of trainings.

    Returns:
      A row a condition, seed and test set, in the order in which they come.
    """
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
