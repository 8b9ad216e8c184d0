"""The config's schema, its checks, its hash and its file."""

import importlib
import json
import pathlib

import pytest
from ml_collections import ConfigDict

from configs import pix2pix_socofing
from fpgan_jax.config.checks import validate_config
from fpgan_jax.config.derived import count_persons
from fpgan_jax.config.fields import Field, flatten_config
from fpgan_jax.config.files import load_config, override_fields, parse_config, restore_config
from fpgan_jax.config.identity import GAN_FIELDS, claim_workdir, find_differences, hash_config
from fpgan_jax.errors import UserError

CONFIGS = sorted(path.stem for path in pathlib.Path("configs").glob("*.py") if path.stem != "__init__")

# What runs on disk are named by: a config keeps its hash, whatever moves.
HASHES = {
    "enlarge": "d36fe4327275",
    "enlarge_demo": "62ee1400ce4d",
    "pairs": "9a4a896f074c",
    "paper_p100": "6f8f5d8e52bf",
    "paper_p150": "4cbe6e7d7ddc",
    "paper_p200": "4cba27bdc1eb",
    "paper_p250": "09e4632f9da4",
    "paper_p50": "1a19e53b4c2a",
    "peer_minutiae": "1eb97e8a1220",
    "pix2pix_pytorch": "09ea20dab910",
    "pix2pix_socofing": "1a19e53b4c2a",
    "pix2pix_tf1": "e3e7d3521a6c",
    "pix2pix_tf_tutorial": "64b801c65a16",
    "pix2pix_torch": "506ca643cfb7",
    "test_size": "7e38c01d1933",
    "twin_p100": "1a512c37b996",
    "twin_p150": "1169c5368bc1",
    "twin_p200": "a2b2f736a49d",
    "twin_p250": "9af1e67a8332",
    "twin_p50": "17ea069a3fd6",
}


@pytest.fixture
def config():
    config = pix2pix_socofing.get_config()
    config.data.socofing_dir = "prints"
    return config


@pytest.mark.parametrize("name", CONFIGS)
def test_every_config_file_is_valid(name):
    config = importlib.import_module(f"configs.{name}").get_config()
    config.data.socofing_dir, config.data.paired_dir = "prints", "pairs"
    validate_config(config)


@pytest.mark.parametrize("name", HASHES)
def test_a_config_keeps_its_hash(name):
    config = importlib.import_module(f"configs.{name}").get_config()
    assert hash_config(config) == HASHES[name]


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
        ("lambda_l1", 3.5e38, r"config\.lambda_l1=3\.5e\+38: not a finite number in float32"),
        ("adam_eps", 0.0, r"config\.adam_eps=0\.0: must be at least 1e-30"),
        ("num_epochs", 2**31, r"config\.num_epochs=2147483648: must be at most 2147483647"),
        ("num_epochs", 0, r"config\.num_epochs=0: must be at least 1"),
        ("num_epochs", True, r"config\.num_epochs=True: expected int, got bool"),
        ("gan_objective", "wgan", r"config\.gan_objective='wgan': use one of 'vanilla', 'lsgan', 'hinge'"),
        ("num_decay_epochs", 160, r"config\.num_decay_epochs=160: must be less than config\.num_epochs=160"),
        ("data.hand", "right", r"config\.data\.hand='right': use one of 'Left', 'Right'"),
        (
            "data.warp_strength",
            1.0,
            r"config\.data\.warp_strength=1\.0: needs config\.data\.condition='ridges'",
        ),
        ("ridge_loss_weight", 5.0, r"config\.ridge_loss_weight=5\.0: needs config\.data\.condition='ridges'"),
        (
            "best_metric",
            "ridge_loss",
            r"config\.best_metric='ridge_loss': needs config\.data\.condition='ridges'",
        ),
        ("data.persons", (1, "2"), r"config\.data\.persons=\(1, '2'\): every item must be int"),
        ("data.persons", (1, 2, 3, 1), r"config\.data\.persons=\(1, 2, 3, 1\): a person is named twice"),
        ("data.socofing_dir", "", r"config\.data\.socofing_dir: not given"),
        ("data.source", "paired_folder", r"config\.data\.paired_dir: not given"),
        ("data.source", "npz", r"config\.data\.npz_file: not given; .*make_pairs --npz"),
        ("data.feeding", "queue", r"config\.data\.feeding='queue': use one of 'tfdata', 'device'"),
        ("steps_per_dispatch", 0, r"config\.steps_per_dispatch=0: must be at least 1"),
        ("weights_seed", -2, r"config\.weights_seed=-2: must be at least -1"),
        ("classifier.steps_per_dispatch", 0, r"config\.classifier\.steps_per_dispatch=0: must be at least 1"),
        ("synthesis.use_ema", True, r"config\.synthesis\.use_ema=True: config\.ema_decay=0 keeps no average"),
        ("discriminator.receptive_field", 71, r"config\.discriminator\.receptive_field=71: use one of 1, 16"),
        ("evaluation.num_test_persons", 6, r"config\.evaluation\.num_test_persons=6: the set has only 5"),
    ],
)
def test_a_wrong_value_is_named(config, field, value, message):
    with config.ignore_type():
        config.update_from_flattened_dict({field: value})
    with pytest.raises(UserError, match=message):
        validate_config(config)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"data.source": "paired_folder"},
            r"config\.data\.condition='ridges': config\.data\.source='paired_folder'",
        ),
        (
            {"best_metric": "ridge_loss"},
            r"config\.best_metric='ridge_loss': config\.ridge_loss_weight=0 computes",
        ),
        (
            {"data.persons": (1, 2, 3), "data.num_held_out_persons": 1},
            r"config\.data\.num_held_out_persons=1: config\.data\.persons names",
        ),
    ],
    ids=str,
)
def test_ridge_maps_come_from_prints_and_persons_are_chosen_once(config, fields, message):
    config.data.condition = "ridges"
    config.update_from_flattened_dict(fields)
    with pytest.raises(UserError, match=message):
        validate_config(config)


