"""A new run that starts from another run's weights."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from fpgan_jax.data import feeding
from fpgan_jax.data.prints import PrintSet
from fpgan_jax.errors import UserError
from fpgan_jax.models import factory
from fpgan_jax.models.xception import HEAD
from fpgan_jax.training import classifier_trainer, gan_trainer, loop
from fpgan_jax.training.checkpoints.restore import restore_for_evaluation
from fpgan_jax.training.starting import start
from fpgan_jax.training.starting.history import read_history
from tests.training import test_resume, tiny

pytestmark = pytest.mark.usefixtures("shared_programs")

NETWORKS = ("generator", "discriminator")


def create_config(**changes):
    config = tiny.create_config()
    config.num_epochs, config.sample_epochs, config.ema_decay = 1, (), 0.5
    config.update_from_flattened_dict(changes)
    return config


def train(workdir, *, init_from=None, killed_before_step=None, **changes):
    config = create_config(**changes)
    source = tiny.create_source(config)
    if killed_before_step is not None:
        create_batches = source.create_batches

        def create_until_killed(*args, **processes):
            for step, batch in enumerate(create_batches(*args, **processes), start=args[0]):
                if step == killed_before_step:
                    raise test_resume.Killed
                yield batch

        source.create_batches = create_until_killed
    init_from = init_from and str(init_from)
    return gan_trainer.train_and_evaluate(config, str(workdir), source, init_from=init_from)


@pytest.fixture(scope="module")
def source_run(tmp_path_factory):
    """Train an epoch; return the workdir."""
    workdir = tmp_path_factory.mktemp("source")
    train(workdir)
    return workdir


def assert_equal(tree, expected):
    jax.tree.map(np.testing.assert_array_equal, tree, expected)


def test_a_new_run_starts_at_step_0_from_the_others_weights(source_run, tmp_path):
    # Killed before the first step: its only checkpoint is that of the start.
    changes = {"lambda_l1": 10.0, "data.shuffle_seed": 7, "weights_seed": 3}
    with pytest.raises(test_resume.Killed):
        train(tmp_path, init_from=source_run, killed_before_step=0, **changes)
    step, trees, metadata = restore_for_evaluation(
        str(tmp_path), (*NETWORKS, "generator_ema", "training"), None
    )
    source_step, source_trees, source_metadata = restore_for_evaluation(str(source_run), NETWORKS)
    assert (step, source_step) == (0, 3)
    assert_equal({name: trees[name] for name in NETWORKS}, source_trees)
    assert_equal(trees["generator_ema"], source_trees["generator"])
    # Optimizers of its own.
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(trees["training"]))
    origin = {
        "workdir": str(source_run),
        "step": 3,
        "config_hash": source_metadata["config_hash"],
        "data_hash": source_metadata["data_hash"],
    }
    assert metadata["init_from"] == origin
    assert read_history(str(tmp_path)) == [{"step": 0, "init_from": origin}]
    assert json.loads((tmp_path / "config.json").read_text())["lambda_l1"] == 10.0


@pytest.mark.seconds(10)
def test_it_is_resumed_with_and_without_the_flag_and_keeps_its_origin(source_run, tmp_path):
    whole = train(tmp_path / "whole", init_from=source_run)
    with pytest.raises(test_resume.Killed):
        train(tmp_path / "run", init_from=source_run, killed_before_step=1)
    assert_equal(train(tmp_path / "run"), whole)
    train(tmp_path / "run", init_from=source_run, num_epochs=2)
    assert restore_for_evaluation(str(tmp_path / "run"), ())[2]["init_from"]["workdir"] == str(source_run)
    assert [entry["step"] for entry in read_history(str(tmp_path / "run"))] == [0, 3]


@pytest.mark.seconds(10)
def test_a_run_killed_before_its_first_checkpoint_needs_its_origin_again(source_run, tmp_path, monkeypatch):
    def kill(*args, **kwargs):
        raise test_resume.Killed

    with monkeypatch.context() as patch, pytest.raises(test_resume.Killed):
        patch.setattr(start, "save_checkpoint", kill)
        train(tmp_path, init_from=source_run)
    history = read_history(str(tmp_path))
    # From random weights it would be another run.
    with pytest.raises(UserError, match=f"no checkpoint of its own; give --init_from={source_run} again"):
        train(tmp_path)
    assert read_history(str(tmp_path)) == history
    with pytest.raises(test_resume.Killed):
        train(tmp_path, init_from=source_run, killed_before_step=0)
    assert restore_for_evaluation(str(tmp_path), ())[2]["init_from"]["workdir"] == str(source_run)


def test_another_origin_than_that_of_the_run_is_refused(source_run, tmp_path):
    with pytest.raises(
        UserError, match=r"--init_from=.*: the run in .* did not start from another run; leave"
    ):
        train(source_run, init_from=tmp_path)


def test_other_networks_are_refused_by_field(source_run, tmp_path):
    changes = {"generator.num_features": 4, "generator.dropout_rate": 0.5}
    with pytest.raises(
        UserError,
        match=r"its networks are not those of this config \(config\.generator\.num_features was 2, is 4\); set",
    ):
        train(tmp_path / "run", init_from=source_run, **changes)
    assert not (tmp_path / "run").exists()


def test_a_folder_without_a_run_is_named(tmp_path):
    with pytest.raises(UserError, match=r"empty: no checkpoints here"):
        train(tmp_path / "run", init_from=tmp_path / "empty")


class HeadedClassifier(nn.Module):
    """A convolution, and Xception's last layer."""

    num_classes: int

    @nn.compact
    def __call__(self, images, *, deterministic, use_running_average):
        """Return logits [batch, num_classes]."""
        features = nn.Conv(4, (8, 8), strides=8, name="conv")(images)
        mean = self.variable("batch_stats", "mean", lambda: jnp.zeros(()))
        mean.value = features.mean()
        return nn.Dense(self.num_classes, name=HEAD)(features.mean((1, 2)))


def train_classifier(workdir, persons, monkeypatch, *, init_from=None, seed=0):
    monkeypatch.setattr(
        factory, "create_classifier", lambda config, num_classes: HeadedClassifier(num_classes)
    )
    config = tiny.create_config()
    config.classifier.global_batch_size, config.classifier.num_steps, config.seed = 2, 2, seed
    images = np.random.default_rng(0).integers(0, 256, (len(persons), 16, 16, 1), np.uint8)
    prints = PrintSet(images, np.array(persons, np.int32), tuple(map(str, persons)))
    source = feeding.create_classifier_source_from_prints(config, prints)
    return classifier_trainer.train_and_evaluate(config, str(workdir), source, init_from=init_from)


def test_a_classifier_of_other_persons_takes_all_but_the_last_layer(tmp_path, monkeypatch, caplog):
    source = tmp_path / "source"
    params = train_classifier(source, (1, 2, 3), monkeypatch).classifier.params
    # The states at the start are all that is looked at.
    monkeypatch.setattr(loop, "_run_steps", lambda training, state, *args: state)
    fresh = train_classifier(tmp_path / "fresh", (4, 5), monkeypatch, seed=1).classifier.params
    same = train_classifier(tmp_path / "same", (1, 2, 3), monkeypatch, init_from=str(source), seed=1)
    assert_equal(same.classifier.params, params)
    assert "last layer" not in caplog.text
    other = train_classifier(tmp_path / "other", (4, 5), monkeypatch, init_from=str(source), seed=1)
    assert_equal(other.classifier.params, {"conv": params["conv"], HEAD: fresh[HEAD]})
    assert f"{source}: has other persons; the classifier's last layer is initialized again" in caplog.text
