"""Whole runs of the classifier from Keras's files and back."""

import jax
import numpy as np
import pytest

from configs import test_size
from fpgan_jax.data import feeding
from fpgan_jax.data.prints import PrintSet
from fpgan_jax.errors import UserError
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
    """Train a little, and write what came out as Keras's file: (workdir, path)."""
    folder, config = tmp_path_factory.mktemp("first"), create_config()
    state = classifier_trainer.train_and_evaluate(config, str(folder / "run"), create_source(config))
    network = jax.tree.map(np.asarray, state.classifier)
    path = folder / "xception.weights.h5"
    weights.export_classifier({"params": network.params, "batch_stats": network.batch_stats}, path)
    return folder / "run", path


@pytest.mark.slow
def test_training_goes_on_from_kerass_file(first, tmp_path):
    (workdir, path), config = first, create_config()
    runs.import_run(config, str(tmp_path / "run"), str(path), create_source(config))
    _, before, _ = restore_for_evaluation(str(workdir), ("classifier",))
    step, after, _ = restore_for_evaluation(str(tmp_path / "run"), ("classifier",))
    assert step == 0
    jax.tree.map(np.testing.assert_array_equal, after["classifier"], before["classifier"])
    state = classifier_trainer.train_and_evaluate(config, str(tmp_path / "run"), create_source(config))
    assert int(state.step) == 2


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
