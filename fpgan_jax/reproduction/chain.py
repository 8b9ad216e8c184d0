"""Owns the chain of stages from a config to table 2; each stage is skipped once it is done.

Does not own what a stage does. A stage's outputs are files; the next one reads nothing else.
"""

import contextlib
import dataclasses
import glob
import json
import os
import time
from collections.abc import Callable, Iterator

from ml_collections import ConfigDict

from fpgan_jax import parallel
from fpgan_jax.config.checks import validate_config
from fpgan_jax.config.derived import count_persons, image_shape
from fpgan_jax.config.fields import PERSON_SOURCES, PLACE_FIELDS, flatten_config
from fpgan_jax.config.identity import EXPERIMENT_FIELDS, claim_workdir
from fpgan_jax.data import feeding, print_loading
from fpgan_jax.errors import UserError
from fpgan_jax.host.folder_lock import hold_folder
from fpgan_jax.host.json_file import read_json
from fpgan_jax.host.whole_file import write_whole
from fpgan_jax.models import factory
from fpgan_jax.scoring import figures, similarity, table2
from fpgan_jax.synthesis import drawing
from fpgan_jax.tables import formats
from fpgan_jax.training import classifier_trainer, gan_trainer
from fpgan_jax.training.checkpoints.checksums import CHECKSUMS_FILENAME, hash_file

_PLACES = {
    "figure3.png": "the prints after each sampled epoch (the paper's figure 3)",
    "losses.png": "the loss curves",
    "table2.{txt,md,csv,tex}": "the table, and controls.* beside it",
    "scores.csv": "one row a scored image",
    "synthetic_training/": "the synthetic prints with their manifest",
    "synthetic_new/": "the same from new noise",
    "gan/, classifier/": "config, metrics, TensorBoard events, samples, checkpoints",
}


_HASH_FILENAME = "data_hash.txt"
_PLACE_FIELDS = ("source", *PLACE_FIELDS)


@dataclasses.dataclass(frozen=True)
class Stage:
    """One step of the chain.

    Attributes:
      name: what the user reads.
      run: does it; continues what an interrupted run left.
      outputs: the files that it makes, relative to the workdir; done again if one is missing.
      fields: prefixes of config fields that may change in a finished experiment and then make this
        stage run again.
    """

    name: str
    run: Callable[[], object]
    outputs: tuple[str, ...]
    fields: tuple[str, ...] = ()


def create_stages(config: ConfigDict, workdir: str) -> list[Stage]:
    """List the stages of both experiments.

    Args:
      config: the experiment's config.
      workdir: holds one folder or file a stage.

    Returns:
      The stages in order.
    """

    def path(name: str) -> str:
        return os.path.join(workdir, name)

    def make_table() -> None:
        evaluation = config.evaluation
        table2.write_tables(
            [path("scores.csv")], workdir, std_over=evaluation.std_over, std_ddof=evaluation.std_ddof
        )

    train_gan, *synthesize, draw = create_gan_stages(config, workdir)
    tables = tuple(f"{name}.{ending}" for name in ("table2", "controls") for ending in formats.FORMATS)
    return [
        train_gan,
        create_classifier_stage(config, workdir),
        *synthesize,
        create_score_stage(config, workdir, gan_dir=workdir, classifier_dir=workdir),
        Stage("make the table", make_table, tables, fields=("evaluation.",)),
        draw,
    ]


def create_gan_stages(config: ConfigDict, workdir: str) -> list[Stage]:
    """List what needs no classifier.

    Args:
      config: the experiment's config.
      workdir: gets gan/, synthetic_training/, synthetic_new/ and the figures.

    Returns:
      The stages: the training, a synthesis from the training noise and one from new noise, the figures.
    """

    def path(name: str) -> str:
        return os.path.join(workdir, name)

    def synthesize(noise: str) -> None:
        overrides = config.synthesis.to_dict() | {"noise": noise}
        drawing.synthesize(path("gan"), path(f"synthetic_{noise}"), overrides=overrides)

    has_samples = config.num_samples > 0 and any(epoch <= config.num_epochs for epoch in config.sample_epochs)

    def draw() -> None:
        figures.draw_losses(path("gan"), path("losses.png"))
        if has_samples:
            tile_size = image_shape(config.data)[:2]
            figures.draw_epochs(path("gan"), path("figure3.png"), tile_size, config.data.condition)
        else:
            print("no epoch up to config.num_epochs is in config.sample_epochs: no figure 3", flush=True)

    return [
        Stage(
            "train the GAN",
            lambda: gan_trainer.train_and_evaluate(config, path("gan")),
            ("gan/metrics.csv", "gan/checkpoints"),
        ),
        Stage(
            "synthesize from the training noise",
            lambda: synthesize("training"),
            (f"synthetic_training/{drawing.MANIFEST_FILENAME}",),
        ),
        Stage(
            "synthesize from new noise",
            lambda: synthesize("new"),
            (f"synthetic_new/{drawing.MANIFEST_FILENAME}",),
        ),
        Stage("draw the figures", draw, ("losses.png", "figure3.png")[: 1 + has_samples]),
    ]