def test_everybody_may_train(config):
    config.data.num_persons = 0
    validate_config(config)
    assert count_persons(config) == 0


@pytest.mark.parametrize("norm", ["instance", "none"])
def test_running_statistics_of_a_norm_that_keeps_none_are_refused(config, norm):
    config.generator.norm, config.synthesis.use_running_average = norm, True
    with pytest.raises(
        UserError, match=rf"use_running_average=True: config\.generator\.norm='{norm}' keeps no"
    ):
        validate_config(config)


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        (10**400, "not a finite number in float32"),
        (-(10**400), "not a finite number in float32"),
        (True, "expected float, got bool"),
        (3, None),
    ],
    ids=["huge", "huge and negative", "bool", "int"],
)
def test_a_float_field_takes_whole_numbers_that_a_float_can_be(value, fault):
    assert Field(1.0, "").find_fault(value) == fault


def test_persons_are_counted_by_name_or_number(config):
    assert count_persons(config) == 5
    config.data.persons = (7, 3)
    assert count_persons(config) == 2


def test_an_unknown_field_names_its_nearest_neighbor(config):
    config.unlock()
    config.data.imagesize = 3
    with pytest.raises(
        UserError, match=r"config\.data\.imagesize: no such field; did you mean config\.data\.image_size"
    ):
        validate_config(config)


def test_a_missing_field_is_named(config):
    del config.discriminator.norm
    with pytest.raises(UserError, match=r"config\.discriminator\.norm: missing"):
        validate_config(config)


def test_the_hash_ignores_where_the_data_lies(config):
    moved = config.copy_and_resolve_references()
    moved.data.socofing_dir = "elsewhere"
    assert hash_config(moved) == hash_config(config)


def test_the_hash_sees_a_changed_number(config):
    changed = config.copy_and_resolve_references()
    changed.lambda_l1 = 50.0
    assert hash_config(changed) != hash_config(config)


def test_the_order_in_which_persons_are_named_changes_nothing(config, tmp_path):
    config.data.persons = (4, 2, 9)
    claim_workdir(str(tmp_path), config)
    renamed = config.copy_and_resolve_references()
    renamed.data.persons = (2, 4, 9)
    claim_workdir(str(tmp_path), renamed)
    assert hash_config(renamed) == hash_config(config)


def test_a_config_comes_back_from_its_file(config, tmp_path):
    claim_workdir(str(tmp_path), config)
    restored = load_config(str(tmp_path / "config.json"))
    validate_config(restored)
    assert restored.to_dict() == config.to_dict()


def test_a_workdir_of_another_config_is_refused_and_left_alone(config, tmp_path):
    claim_workdir(str(tmp_path), config)
    before = (tmp_path / "config.json").read_bytes()
    config.lambda_l1 = 50.0
    with pytest.raises(UserError, match=r"config\.lambda_l1 was 100\.0, is 50\.0"):
        claim_workdir(str(tmp_path), config)
    assert (tmp_path / "config.json").read_bytes() == before


