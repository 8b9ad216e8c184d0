"""Owns the training of experiment 2's classifier: which person is this print?"""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import optax
from flax import linen as nn
from ml_collections import ConfigDict

from fpgan_jax import parallel
from fpgan_jax.config.checks import validate_config
from fpgan_jax.config.derived import count_persons, image_shape
from fpgan_jax.config.fields import PERSON_SOURCES
from fpgan_jax.config.identity import CLASSIFIER_FIELDS
from fpgan_jax.data import augmentation, feeding
from fpgan_jax.data.preprocessing import scale_to_unit
from fpgan_jax.errors import UserError
from fpgan_jax.models import factory
from fpgan_jax.training import classifier_step, random_streams
from fpgan_jax.training.cadence import Schedule
from fpgan_jax.training.classifier_step import StepSettings
from fpgan_jax.training.feed import Feed
from fpgan_jax.training.loop import run_training
from fpgan_jax.training.optimizers import create_classifier_optimizer
from fpgan_jax.training.run import Training
from fpgan_jax.training.starting.origin import Origin, take_weights
from fpgan_jax.training.starting.start import check_claim, save_start
from fpgan_jax.training.state import ClassifierTrainState, create_classifier_state


def train_and_evaluate(
    config: ConfigDict,
    workdir: str,
    source: Any = None,
    *,
    may_start_anew: bool = False,
    init_from: str | None = None,
) -> ClassifierTrainState:
    """Train the classifier on a set's real prints; arguments, result and errors as in `gan_trainer.train_and_evaluate`.

    The default source is `feeding.create_classifier_source`. From a run of other persons (`init_from`) the last layer
    is not taken.
    """
    origin = None if init_from is None else Origin(init_from, ("classifier",))
    arguments = _create_training(config, workdir, source)
    return run_training(*arguments, may_start_anew=may_start_anew, origin=origin)


def start_from_weights(
    config: ConfigDict, workdir: str, variables: Mapping[str, Mapping], source: Any = None
) -> ClassifierTrainState:
    """Make a workdir with a checkpoint of given weights at step 0; see `gan_trainer.start_from_weights`.

    The variables, {"params": .., "batch_stats": ..} of arrays, have one class per person of the set.
    """
    training, state, _ = _create_training(config, workdir, source)
    return save_start(training, take_weights(state, {"classifier": variables}))


def _create_training(
    config: ConfigDict, workdir: str, source: Any
) -> tuple[Training, ClassifierTrainState, random_streams.StepKeys]:
    """Check everything, including the workdir, and bind what the loop runs: (training, state at step 0, keys)."""
    validate_config(config, needs_data=source is None)
    if config.data.source not in PERSON_SOURCES:
        raise UserError(
            f"config.data.source={config.data.source!r}: the classifier needs to know each print's person; "
            f"use one of {', '.join(PERSON_SOURCES)}"
        )
    settings = config.classifier
    parallel.check_batch_size(settings.global_batch_size, "config.classifier.global_batch_size")
    if source is None:
        # Checked before the prints are prepared, which writes files and shows how many persons "all" are.
        factory.create_classifier(config, num_classes=count_persons(config) or 2)
        with parallel.main_process_first("the data is prepared"):
            source = feeding.create_classifier_source(config)
    classifier = factory.create_classifier(config, num_classes=len(source.persons))
    tx = create_classifier_optimizer(config)
    training = Training(
        label="classifier",
        workdir=workdir,
        config=config,
        config_fields=CLASSIFIER_FIELDS,
        schedule=Schedule(
            num_steps=settings.num_steps,
            log_every_steps=settings.log_every_steps,
            checkpoint_every_steps=settings.checkpoint_every_steps,
            steps_per_dispatch=settings.steps_per_dispatch,
        ),
        feed=Feed(source, config.data.feeding),
        global_batch_size=settings.global_batch_size,
        step=bind_train_step(config, classifier=classifier, tx=tx),
        metric_names=("loss", "accuracy"),
        shown_metrics=("loss", "accuracy"),
        best_metric="loss",
        checks=(("classifier", "loss"), ("classifier", "gradient")),
        metadata={"persons": [int(person) for person in source.persons]},
    )
    check_claim(training)
    weights_key, step_keys = random_streams.create_keys(config, "classifier.")
    state = create_classifier_state(
        weights_key, classifier=classifier, tx=tx, image_shape=image_shape(config.data)
    )
    return training, state, step_keys


def bind_train_step(
    config: ConfigDict, *, classifier: nn.Module, tx: optax.GradientTransformation
) -> Callable:
    """Bind `classifier_step.train_step` to a config: (state, batch of bytes, base_keys) -> (state, metrics).

    It runs over `parallel.DEVICE_AXIS` and is not compiled.
    """
    settings = config.classifier
    return functools.partial(
        classifier_step.train_step,
        settings=StepSettings(classifier, tx, settings.label_smoothing, settings.remat),
        prepare_batch=functools.partial(prepare_batch, augmentation_config=settings.augmentation),
        axis_name=parallel.DEVICE_AXIS,
    )


def prepare_batch(
    key: jax.Array,
    batch: Mapping[str, jax.Array],
    *,
    first_index: int | jax.Array,
    augmentation_config: ConfigDict,
) -> jax.Array:
    """Scale a batch of bytes to the network's range and augment it; see `gan_trainer.prepare_batch`.

    Returns:
      Images, float32 [batch, height, width, channels], about [-1, 1].
    """
    images = scale_to_unit(batch["image"])
    return augmentation.augment_prints(key, images, augmentation_config, first_index=first_index)
