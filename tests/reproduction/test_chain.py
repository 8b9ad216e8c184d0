"""The chain of both experiments: what is refused before the first stage."""

import pytest

from configs import test_size
from fpgan_jax.data import feeding
from fpgan_jax.errors import UserError
from fpgan_jax.reproduction.chain import create_stages, reproduce


@pytest.fixture
def config():
    config = test_size.get_config()
    config.data.socofing_dir = "prints"
    return config


@pytest.fixture
def without_stages(monkeypatch):
    """Let `reproduce` run no stage, on prints whose hash a test sets."""
    source = type("Source", (), {"data_hash": "0123"})
    monkeypatch.setattr(feeding, "create_classifier_source", lambda config: source)
    monkeypatch.setattr("fpgan_jax.reproduction.chain.run_stages", lambda *args: None)
    monkeypatch.setattr("fpgan_jax.reproduction.chain._describe", lambda *args: "described")
    return source


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("data.image_size", 32, r"config\.data\.image_size=32: Xception"),
        ("data.persons", (4,), r"config\.data: 1 person; a classifier"),
        ("generator.num_levels", 12, r"config\.generator\.num_levels=12: \d halvings"),
    ],
)
def test_what_a_later_stage_refuses_is_refused_first(config, without_stages, tmp_path, field, value, message):
    config.update_from_flattened_dict({field: value, "evaluation.num_test_persons": 1})
    with pytest.raises(UserError, match=message):
        reproduce(config, str(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_a_folder_of_pairs_is_refused(config, tmp_path):
    config.data.source, config.data.paired_dir = "paired_folder", "pairs"
    with pytest.raises(UserError, match=r"config\.data\.source='paired_folder': table 2 needs"):
        reproduce(config, str(tmp_path))


def test_examples_too_large_for_the_devices_are_refused_first(config, without_stages, tmp_path, monkeypatch):
    class GanSource:
        def check_device_size(self):
            raise UserError("config.data.feeding='device': too large")

    monkeypatch.setattr(feeding, "create_gan_source", lambda config: GanSource())
    assert reproduce(config, str(tmp_path / "tfdata")) == "described"
    config.data.feeding = "device"
    with pytest.raises(UserError, match="too large"):
        reproduce(config, str(tmp_path / "device"))
    assert not (tmp_path / "device").exists()


def test_other_prints_in_the_same_workdir_are_refused(config, without_stages, tmp_path):
    assert reproduce(config, str(tmp_path)) == "described"
    without_stages.data_hash = "4567"
    with pytest.raises(UserError, match="made from other prints"):
        reproduce(config, str(tmp_path))


def test_evaluation_may_change_in_a_finished_experiment(config, without_stages, tmp_path):
    reproduce(config, str(tmp_path))
    config.evaluation.std_ddof = 1
    assert reproduce(config, str(tmp_path)) == "described"


def test_training_may_not_change_in_a_finished_experiment(config, without_stages, tmp_path):
    reproduce(config, str(tmp_path))
    config.lambda_l1 = 1.0
    with pytest.raises(UserError, match=r"config\.lambda_l1 was 100\.0, is 1\.0"):
        reproduce(config, str(tmp_path))


def test_without_a_sampled_epoch_there_is_no_figure_to_wait_for(config, tmp_path):
    config.sample_epochs = (99,)
    stages = {stage.name: stage for stage in create_stages(config, str(tmp_path))}
    assert stages["draw the figures"].outputs == ("losses.png",)