def create_classifier_stage(config: ConfigDict, workdir: str) -> Stage:
    """Create the training of the classifier.

    Args:
      config: the experiment's config.
      workdir: gets classifier/.

    Returns:
      The stage.
    """
    return Stage(
        "train the classifier",
        lambda: classifier_trainer.train_and_evaluate(config, os.path.join(workdir, "classifier")),
        ("classifier/metrics.csv", "classifier/checkpoints"),
    )


def create_score_stage(config: ConfigDict, workdir: str, *, gan_dir: str, classifier_dir: str) -> Stage:
    """Create the scoring of one GAN's prints by one classifier.

    Args:
      config: the experiment's config.
      workdir: gets scores.csv.
      gan_dir: the workdir of `create_gan_stages`.
      classifier_dir: the workdir of `create_classifier_stage`.

    Returns:
      The stage.
    """

    def score() -> None:
        similarity.score_similarity(
            os.path.join(classifier_dir, "classifier"),
            [os.path.join(gan_dir, f"synthetic_{noise}") for noise in ("training", "new")],
            os.path.join(workdir, "scores.csv"),
            # An experiment may go on with the same prints from elsewhere.
            data_overrides={name: config.data[name] for name in _PLACE_FIELDS},
            evaluation_overrides=config.evaluation.to_dict(),
        )

    return Stage("score the similarity", score, ("scores.csv",), fields=("evaluation.num_",))


def reproduce(config: ConfigDict, workdir: str) -> str:
    """Run every stage that is not done yet.

    Everything that a user can get wrong is checked before the first stage.

    Args:
      config: the experiment's config.
      workdir: where everything goes.

    Returns:
      The text to show: table 2's row beside the paper's, the controls, and where everything lies.

    Raises:
      UserError: the config, the data or the workdir is not as it must be.
    """
    with hold_experiment(config, workdir):
        run_stages(create_stages(config, workdir), config, workdir)
    return _describe(config, workdir)


@contextlib.contextmanager
def hold_experiment(
    config: ConfigDict, workdir: str, check: Callable[[ConfigDict, str], str] | None = None
) -> Iterator[None]:
    """Check everything, then keep a workdir for this process and this experiment within a `with` block.

    Args:
      config: the experiment's config.
      workdir: where everything goes; made if missing.
      check: of the config and the workdir, to the hash of the data; None is `check_experiment`.

    Raises:
      UserError: as `check`, or another process works in the workdir.
    """
    data_hash = (check or check_experiment)(config, workdir)
    with hold_folder(workdir):
        claim_workdir(workdir, config, prefixes=EXPERIMENT_FIELDS)
        with write_whole(os.path.join(workdir, _HASH_FILENAME)) as file:
            file.write(f"{data_hash}\n")
        yield


def check_experiment(config: ConfigDict, workdir: str) -> str:
    """Check what would otherwise show only after hours, and write nothing.

    Args:
      config: the experiment's config.
      workdir: where everything is to go.

    Returns:
      The hash of the data.

    Raises:
      UserError: the config, the data or the workdir is not as it must be.
    """
    validate_config(config)
    if config.data.source not in PERSON_SOURCES:
        raise UserError(
            f"config.data.source={config.data.source!r}: table 2 needs to know each print's person; use one of "
            f"{', '.join(PERSON_SOURCES)}, or train alone with python -m launch.train_gan"
        )
    factory.create_generator(config)
    factory.create_discriminator(config)
    factory.create_classifier(config, num_classes=count_persons(config) or 2)
    parallel.check_batch_size(config.global_batch_size, "config.global_batch_size")
    parallel.check_batch_size(config.classifier.global_batch_size, "config.classifier.global_batch_size")
    source = feeding.create_classifier_source(config)
    if config.data.feeding == "device":
        # The pairs are at least as large.
        feeding.create_gan_source(config).check_device_size()
    check_workdir(config, workdir, source.data_hash)
    return source.data_hash


