"""Owns what an evaluation is asked to judge, and how that is found in an experiment's folder.

Does not load prints (`study/loading.py`) or measure them (`evaluate.py`).
"""

import dataclasses
import glob
import os
import re
from collections.abc import Sequence

from ml_collections import ConfigDict

from fpgan_jax.config.checks import validate_config
from fpgan_jax.config.files import CONFIG_FILENAME, load_config
from fpgan_jax.config.identity import find_differences
from fpgan_jax.errors import UserError
from fpgan_jax.evaluation.experiments import utility_table
from fpgan_jax.evaluation.study.loading import name_print_folder
from fpgan_jax.synthesis.drawing import MANIFEST_FILENAME

_NOISES = ("training", "new")


@dataclasses.dataclass(frozen=True)
class EvaluationPlan:
    """The inputs of one evaluation.

    Attributes:
      config: the experiment's config: whose prints, how preprocessed, what to measure.
      synthetic_dirs: for each seed of the GAN, its folders of synthetic prints, of one noise each.
      gan_seeds: a name a seed of the GAN.
      classifier_workdirs: for each seed of the classifier, the workdirs of one classifier or of two, which differ in
        config.data.frame; may be empty.
      classifier_seeds: a name a seed of the classifier.
      gan_workdir: of the first seed's GAN, whose kept checkpoints are followed by epoch; "" is none.
      feature_classifier: workdir of a classifier of other prints, "" is none.
      utility_csv: rows of `launch.measure_utility`, "" is none.
    """

    config: ConfigDict
    synthetic_dirs: tuple[tuple[str, ...], ...]
    gan_seeds: tuple[str, ...]
    classifier_workdirs: tuple[tuple[str, ...], ...] = ()
    classifier_seeds: tuple[str, ...] = ()
    gan_workdir: str = ""
    feature_classifier: str = ""
    utility_csv: str = ""


def create_plan(
    *,
    config: ConfigDict | None,
    experiment: str | None,
    synthetic_dirs: Sequence[str] = (),
    classifier_workdirs: Sequence[str] = (),
    feature_classifier: str = "",
    utility_csv: str = "",
    gan_seeds: Sequence[str] = (),
    classifier_seeds: Sequence[str] = (),
) -> EvaluationPlan:
    """Find everything that is to be judged.

    Args:
      config: the experiment's config; with an experiment it may be left out, or say where the data lies now and what
        to measure.
      experiment: a folder of `launch.reproduce`; None takes only what is named.
      synthetic_dirs: folders of synthetic prints; without an experiment.
      classifier_workdirs: of classifiers, beside the experiment's own.
      feature_classifier: see `EvaluationPlan`.
      utility_csv: likewise.
      gan_seeds: names of those of the experiment's that are wanted; none is all.
      classifier_seeds: likewise.

    Returns:
      The plan.

    Raises:
      UserError: neither config nor experiment is given, nothing is to be judged, a seed or a folder is missing, or the
        config is of another experiment.
    """
    if experiment is None:
        if config is None:
            raise UserError("--config or --experiment: give one of them; see --help")
        if not synthetic_dirs:
            raise UserError("--synthetic_dirs: names no folder of prints; give some, or --experiment")
        if gan_seeds or classifier_seeds:
            raise UserError(
                "--gan_seeds, --classifier_seeds: choose among an experiment's; give --experiment"
            )
        found_gans, found_classifiers, gan_workdir = _divide_by_seed(synthetic_dirs), {}, ""
    else:
        if synthetic_dirs:
            raise UserError(
                "--synthetic_dirs: stands instead of --experiment, which has its own; give one of them"
            )
        config = _load_experiment_config(experiment, config)
        found_gans = _choose(_find_gans(experiment), gan_seeds, "gan_seeds", experiment)
        found_classifiers = _choose(
            _find_classifiers(experiment), classifier_seeds, "classifier_seeds", experiment
        )
        gan_workdir = os.path.join(os.path.dirname(next(iter(found_gans.values()))[0]), "gan")
    validate_config(config)
    for folder in (*classifier_workdirs, *filter(None, [feature_classifier])):
        if not os.path.isdir(os.path.join(folder, "checkpoints")):
            raise UserError(f"{folder}: no checkpoints here; give the workdir of launch.train_classifier")
    if utility_csv and not os.path.isfile(utility_csv):
        raise UserError(f"--utility={utility_csv}: no such file; python -m launch.measure_utility writes it")
    if utility_csv:
        utility_table.read_results(utility_csv)
    if classifier_workdirs and not found_classifiers:
        found_classifiers = {"0": []}
    first = next(iter(found_classifiers), None)
    classifiers = {
        seed: (*workdirs, *(classifier_workdirs if seed == first else ()))
        for seed, workdirs in found_classifiers.items()
    }
    return EvaluationPlan(
        config=config,
        synthetic_dirs=tuple(tuple(folders) for folders in found_gans.values()),
        gan_seeds=tuple(found_gans),
        classifier_workdirs=tuple(classifiers.values()),
        classifier_seeds=tuple(classifiers),
        gan_workdir=gan_workdir,
        feature_classifier=feature_classifier,
        utility_csv=utility_csv,
    )


