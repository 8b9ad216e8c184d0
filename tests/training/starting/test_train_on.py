"""A run that is trained on in its workdir: what may change, what that gives, and what is written of it."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from fpgan_jax.config.fields import FIELDS
from fpgan_jax.config.identity import CLASSIFIER_FIELDS, GAN_FIELDS, TRAIN_ON_FIELDS
from fpgan_jax.errors import UserError
from fpgan_jax.training import optimizers
from fpgan_jax.training.checkpoints.restore import restore_for_evaluation
from fpgan_jax.training.starting.history import read_history
from tests.training import test_dispatch, test_loop, test_resume, tiny

pytestmark = pytest.mark.usefixtures("shared_programs")


def read_config(workdir):
    return json.loads((workdir / "config.json").read_text())


# On a training of one number, whose config has one field that may change.


def train_number(workdir, num_steps, *, rate=0.9, epochs=None, **changes):
    config = ConfigDict({"rate": rate, "num_epochs": num_steps if epochs is None else epochs})
    schedule = {"num_steps": num_steps, "steps_per_dispatch": 1, "log_every_steps": 3}
    return test_loop.train(workdir, config=config, schedule=schedule, **changes)


def test_a_run_that_is_trained_on_is_the_longer_run(tmp_path):
    train_number(tmp_path / "on", 6)
    assert train_number(tmp_path / "on", 12).value == train_number(tmp_path / "whole", 12).value
    files = [(tmp_path / name / "metrics.csv").read_bytes() for name in ("on", "whole")]
    assert files[0] == files[1]
    # 6 is no multiple of 5, at which checkpoints are due: the end of the first part has one.
    kept = [{path.name for path in (tmp_path / name / "checkpoints").iterdir()} for name in ("on", "whole")]
    assert kept[0] >= kept[1] >= {"10", "12"}


def test_what_changed_is_written_with_its_step(tmp_path, caplog):
    train_number(tmp_path, 6)
    assert read_history(str(tmp_path)) == [] and not (tmp_path / "config_history.json").exists()
    train_number(tmp_path, 12)
    train_number(tmp_path, 14)
    assert json.loads((tmp_path / "config_history.json").read_text()) == [
        {"step": 6, "changes": {"config.num_epochs": {"was": 6, "is": 12}}},
        {"step": 12, "changes": {"config.num_epochs": {"was": 12, "is": 14}}},
    ]
    assert f"{tmp_path}: trained on from step 6: config.num_epochs was 6, is 12" in caplog.text
    assert read_config(tmp_path)["num_epochs"] == 14
    assert restore_for_evaluation(str(tmp_path), ())[2]["config"]["num_epochs"] == 14


def test_the_same_config_again_leaves_the_history_as_it_is(tmp_path):
    for num_steps in (6, 12, 12):
        train_number(tmp_path, num_steps)
    assert [entry["step"] for entry in read_history(str(tmp_path))] == [6]


class Killed(Exception):
    """Stands for the moment at which a process ends."""


def create_batches_until(step):
    def create(start_step, num_steps):
        for current, batch in enumerate(test_loop.create_batches(start_step, num_steps), start=start_step):
            if current == step:
                raise Killed
            yield batch

    return test_loop.NumberFeed(create)


def test_a_change_that_no_checkpoint_was_saved_with_is_replaced_by_the_next(tmp_path):
    train_number(tmp_path, 6)
    with pytest.raises(Killed):
        train_number(tmp_path, 20, feed=create_batches_until(8))
    assert read_history(str(tmp_path))[-1]["changes"]["config.num_epochs"] == {"was": 6, "is": 20}
    train_number(tmp_path, 9)
    assert read_history(str(tmp_path)) == [{"step": 6, "changes": {"config.num_epochs": {"was": 6, "is": 9}}}]


def test_a_run_killed_while_it_is_trained_on_is_resumed_bit_for_bit(tmp_path):
    train_number(tmp_path / "on", 6)
    for killed_at in (8, 11):
        with pytest.raises(Killed):
            train_number(tmp_path / "on", 12, feed=create_batches_until(killed_at))
    assert train_number(tmp_path / "on", 12).value == train_number(tmp_path / "whole", 12).value
    files = [(tmp_path / name / "metrics.csv").read_bytes() for name in ("on", "whole")]
    assert files[0] == files[1]
    assert [entry["step"] for entry in read_history(str(tmp_path / "on"))] == [6]


@pytest.mark.parametrize("is_config_file_there", [True, False])
def test_a_field_that_decides_what_is_trained_is_refused_and_nothing_is_changed(
    tmp_path, is_config_file_there
):
    train_number(tmp_path, 6)
    if not is_config_file_there:
        (tmp_path / "config.json").unlink()
    before = sorted(path for path in tmp_path.rglob("*"))
    with pytest.raises(UserError, match=r"another config \(config\.rate was 0\.9, is 0\.5\); use another"):
        train_number(tmp_path, 12, rate=0.5)
    assert sorted(path for path in tmp_path.rglob("*")) == before
    if is_config_file_there:
        assert read_config(tmp_path) == {"rate": 0.9, "num_epochs": 6}


def test_fewer_steps_than_were_taken_are_refused(tmp_path):
    train_number(tmp_path, 12)
    with pytest.raises(
        UserError,
        match=r"is at step 12, and this config ends at step 6 \(config\.num_epochs was 12, is 6\); train for",
    ):
        train_number(tmp_path, 6)
    assert read_config(tmp_path)["num_epochs"] == 12


def test_other_data_leave_the_config_as_it_is(tmp_path):
    train_number(tmp_path, 6)
    feed = test_loop.NumberFeed()
    feed.data_hash = "4567"
    with pytest.raises(UserError, match="trained on other data"):
        train_number(tmp_path, 12, feed=feed)
    assert read_config(tmp_path)["num_epochs"] == 6


def test_only_fields_of_a_training_may_change_and_none_of_its_data_and_networks():
    assert set(FIELDS) >= TRAIN_ON_FIELDS
    assert all(name.startswith((*GAN_FIELDS, *CLASSIFIER_FIELDS)) for name in TRAIN_ON_FIELDS)
    assert not any(name.startswith(("data.", "generator.", "discriminator.")) for name in TRAIN_ON_FIELDS)


# What a rate is after a change.


def read_gan_rates(num_steps, **fields):
    """Return the rates of the GAN's steps: the parts of a gradient of 1 that Adam, sure of it, subtracts."""
    config = tiny.create_config()
    config.update_from_flattened_dict(fields)
    return read_rates(optimizers.create_gan_optimizer(config, num_examples=12), num_steps)


