"""Owns the way between our runs' workdirs and Keras's files of Xception.

Does not know the files' layout; `weights.py` does.
"""

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from fpgan_jax.config.checks import validate_config
from fpgan_jax.config.derived import image_shape, resolve_seed
from fpgan_jax.config.files import restore_config
from fpgan_jax.data import feeding
from fpgan_jax.errors import UserError
from fpgan_jax.models import factory
from fpgan_jax.training import classifier_trainer
from fpgan_jax.training.checkpoints.restore import restore_for_evaluation
from third_party.keras_xception import weights

WEIGHTS_FILE = "xception.weights.h5"


def import_run(config: ConfigDict, workdir: str, path: str, source: Any = None) -> None:
    """Start a run of the classifier from the weights in a file of Keras's.

    Args:
      config: the run's; its classifier must be that of the file, but for the number of classes.
      workdir: the run's folder, without checkpoints; made if missing.
      path: `.weights.h5`, `.h5` or `.keras`.
      source: the training prints; by default the config's own.

    Raises:
      UserError: the file cannot be read or holds another network, or as of
        `classifier_trainer.start_from_weights`.
    """
    validate_config(config, needs_data=source is None)
    source = feeding.create_classifier_source(config) if source is None else source
    variables = weights.import_classifier(
        path,
        num_classes=len(source.persons),
        num_channels=config.data.num_channels,
        seed=resolve_seed(config, "classifier.weights_seed"),
    )
    _check_size(config, path, variables["params"])
    classifier_trainer.start_from_weights(config, workdir, variables, source)


def _check_size(config: ConfigDict, path: str, params: Mapping[str, Mapping[str, np.ndarray]]) -> None:
    """Refuse weights of another width or depth than the config's."""
    settings = config.classifier
    num_features = params["block1_conv1"]["kernel"].shape[-1]
    # Of all blocks four come before the middle ones, and two after.
    num_blocks = len({name.partition("_")[0] for name in params if name.startswith("block")}) - 6
    classifier = factory.create_classifier(config, num_classes=2)
    if (num_features, num_blocks) != (classifier.scale(32), settings.num_middle_blocks):
        raise UserError(
            f"{path}: an Xception of width {num_features / 32:.4g} with {num_blocks} middle blocks, and the config has "
            f"config.classifier.width={settings.width}, num_middle_blocks={settings.num_middle_blocks}; set both as in "
            "the file"
        )


def export_run(workdir: str, out_dir: str, *, step: int | str | None = None) -> str:
    """Write a run's classifier as a file of Keras's.

    Args:
      workdir: of `launch.train_classifier`.
      out_dir: where `xception.weights.h5` goes; made if missing.
      step: which checkpoint; the last by default, "best" by the run's own metric.

    Returns:
      A line that says what was written, and how Keras reads it.

    Raises:
      UserError: there is no such checkpoint, Keras has no such network, or out_dir cannot be written.
    """
    step, trees, metadata = restore_for_evaluation(workdir, ("classifier",), step)
    config = restore_config(metadata, workdir)
    settings = config.classifier
    if (settings.width, settings.num_middle_blocks) != (1.0, 8):
        raise UserError(
            f"{workdir}: config.classifier.width={settings.width}, "
            f"config.classifier.num_middle_blocks={settings.num_middle_blocks}; keras.applications.Xception has 1 and 8"
        )
    path = os.path.join(out_dir, WEIGHTS_FILE)
    try:
        os.makedirs(out_dir, exist_ok=True)
    except OSError as error:
        raise UserError(f"--out_dir={out_dir}: cannot be made ({error.strerror})") from error
    weights.export_classifier(trees["classifier"], path)
    shape = image_shape(config.data)
    return (
        f"{path}: the classifier of step {step}, for keras.applications.Xception(weights=None, "
        f"input_shape={shape}, classes={len(metadata['persons'])})"
    )
