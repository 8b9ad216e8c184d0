"""Owns the import of Keras's files into a workdir, and the export of a workdir's classifier."""

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
    """Start a run of the classifier from the weights in a file of Keras.

    Args:
      config: config of the run. Its classifier must be that of the file, except for the number of classes.
      workdir: folder of the run, without checkpoints; created if missing.
      path: a `.weights.h5`, `.h5` or `.keras` file.

    Raises:
      UserError: the file cannot be read or holds another network, or an error of
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
    """Raise a `UserError` if the weights have another width or depth than the config."""
    settings = config.classifier
    num_features = params["block1_conv1"]["kernel"].shape[-1]
    # Four blocks come before the middle ones, and two after.
    num_blocks = len({name.partition("_")[0] for name in params if name.startswith("block")}) - 6
    classifier = factory.create_classifier(config, num_classes=2)
    if (num_features, num_blocks) != (classifier.scale(32), settings.num_middle_blocks):
        raise UserError(
            f"{path}: holds an Xception of width {num_features / 32:.4g} with {num_blocks} middle blocks, but "
            f"config.classifier.width={settings.width} and num_middle_blocks={settings.num_middle_blocks}; set both as "
            "in the file"
        )


def export_run(workdir: str, out_dir: str, *, step: int | str | None = None) -> str:
    """Export the classifier of a run of `launch.train_classifier` to a file of Keras.

    Args:
      out_dir: folder for `xception.weights.h5`; created if missing.
      step: step of the checkpoint, or "best" by the run's own metric; the last one by default.

    Returns:
      One line with the path, and the call with which Keras builds the network.

    Raises:
      UserError: there is no such checkpoint, Keras has no such network, or out_dir is not writable.
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