def check_workdir(config: ConfigDict, workdir: str, data_hash: str) -> None:
    """Check that what is there was made with this config from these prints.

    Args:
      config: the experiment's config.
      workdir: where everything is to go.
      data_hash: of the prints.

    Raises:
      UserError: it was not.
    """
    path = os.path.join(workdir, _HASH_FILENAME)
    if os.path.exists(path):
        with open(path, encoding="utf-8") as file:
            if file.read().strip() != data_hash:
                raise UserError(
                    f"{workdir}: this experiment was made from other prints than those in "
                    f"{print_loading.describe_origin(config.data)}; use another --workdir"
                )
    claim_workdir(workdir, config, prefixes=EXPERIMENT_FIELDS, is_writer=False)


def run_stages(stages: list[Stage], config: ConfigDict, workdir: str) -> None:
    """Run the stages that are not done, and all that follow one that was run.

    Args:
      stages: in order.
      config: the experiment's config.
      workdir: its `done/` keeps a mark for each finished stage.
    """
    os.makedirs(os.path.join(workdir, "done"), exist_ok=True)
    is_stale = False
    for number, stage in enumerate(stages, start=1):
        mark = _name_mark(workdir, number, stage)
        flat = flatten_config(config)
        settings = {name: flat[name] for name in sorted(flat) if name.startswith(stage.fields or ("\0",))}
        settings = json.loads(json.dumps(settings))  # as they come back: tuples as lists
        header = f"[{number}/{len(stages)}] {stage.name}"
        if not is_stale and _is_done(stage, mark, settings, workdir):
            print(f"{header}: done before", flush=True)
            continue
        # What follows was made from the old outputs.
        is_stale = True
        if os.path.exists(mark):
            os.remove(mark)
        print(header, flush=True)
        start = time.monotonic()
        stage.run()
        seconds = round(time.monotonic() - start, 1)
        with write_whole(mark) as file:
            outputs = _hash_outputs(stage, workdir)
            json.dump({"seconds": seconds, "settings": settings, "outputs": outputs}, file)


def read_seconds(stages: list[Stage], workdir: str) -> dict[str, float]:
    """Read how long finished stages took.

    Args:
      stages: in order.
      workdir: as of `run_stages`.

    Returns:
      A stage's name -> seconds of the run that finished it: what an interrupted run did before is not in them.
    """
    seconds = {}
    for number, stage in enumerate(stages, start=1):
        seconds[stage.name] = read_json(_name_mark(workdir, number, stage))["seconds"]
    return seconds


def _name_mark(workdir: str, number: int, stage: Stage) -> str:
    return os.path.join(workdir, "done", f"{number}_{stage.name.replace(' ', '_')}.json")


def _is_done(stage: Stage, mark: str, settings: dict, workdir: str) -> bool:
    try:
        found = read_json(mark)
        is_same = found["settings"] == settings
    except (OSError, ValueError, KeyError, TypeError):
        return False
    outputs = _hash_outputs(stage, workdir)
    # A mark from before outputs were hashed says nothing of their contents.
    return is_same and None not in outputs.values() and found.get("outputs", outputs) == outputs


def _hash_outputs(stage: Stage, workdir: str) -> dict[str, str | None]:
    """Hash each output's contents, of checkpoints their own sums; None for one that is missing."""

    def hash_output(path: str) -> str | None:
        if os.path.isdir(path):
            sums = glob.glob(os.path.join(glob.escape(path), "*", CHECKSUMS_FILENAME))
            return " ".join(sorted(map(hash_file, sums)))
        return hash_file(path) if os.path.exists(path) else None

    return {name: hash_output(os.path.join(workdir, name)) for name in stage.outputs}


def _describe(config: ConfigDict, workdir: str) -> str:
    def read(name: str) -> str:
        with open(os.path.join(workdir, name), encoding="utf-8") as file:
            return file.read()

    width = max(map(len, _PLACES))
    lines = [f"  {name.ljust(width)}  {meaning}" for name, meaning in _PLACES.items()]
    deviation = table2.describe_std(config.evaluation.std_over, config.evaluation.std_ddof)
    return "\n".join(
        [
            "",
            "Table 2",
            read("table2.txt") + f"({deviation})",
            "",
            "Controls, scored by the same classifier",
            read("controls.txt"),
            f"Everything lies in {workdir}:",
            *lines,
        ]
    )