def test_a_workdir_may_be_claimed_again_when_only_other_fields_differ(config, tmp_path):
    claim_workdir(str(tmp_path), config, prefixes=GAN_FIELDS)
    config.classifier.num_steps = 7
    claim_workdir(str(tmp_path), config, prefixes=GAN_FIELDS)
    assert json.loads((tmp_path / "config.json").read_text())["classifier"]["num_steps"] == 7


def test_a_damaged_config_file_is_named(tmp_path):
    (tmp_path / "config.json").write_text('{"seed": ')
    with pytest.raises(UserError, match=r"config\.json: not JSON \(line 1, column 10: "):
        load_config(str(tmp_path / "config.json"))


def test_json_that_is_no_config_is_named(tmp_path):
    (tmp_path / "config.json").write_text("[1]")
    with pytest.raises(UserError, match=r"config\.json: not a config .*; fix it, or use another workdir"):
        load_config(str(tmp_path / "config.json"))


def test_a_workdir_whose_config_an_editor_saved_is_continued(config, tmp_path):
    claim_workdir(str(tmp_path), config)
    path = tmp_path / "config.json"
    path.write_text(path.read_text(), encoding="utf-8-sig")
    claim_workdir(str(tmp_path), config)


def test_a_missing_config_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"config\.json: no such file"):
        load_config(str(tmp_path / "config.json"))


def test_a_workdir_that_cannot_be_written_is_named(config, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"--workdir=.*file/run: cannot be written"):
        claim_workdir(str(tmp_path / "file" / "run"), config)


def test_lists_come_back_as_tuples():
    assert parse_config({"a": {"b": [1, 2]}}).a == ConfigDict({"b": (1, 2)})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (None, "not a config"),
        ([1], "not a config"),
        ({"a.b": 1}, "not a config"),
        ({"data": 1}, "not a config"),
        ({"items": 1}, r"config\.items: no such field"),
        ({}, "missing"),
    ],
    ids=str,
)
def test_a_checkpoint_without_a_valid_config_is_refused(values, message):
    with pytest.raises(UserError, match=f"runs/gan: the config in its checkpoint is not valid: .*{message}"):
        restore_config({"config": values}, "runs/gan")


LATER_FIELDS = {
    "data.image_width": 0,
    "generator.num_levels": 0,
    "generator.upsampling": "transposed",
    "weights_seed": -1,
    "dropout_seed": -1,
    "augmentation_seed": -1,
    "classifier.seed": -1,
    "classifier.weights_seed": -1,
    "classifier.dropout_seed": -1,
    "classifier.augmentation_seed": -1,
    "synthesis.noise_seed": -1,
    "data.npz_file": "",
    "data.feeding": "tfdata",
    "steps_per_dispatch": 1,
    "classifier.steps_per_dispatch": 1,
    "generator.norm_epsilon": 1e-5,
    "generator.norm_momentum": 0.9,
    "generator.bottleneck_norm": False,
    "generator.conv_bias": "auto",
    "generator.leaky_slope": 0.2,
    "generator.skip": "before_activation",
    "discriminator.norm_epsilon": 1e-5,
    "discriminator.norm_momentum": 0.9,
    "discriminator.conv_bias": "auto",
    "discriminator.leaky_slope": 0.2,
    "update_order": "discriminator_first",
}


def write_old_file(config, path):
    """Write a config as it was before the later fields came; return its path."""
    values = config.to_dict()
    for name in LATER_FIELDS:
        *groups, leaf = name.split(".")
        del (values[groups[0]] if groups else values)[leaf]
    path.write_text(json.dumps(values))
    return str(path)


def test_an_old_config_file_has_the_later_fields_at_their_defaults(config, tmp_path):
    restored = load_config(write_old_file(config, tmp_path / "config.json"))
    validate_config(restored)
    flat = flatten_config(restored)
    assert {name: flat[name] for name in LATER_FIELDS} == LATER_FIELDS
    assert find_differences(json.loads((tmp_path / "config.json").read_text()), config) == []


def test_an_old_workdir_is_continued_and_its_steps_per_dispatch_kept(config, tmp_path):
    write_old_file(config, tmp_path / "config.json")
    config.steps_per_dispatch = 4
    with pytest.raises(UserError, match=r"config\.steps_per_dispatch was 1, is 4"):
        claim_workdir(str(tmp_path), config)
    config.steps_per_dispatch = 1
    claim_workdir(str(tmp_path), config)