def read_rates(tx, num_steps):
    params, rates = {"w": jnp.zeros(())}, []
    state = tx.init(params)
    for _ in range(num_steps):
        updates, state = tx.update({"w": jnp.ones(())}, state, params)
        rates.append(-float(updates["w"]))
    return rates


def test_a_rate_is_that_of_the_step_under_the_new_config():
    # Three steps an epoch. Of two epochs with one of decay, and of four with one.
    short = read_gan_rates(6, num_epochs=2, num_decay_epochs=1)
    long = read_gan_rates(12, num_epochs=4, num_decay_epochs=1)
    rate = 2e-4
    np.testing.assert_allclose(short, [rate / 2] * 3 + [0] * 3, rtol=1e-5, atol=1e-9)
    np.testing.assert_allclose(long, [rate] * 6 + [rate / 2] * 3 + [0] * 3, rtol=1e-5, atol=1e-9)


def test_a_classifiers_rate_rises_again_when_it_is_trained_on():
    def read(num_steps):
        config = tiny.create_config()
        config.classifier.num_steps, config.classifier.weight_decay = num_steps, 0.0
        return read_rates(optimizers.create_classifier_optimizer(config), num_steps)

    # A cosine from 1e-3: after 3 of 4 steps (1 + cos(3/4 pi)) / 2 of it, after 4 of 8 the half.
    np.testing.assert_allclose(read(4)[3], 1e-3 * (1 - np.sqrt(0.5)) / 2, rtol=1e-4)
    np.testing.assert_allclose(read(8)[4], 0.5e-3, rtol=1e-4)


# The trainings themselves.


@pytest.mark.slow
@pytest.mark.optimized
def test_a_gan_of_two_epochs_trained_on_to_four_is_one_of_four(tmp_path):
    def create_config(num_epochs):
        config = test_resume.create_config()
        config.num_epochs, config.sample_epochs = num_epochs, (1, 4)
        return config

    test_resume.train(tmp_path / "on", create_config(2))
    with pytest.raises(test_resume.Killed):
        test_resume.train(tmp_path / "on", create_config(4), killed_before_step=10)
    on = test_resume.train(tmp_path / "on", create_config(4))
    whole = test_resume.train(tmp_path / "whole", create_config(4))
    assert int(on.step) == 12
    jax.tree.map(np.testing.assert_array_equal, on, whole)
    names = ("metrics.csv", "samples/epoch_0001.png", "samples/epoch_0004.png")
    for name in names:
        assert (tmp_path / "on" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert read_history(str(tmp_path / "on")) == [
        {"step": 6, "changes": {"config.num_epochs": {"was": 2, "is": 4}}}
    ]


def test_a_classifier_is_trained_on_with_another_rate(tmp_path):
    test_dispatch.train_classifier(tmp_path)
    changes = {"classifier.num_steps": 8, "classifier.learning_rate": 1e-4}
    assert int(test_dispatch.train_classifier(tmp_path, **changes).step) == 8
    assert read_history(str(tmp_path)) == [
        {
            "step": 6,
            "changes": {
                "config.classifier.learning_rate": {"was": 1e-3, "is": 1e-4},
                "config.classifier.num_steps": {"was": 6, "is": 8},
            },
        }
    ]
    with pytest.raises(UserError, match=r"config\.classifier\.weight_decay was 0\.0001, is 0\.5"):
        test_dispatch.train_classifier(tmp_path, **changes, **{"classifier.weight_decay": 0.5})
