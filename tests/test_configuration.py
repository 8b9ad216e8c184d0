"""The config's schema, its checks, its hash and its file."""

import importlib
import json
import pathlib

import pytest
from ml_collections import ConfigDict

from configs import pix2pix_socofing
from fpgan_jax import configuration
from fpgan_jax.errors import UserError

CONFIGS = sorted(path.stem for path in pathlib.Path("configs").glob("*.py") if path.stem != "__init__")


@pytest.fixture
def config():
    config = pix2pix_socofing.get_config()
    config.data.socofing_dir = "prints"
    return config


@pytest.mark.parametrize("name", CONFIGS)
def test_every_config_file_is_valid(name):
    config = importlib.import_module(f"configs.{name}").get_config()
    config.data.socofing_dir = "prints"
    configuration.validate_config(config)


@pytest.mark.parametrize("name", CONFIGS)
def test_every_config_file_has_a_docstring_with_its_command(name):
    module = importlib.import_module(f"configs.{name}")
    assert "Reproduces:" in module.__doc__ and "Command:" in module.__doc__


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("lambda_l1", -1.0, r"config\.lambda_l1=-1\.0: must be at least 0"),
        ("lambda_l1", "much", r"config\.lambda_l1='much': expected float, got str"),
        ("lambda_l1", float("nan"), r"config\.lambda_l1=nan: not a finite number"),
        ("lambda_l1", float("inf"), r"config\.lambda_l1=inf: not a finite number"),
        ("num_epochs", 0, r"config\.num_epochs=0: must be at least 1"),
        ("num_epochs", True, r"config\.num_epochs=True: expected int, got bool"),
        ("gan_objective", "wgan", r"config\.gan_objective='wgan': use one of 'vanilla', 'lsgan', 'hinge'"),
        ("num_decay_epochs", 160, r"config\.num_decay_epochs=160: must be less than config\.num_epochs=160"),
        ("data.hand", "right", r"config\.data\.hand='right': use one of 'Left', 'Right'"),
        ("data.persons", (1, "2"), r"config\.data\.persons=\(1, '2'\): every item must be int"),
        ("data.persons", (1, 2, 3, 1), r"config\.data\.persons=\(1, 2, 3, 1\): a person is named twice"),
        ("data.socofing_dir", "", r"config\.data\.socofing_dir: not given"),
        ("data.source", "paired_folder", r"config\.data\.paired_dir: not given"),
        ("synthesis.use_ema", True, r"config\.synthesis\.use_ema=True: config\.ema_decay=0 keeps no average"),
        ("discriminator.receptive_field", 71, r"config\.discriminator\.receptive_field=71: use one of 1, 16"),
        ("evaluation.num_test_persons", 6, r"config\.evaluation\.num_test_persons=6: the set has only 5"),
    ],
)
def test_a_wrong_value_is_named(config, field, value, message):
    with config.ignore_type():
        config.update_from_flattened_dict({field: value})
    with pytest.raises(UserError, match=message):
        configuration.validate_config(config)


def test_an_unknown_field_names_its_nearest_neighbour(config):
    config.unlock()
    config.data.imagesize = 3
    with pytest.raises(
        UserError, match=r"config\.data\.imagesize: no such field; did you mean config\.data\.image_size"
    ):
        configuration.validate_config(config)


def test_a_missing_field_is_named(config):
    del config.discriminator.norm
    with pytest.raises(UserError, match=r"config\.discriminator\.norm: missing"):
        configuration.validate_config(config)


def test_the_hash_ignores_where_the_data_lies(config):
    moved = config.copy_and_resolve_references()
    moved.data.socofing_dir = "elsewhere"
    assert configuration.hash_config(moved) == configuration.hash_config(config)


def test_the_hash_sees_a_changed_number(config):
    changed = config.copy_and_resolve_references()
    changed.lambda_l1 = 50.0
    assert configuration.hash_config(changed) != configuration.hash_config(config)


def test_the_order_in_which_persons_are_named_changes_nothing(config, tmp_path):
    config.data.persons = (4, 2, 9)
    configuration.claim_workdir(str(tmp_path), config)
    renamed = config.copy_and_resolve_references()
    renamed.data.persons = (2, 4, 9)
    configuration.claim_workdir(str(tmp_path), renamed)
    assert configuration.hash_config(renamed) == configuration.hash_config(config)


def test_a_config_comes_back_from_its_file(config, tmp_path):
    configuration.claim_workdir(str(tmp_path), config)
    restored = configuration.load_config(str(tmp_path / "config.json"))
    configuration.validate_config(restored)
    assert restored.to_dict() == config.to_dict()


def test_a_workdir_of_another_config_is_refused_and_left_alone(config, tmp_path):
    configuration.claim_workdir(str(tmp_path), config)
    before = (tmp_path / "config.json").read_bytes()
    config.lambda_l1 = 50.0
    with pytest.raises(UserError, match=r"config\.lambda_l1 was 100\.0, is 50\.0"):
        configuration.claim_workdir(str(tmp_path), config)
    assert (tmp_path / "config.json").read_bytes() == before


def test_a_workdir_may_be_claimed_again_when_only_other_fields_differ(config, tmp_path):
    configuration.claim_workdir(str(tmp_path), config, prefixes=configuration.GAN_FIELDS)
    config.classifier.num_steps = 7
    configuration.claim_workdir(str(tmp_path), config, prefixes=configuration.GAN_FIELDS)
    assert json.loads((tmp_path / "config.json").read_text())["classifier"]["num_steps"] == 7


def test_a_damaged_config_file_is_named(tmp_path):
    (tmp_path / "config.json").write_text('{"seed": ')
    with pytest.raises(UserError, match=r"config\.json: not a config in JSON"):
        configuration.load_config(str(tmp_path / "config.json"))


def test_a_missing_config_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"config\.json: no such file"):
        configuration.load_config(str(tmp_path / "config.json"))


def test_a_workdir_that_cannot_be_written_is_named(config, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"--workdir=.*file/run: cannot be written"):
        configuration.claim_workdir(str(tmp_path / "file" / "run"), config)


def test_lists_come_back_as_tuples():
    assert configuration.parse_config({"a": {"b": [1, 2]}}) == ConfigDict({"a": {"b": (1, 2)}})
