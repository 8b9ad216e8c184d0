"""Owns what an evaluation is asked to judge, and how that is found in an experiment's folder."""

import dataclasses
import glob
import os
import re
from collections.abc import Iterable, Sequence

from ml_collections import ConfigDict

from fpgan_jax.config.checks import validate_config
from fpgan_jax.config.derived import find_ppi
from fpgan_jax.config.files import CONFIG_FILENAME, load_config
from fpgan_jax.config.identity import find_differences
from fpgan_jax.errors import UserError
from fpgan_jax.evaluation.experiments import utility_table
from fpgan_jax.evaluation.study.loading import name_print_folder
from fpgan_jax.evaluation.study.print_collection import PrintCollection, Study
from fpgan_jax.synthesis.manifest import MANIFEST_FILENAME

# A name for each seed of a network -> folders.
_Folders = dict[str, list[str]]


@dataclasses.dataclass(frozen=True)
class EvaluationPlan:
    """The inputs of one evaluation."""

    config: ConfigDict  # the experiment's: whose prints, how preprocessed, what to measure
    synthetic_dirs: tuple[tuple[str, ...], ...]  # for each seed of the GAN, a folder for each kind of noise
    gan_seeds: tuple[str, ...]  # their names
    # For each seed of the classifier, the workdirs of one classifier or of two that differ in config.data.frame.
    classifier_workdirs: tuple[tuple[str, ...], ...] = ()
    classifier_seeds: tuple[str, ...] = ()  # their names
    gan_workdir: str = ""  # of the first seed's GAN, if its kept checkpoints are measured by epoch
    feature_classifier: str = ""  # workdir of a classifier of other prints, if there is one
    utility_csv: str = ""  # rows of `launch.measure_utility`, if there are any

    def create_study(self, collections: Iterable[PrintCollection], *, classifier: int = 0) -> Study:
        """Create the study of some collections, with the classifiers of one seed."""
        return Study(
            {collection.name: collection for collection in collections},
            self.config.evaluation,
            classifier_workdirs=self.classifier_workdirs[classifier] if self.classifier_workdirs else (),
            feature_classifier=self.feature_classifier,
            seed=self.config.seed,
            ppi=find_ppi(self.config.data),
        )


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
      config: the experiment's config. With an experiment it may be None, or say where the data is now and what to
        measure.
      experiment: a folder of `launch.reproduce`; None takes only what is named.
      synthetic_dirs: folders of synthetic prints; without an experiment.
      classifier_workdirs: of classifiers, besides the experiment's own.
      feature_classifier: as in `EvaluationPlan`.
      utility_csv: as in `EvaluationPlan`.
      gan_seeds: names of the experiment's seeds to judge; all if empty.
      classifier_seeds: names of the experiment's seeds to use; all if empty.

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
        gans, classifiers, gan_workdir = _divide_by_seed(synthetic_dirs), _Folders(), ""
    else:
        if synthetic_dirs:
            raise UserError("--synthetic_dirs: not with --experiment, which has its own; give one of them")
        config = _load_experiment_config(experiment, config)
        gans = _choose(_find_gans(experiment), gan_seeds, "gan_seeds", experiment)
        classifiers = _find_folders(experiment, "classifier", ["classifier/checkpoints"])
        classifiers = _choose(classifiers, classifier_seeds, "classifier_seeds", experiment)
        gan_workdir = os.path.join(os.path.dirname(next(iter(gans.values()))[0]), "gan")
    validate_config(config)
    _check_inputs([*classifier_workdirs, *filter(None, [feature_classifier])], utility_csv)
    if classifier_workdirs:
        first = next(iter(classifiers), "0")
        classifiers = {first: []} | classifiers
        classifiers[first] += classifier_workdirs
    return EvaluationPlan(
        config=config,
        synthetic_dirs=tuple(map(tuple, gans.values())),
        gan_seeds=tuple(gans),
        classifier_workdirs=tuple(map(tuple, classifiers.values())),
        classifier_seeds=tuple(classifiers),
        gan_workdir=gan_workdir,
        feature_classifier=feature_classifier,
        utility_csv=utility_csv,
    )


def _check_inputs(classifier_workdirs: Sequence[str], utility_csv: str) -> None:
    for folder in classifier_workdirs:
        if not os.path.isdir(os.path.join(folder, "checkpoints")):
            raise UserError(f"{folder}: no checkpoints here; give the workdir of launch.train_classifier")
    if utility_csv:
        if not os.path.isfile(utility_csv):
            raise UserError(
                f"--utility={utility_csv}: no such file; python -m launch.measure_utility writes it"
            )
        utility_table.read_results(utility_csv)


def _load_experiment_config(experiment: str, config: ConfigDict | None) -> ConfigDict:
    """Return the experiment's own config, or the given one, which must be of the same prints."""
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


def _divide_by_seed(folders: Sequence[str]) -> _Folders:
    """Take the first folder of each kind of noise for the first seed, the second for the second, and so on."""
    by_name: dict[str, list[str]] = {}
    for folder in folders:
        by_name.setdefault(name_print_folder(folder), []).append(folder)
    counts = {len(of_name) for of_name in by_name.values()}
    if len(counts) > 1:
        numbers = ", ".join(f"{len(of_name)} of {name}" for name, of_name in by_name.items())
        raise UserError(f"--synthetic_dirs: {numbers}; give as many of each, one a seed of the GAN")
    return {str(seed): [of_name[seed] for of_name in by_name.values()] for seed in range(counts.pop())}


def _find_gans(experiment: str) -> _Folders:
    marks = [f"synthetic_{noise}/{MANIFEST_FILENAME}" for noise in ("training", "new")]
    found = _find_folders(experiment, "gan", marks)
    if not found:
        raise UserError(
            f"--experiment={experiment}: holds no synthetic prints; run python -m launch.reproduce first"
        )
    return found


def _find_folders(experiment: str, network: str, marks: Sequence[str]) -> _Folders:
    """Find the folders, for each seed of a network, of those marks, relative paths, that exist."""
    found = {}
    for seed, folder in _list_seeds(experiment, network):
        paths = [os.path.join(folder, mark) for mark in marks]
        if folders := [os.path.dirname(path) for path in paths if os.path.exists(path)]:
            found[seed] = folders
    return found


def _list_seeds(experiment: str, network: str) -> list[tuple[str, str]]:
    """List (seed, folder) of an experiment with several seeds, or the experiment itself with its own seed."""
    found = []
    for path in glob.glob(os.path.join(glob.escape(experiment), f"{network}_seed_*")):
        if match := re.fullmatch(rf"{network}_seed_([0-9]+)", os.path.basename(path)):
            found.append((match[1], path))
    if found:
        return sorted(found, key=lambda pair: int(pair[0]))
    own = load_config(os.path.join(experiment, CONFIG_FILENAME))
    return [(str(own.seed), experiment)]


def _choose(found: _Folders, wanted: Sequence[str], flag: str, experiment: str) -> _Folders:
    missing = [seed for seed in wanted if seed not in found]
    if missing:
        raise UserError(
            f"--{flag}: {experiment} has no seed {', '.join(missing)}; it has {', '.join(found) or 'none'}"
        )
    return {seed: folders for seed, folders in found.items() if not wanted or seed in wanted}