def test_a_later_field_that_a_given_config_does_not_name_is_missing(config):
    del config.data.feeding
    with pytest.raises(UserError, match=r"config\.data\.feeding: missing"):
        validate_config(config)


def test_a_config_keeps_the_hash_it_had_before_later_fields_came(config):
    assert hash_config(config) == "1a19e53b4c2a"
    config.data.feeding, config.data.npz_file = "device", "prints.npz"
    assert hash_config(config) == "1a19e53b4c2a"
    config.steps_per_dispatch = 2
    assert hash_config(config) != "1a19e53b4c2a"


def test_a_config_file_with_a_field_that_is_no_more_is_the_same_run(config, tmp_path):
    values = config.to_dict()
    values["generator"]["param_dtype"] = "float32"
    (tmp_path / "config.json").write_text(json.dumps(values))
    claim_workdir(str(tmp_path), config)
    assert load_config(str(tmp_path / "config.json")) == config
    assert (hash_config(values), find_differences(values, config)) == (hash_config(config), [])
    values["generator"]["param_dtype"] = "float16"
    with pytest.raises(UserError, match=r"config\.generator\.param_dtype: no such field"):
        validate_config(parse_config(values))


def test_a_workdir_may_go_on_with_the_same_prints_from_an_archive(config, tmp_path):
    claim_workdir(str(tmp_path), config)
    config.data.source, config.data.npz_file, config.data.feeding = "npz", "prints.npz", "device"
    claim_workdir(str(tmp_path), config)
    assert load_config(str(tmp_path / "config.json")).data.source == "npz"
    config.data.source, config.data.paired_dir = "paired_folder", "pairs"
    with pytest.raises(UserError, match=r"config\.data\.source was 'npz', is 'paired_folder'"):
        claim_workdir(str(tmp_path), config)


@pytest.mark.parametrize(
    ("override", "field", "value"),
    [
        ("data.source=npz", "data.source", "npz"),
        ("config.set_name=P=50", "set_name", "P=50"),
        ("num_epochs=3", "num_epochs", 3),
        ("lambda_l1=50", "lambda_l1", 50.0),
        ("learning_rate=1e-3", "learning_rate", 0.001),
        ("synthesis.deterministic=true", "synthesis.deterministic", True),
        ("synthesis.deterministic=False", "synthesis.deterministic", False),
        ("sample_epochs=2,28", "sample_epochs", (2, 28)),
        ("data.persons=(7,)", "data.persons", (7,)),
        ("sample_epochs=()", "sample_epochs", ()),
        ("evaluation.measures=identity, ridges", "evaluation.measures", ("identity", "ridges")),
        ("evaluation.measures=('identity', 'ridges')", "evaluation.measures", ("identity", "ridges")),
    ],
)
def test_an_override_is_read_by_its_fields_type(config, override, field, value):
    flat = flatten_config(override_fields(config, [override]))
    assert flat[field] == value and type(flat[field]) is type(value)
    before = flatten_config(config)
    assert {name for name in flat if flat[name] != before[name]} <= {field}
    assert before == flatten_config(pix2pix_socofing.get_config()) | {"data.socofing_dir": "prints"}


def test_an_override_is_of_the_fields_type_where_a_file_has_another(config):
    values = config.to_dict() | {"lambda_l1": 50}
    assert override_fields(parse_config(values), ["lambda_l1=0.5"]).lambda_l1 == 0.5


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "data.imagesize=3",
            r"config\.data\.imagesize: no such field; did you mean config\.data\.image_size",
        ),
        ("data=3", r"config\.data: no such field"),
        ("data.image_size", r"override 'data\.image_size': must be FIELD=VALUE"),
        ("num_epochs=many", r"config\.num_epochs='many': expected int"),
        ("num_epochs=2.5", r"config\.num_epochs='2\.5': expected int"),
        ("synthesis.use_ema=maybe", r"config\.synthesis\.use_ema='maybe': expected bool"),
        ("sample_epochs=1,b", r"config\.sample_epochs='1,b': expected tuple of int"),
    ],
)
def test_an_override_that_does_not_fit_is_named(config, override, message):
    with pytest.raises(UserError, match=message):
        override_fields(config, [override])


def test_several_texts_without_quotes_are_told_how_to_be_written(config):
    config.evaluation.measures = ("identity,ridges",)
    with pytest.raises(
        UserError, match=r"config\.evaluation\.measures=.* several are written as \"\('a', 'b'\)\""
    ):
        validate_config(config)
