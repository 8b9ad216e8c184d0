"""Whole runs of the classifier from Keras's files and back."""

import functools
import shutil

import jax
import numpy as np
import pytest

from configs import test_size
from fpgan_jax.data import feeding
from fpgan_jax.data.prints import PrintSet
from fpgan_jax.errors import UserError
from fpgan_jax.models import factory
from fpgan_jax.training import classifier_trainer
from fpgan_jax.training.checkpoints.restore import restore_for_evaluation
from third_party.keras_xception import runs, weights


def create_config():
    config = test_size.get_config()
    config.data.socofing_dir = "unused"
    config.data.image_size = 72
    config.classifier.num_steps = 2
    return config


def create_source(config):
    images = np.random.default_rng(0).integers(0, 256, (2, 72, 72, 1), np.uint8)
    prints = PrintSet(images, np.array([1, 2], np.int32), ("1", "2"))
    return feeding.create_classifier_source_from_prints(config, prints)


@pytest.fixture(name="first", scope="module")
def _first(tmp_path_factory):
    """Write random weights as Keras's file, and start a run from it: (workdir, path, variables)."""
    folder, config = tmp_path_factory.mktemp("first"), create_config()
    network = factory.create_classifier(config, num_classes=2)
    shapes = jax.eval_shape(
        functools.partial(network.init, deterministic=True, use_running_average=False),
        jax.random.key(0),
        np.zeros((1, 72, 72, 1), np.float32),
    )
    random = np.random.default_rng(0)
    variables = jax.tree.map(lambda leaf: random.uniform(0.5, 1, leaf.shape).astype(np.float32), shapes)
    path = folder / "xception.weights.h5"
    weights.export_classifier(variables, path)
    runs.import_run(config, str(folder / "run"), str(path), create_source(config))
    return folder / "run", path, variables


def test_a_run_starts_from_kerass_file(first):
    step, trees, _ = restore_for_evaluation(str(first[0]), ("classifier",))
    assert step == 0
    jax.tree.map(np.testing.assert_array_equal, trees["classifier"], first[2])


@pytest.mark.slow
def test_training_goes_on_from_kerass_file(first, tmp_path):
    shutil.copytree(first[0], tmp_path / "run")
    config = create_config()
    state = classifier_trainer.train_and_evaluate(config, str(tmp_path / "run"), create_source(config))
    assert int(state.step) == 2
    # Two steps move a weight by twice the rate at most.
    trained, drawn = (tree["predictions"]["kernel"] for tree in (state.classifier.params, first[2]["params"]))
    assert 0 < np.abs(trained - drawn).max() < 0.01


def test_another_width_than_the_files_is_named(first, tmp_path):
    config = create_config()
    config.classifier.width = 0.1
    message = (
        r"an Xception of width 0\.0625 with 0 middle .* but config\.classifier\.width=0\.1 and num_middle_b"
    )
    with pytest.raises(UserError, match=message):
        runs.import_run(config, str(tmp_path / "run"), str(first[1]), create_source(config))
    # The corrected command is not of another config than the workdir's.
    assert not (tmp_path / "run").exists()


def test_an_xception_that_keras_has_not_is_not_exported(first, tmp_path):
    with pytest.raises(UserError, match=r"config\.classifier\.width=0\.05"):
        runs.export_run(str(first[0]), str(tmp_path / "files"))
    assert not (tmp_path / "files").exists()