def _load_experiment_config(experiment: str, config: ConfigDict | None) -> ConfigDict:
    """Return the experiment's own config, or the given one where it is of the same prints."""
    own = load_config(os.path.join(experiment, CONFIG_FILENAME))
    if config is None:
        return own
    differences = find_differences(own, config, ("set_name", "data."))
    if differences:
        raise UserError(
            f"{experiment}: was made with another config ({'; '.join(differences)}); give that one, or leave "
            "--config out"
        )
    return config


def _divide_by_seed(folders: Sequence[str]) -> dict[str, list[str]]:
    """Take the first folder of each kind of noise for one seed, the second for another, and so on."""
    by_name: dict[str, list[str]] = {}
    for folder in folders:
        by_name.setdefault(name_print_folder(folder), []).append(folder)
    counts = {len(of_name) for of_name in by_name.values()}
    if len(counts) > 1:
        numbers = ", ".join(f"{len(of_name)} of {name}" for name, of_name in by_name.items())
        raise UserError(f"--synthetic_dirs: {numbers}; give as many of each, one a seed of the GAN")
    return {str(seed): [of_name[seed] for of_name in by_name.values()] for seed in range(counts.pop())}


def _find_gans(experiment: str) -> dict[str, list[str]]:
    """Return a name a seed of the GAN -> its folders of synthetic prints."""
    found = {}
    for seed, folder in _list_seeds(experiment, "gan"):
        folders = [os.path.join(folder, f"synthetic_{noise}") for noise in _NOISES]
        folders = [path for path in folders if os.path.exists(os.path.join(path, MANIFEST_FILENAME))]
        if folders:
            found[seed] = folders
    if not found:
        raise UserError(
            f"--experiment={experiment}: holds no synthetic prints; run python -m launch.reproduce first"
        )
    return found


def _find_classifiers(experiment: str) -> dict[str, list[str]]:
    found = {}
    for seed, folder in _list_seeds(experiment, "classifier"):
        if os.path.isdir(os.path.join(folder, "classifier", "checkpoints")):
            found[seed] = [os.path.join(folder, "classifier")]
    return found


def _list_seeds(experiment: str, network: str) -> list[tuple[str, str]]:
    """List (seed, folder) of an experiment under several seeds, or the experiment itself under its own."""
    found = []
    for path in glob.glob(os.path.join(glob.escape(experiment), f"{network}_seed_*")):
        match = re.fullmatch(rf"{network}_seed_([0-9]+)", os.path.basename(path))
        if match:
            found.append((match[1], path))
    if found:
        return sorted(found, key=lambda pair: int(pair[0]))
    own = load_config(os.path.join(experiment, CONFIG_FILENAME))
    return [(str(own.seed), experiment)]


def _choose(
    found: dict[str, list[str]], wanted: Sequence[str], flag: str, experiment: str
) -> dict[str, list[str]]:
    missing = [seed for seed in wanted if seed not in found]
    if missing:
        raise UserError(
            f"--{flag}: {experiment} has no seed {', '.join(missing)}; it has {', '.join(found) or 'none'}"
        )
    return {seed: folders for seed, folders in found.items() if not wanted or seed in wanted}
