"""Owns the chain of stages from a config to table 2.

Does not own what a stage does, or when it is done (`stages.py`).
"""

import functools
import os
import pathlib
from collections.abc import Callable

from ml_collections import ConfigDict

from fpgan_jax import parallel
from fpgan_jax.config.checks import validate_config
from fpgan_jax.config.derived import count_persons, image_shape
from fpgan_jax.config.fields import PERSON_SOURCES, PLACE_FIELDS
from fpgan_jax.data import feeding
from fpgan_jax.errors import UserError
from fpgan_jax.models import factory
from fpgan_jax.reproduction.stages import Stage, check_workdir, describe_files, hold_experiment, run_stages
from fpgan_jax.scoring import figures, similarity, table2
from fpgan_jax.synthesis import drawing, manifest
from fpgan_jax.tables import formats
from fpgan_jax.training import classifier_trainer, gan_trainer

_FILES = {
    "figure3.png": "the prints after each sampled epoch (the paper's figure 3)",
    "losses.png": "the loss curves",
    "table2.{txt,md,csv,tex}": "the table, and controls.* beside it",
    "scores.csv": "one row per scored image",
    "synthetic_training/": "the synthetic prints with their manifest",
    "synthetic_new/": "the same from new noise",
    "gan/, classifier/": "config, metrics, TensorBoard events, samples, checkpoints",
}


def create_stages(config: ConfigDict, workdir: str) -> list[Stage]:
    """Create the stages of both experiments."""

    def make_table() -> None:
        scores, evaluation = os.path.join(workdir, "scores.csv"), config.evaluation
        table2.write_tables([scores], workdir, std_over=evaluation.std_over, std_ddof=evaluation.std_ddof)

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
    """Create the stages that need no classifier: training, synthesis from training and from new noise, figures."""
    gan = os.path.join(workdir, "gan")
    has_samples = config.num_samples > 0 and any(epoch <= config.num_epochs for epoch in config.sample_epochs)

    def create_synthesis(noise: str, meaning: str) -> Stage:
        folder, overrides = f"synthetic_{noise}", config.synthesis.to_dict() | {"noise": noise}
        run = functools.partial(drawing.synthesize, gan, os.path.join(workdir, folder), overrides=overrides)
        return Stage(f"synthesize from {meaning}", run, (f"{folder}/{manifest.MANIFEST_FILENAME}",))

    def draw() -> None:
        figures.draw_losses(gan, os.path.join(workdir, "losses.png"))
        if has_samples:
            path, tile_size = os.path.join(workdir, "figure3.png"), image_shape(config.data)[:2]
            figures.draw_epochs(gan, path, tile_size, config.data.condition)
        else:
            print("no epoch up to config.num_epochs is in config.sample_epochs: no figure 3", flush=True)

    return [
        create_training_stage("train the GAN", config, workdir),
        create_synthesis("training", "the training noise"),
        create_synthesis("new", "new noise"),
        Stage("draw the figures", draw, ("losses.png", "figure3.png")[: 1 + has_samples]),
    ]


def create_training_stage(name: str, config: ConfigDict, workdir: str) -> Stage:
    """Create the training of a GAN in the folder gan/ of the workdir."""
    gan = os.path.join(workdir, "gan")
    train = functools.partial(gan_trainer.train_and_evaluate, config, gan)
    return Stage(name, train, ("gan/metrics.csv", "gan/checkpoints"))


def create_classifier_stage(config: ConfigDict, workdir: str) -> Stage:
    """Create the training of the classifier in the folder classifier/ of the workdir."""
    classifier = os.path.join(workdir, "classifier")
    train = functools.partial(classifier_trainer.train_and_evaluate, config, classifier)
    return Stage("train the classifier", train, ("classifier/metrics.csv", "classifier/checkpoints"))


def create_score_stage(config: ConfigDict, workdir: str, *, gan_dir: str, classifier_dir: str) -> Stage:
    """Create the scoring of the prints in the workdir `gan_dir` by the classifier in `classifier_dir`."""

    def score() -> None:
        similarity.score_similarity(
            os.path.join(classifier_dir, "classifier"),
            [os.path.join(gan_dir, f"synthetic_{noise}") for noise in ("training", "new")],
            os.path.join(workdir, "scores.csv"),
            # The prints may have moved since the training.
            data_overrides={name: config.data[name] for name in ("source", *PLACE_FIELDS)},
            evaluation_overrides=config.evaluation.to_dict(),
        )

    return Stage("score the similarity", score, ("scores.csv",), fields=("evaluation.num_",))


def reproduce(config: ConfigDict, workdir: str) -> str:
    """Run every stage that is not done, after checking everything that a user can get wrong.

    Args:
      config: config of the experiment.
      workdir: folder of the experiment; created if missing.

    Returns:
      The text to show: our row of table 2 beside the paper's, the controls, and the list of files.

    Raises:
      UserError: the config, the data or the workdir is not valid.
    """
    with hold_experiment(config, workdir, check_experiment(config, workdir)):
        run_stages(create_stages(config, workdir), config, workdir)
    return _describe(config, workdir)


def check_experiment(config: ConfigDict, workdir: str) -> str:
    """Check everything that would otherwise fail only after hours, write nothing, and return the hash of the data.

    Raises:
      UserError: the config, the data or the workdir is not valid.
    """
    validate_config(config)
    if config.data.source not in PERSON_SOURCES:
        raise UserError(
            f"config.data.source={config.data.source!r}: table 2 needs to know each print's person; use one of "
            f"{', '.join(PERSON_SOURCES)}, or train alone with python -m launch.train_gan"
        )
    check_gan(config)
    factory.create_classifier(config, num_classes=count_persons(config) or 2)
    parallel.check_batch_size(config.classifier.global_batch_size, "config.classifier.global_batch_size")
    data_hash = feeding.create_classifier_source(config).data_hash
    if config.data.feeding == "device":
        # The pairs are at least as large as the prints.
        create_source(feeding.create_gan_source, config)
    check_workdir(config, workdir, data_hash)
    return data_hash


def check_gan(config: ConfigDict) -> None:
    """Check that the GAN can be built and its batches divide over the devices.

    Raises:
      UserError: it cannot, or they do not.
    """
    factory.create_generator(config)
    factory.create_discriminator(config)
    parallel.check_batch_size(config.global_batch_size, "config.global_batch_size")


def create_source(create: Callable[[ConfigDict], feeding.Source], config: ConfigDict) -> feeding.Source:
    """Create a source of examples, and check that they fit the devices if they are to be kept there.

    Raises:
      UserError: they do not, or an error of `create`.
    """
    source = create(config)
    if config.data.feeding == "device":
        source.check_device_size()
    return source


def _describe(config: ConfigDict, workdir: str) -> str:
    table, controls = (
        pathlib.Path(workdir, f"{name}.txt").read_text("utf-8") for name in ("table2", "controls")
    )
    deviation = table2.describe_std(config.evaluation.std_over, config.evaluation.std_ddof)
    return (
        f"\nTable 2\n{table}({deviation})\n\nControls, scored by the same classifier\n{controls}\n"
        f"{describe_files(workdir, _FILES)}"
    )
