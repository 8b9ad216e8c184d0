"""The classifier's training: resumed bit for bit, and refused what it cannot learn from."""

import jax
import numpy as np
import pytest
from flax import linen as nn

from configs import test_size
from fpgan_jax.data import feeding
from fpgan_jax.data.prints import PrintSet
from fpgan_jax.errors import UserError
from fpgan_jax.training import classifier_trainer
from fpgan_jax.training.checkpoints.restore import restore_for_evaluation


class SmallClassifier(nn.Module):
    """What a run must take up again of Xception's, in a network that compiles in a second."""

    num_classes: int

    @nn.compact
    def __call__(self, images, *, deterministic, use_running_average):
        """Return logits [batch, num_classes]."""
        features = nn.Conv(4, (8, 8), strides=8)(images)
        features = nn.relu(nn.BatchNorm(use_running_average, momentum=0.9)(features)).mean((1, 2))
        return nn.Dense(self.num_classes)(nn.Dropout(0.5)(features, deterministic=deterministic))


def create_config():
    config = test_size.get_config()
    config.data.socofing_dir = "unused"
    config.data.image_size = 72
    return config


def train(workdir, num_batches=None):
    """Train four steps, of which the data last for `num_batches`."""
    config = create_config()
    images = np.random.default_rng(0).integers(0, 256, (3, 72, 72, 1), np.uint8)
    prints = PrintSet(images, np.array([2, 5, 9], np.int32), ("2", "5", "9"))
    source = feeding.create_classifier_source_from_prints(config, prints)
    create_batches = source.create_batches

    def create_some_batches(start_step, num_steps, **processes):
        return create_batches(start_step, min(num_steps, num_batches or num_steps), **processes)

    source.create_batches = create_some_batches
    return classifier_trainer.train_and_evaluate(config, str(workdir), source)


def test_a_resumed_run_is_the_run_that_never_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr(
        classifier_trainer.factory,
        "create_classifier",
        lambda config, num_classes: SmallClassifier(num_classes),
    )
    with pytest.raises(StopIteration):
        train(tmp_path / "stopped", num_batches=3)
    resumed, whole = train(tmp_path / "stopped"), train(tmp_path / "whole")
    jax.tree.map(np.testing.assert_array_equal, resumed, whole)
    files = [(tmp_path / name / "metrics.csv").read_bytes() for name in ("stopped", "whole")]
    assert files[0] == files[1]
    _, _, metadata = restore_for_evaluation(str(tmp_path / "whole"), ("classifier",))
    assert metadata["persons"] == [2, 5, 9]


def test_a_folder_of_pairs_is_refused(tmp_path):
    config = create_config()
    config.data.source, config.data.paired_dir = "paired_folder", "pairs"
    with pytest.raises(UserError, match=r"config\.data\.source='paired_folder': the classifier needs"):
        classifier_trainer.train_and_evaluate(config, str(tmp_path))


@pytest.mark.parametrize(("field", "value"), [("data.image_size", 64), ("data.num_persons", 1)])
def test_what_no_classifier_learns_from_is_refused_before_prints_are_prepared(
    tmp_path, monkeypatch, field, value
):
    monkeypatch.setattr(feeding, "create_classifier_source", lambda config: pytest.fail("prepared"))
    config = create_config()
    config.update_from_flattened_dict({"evaluation.num_test_persons": 1, field: value})
    with pytest.raises(UserError, match=r"config\.data"):
        classifier_trainer.train_and_evaluate(config, str(tmp_path / "run"))
    assert not (tmp_path / "run").exists()
