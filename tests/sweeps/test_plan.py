"""From a sweep file to runs: names, and what is refused before any run starts."""

import glob
import re

import pytest

from configs import test_size
from fpgan_jax.data import feeding
from fpgan_jax.errors import UserError
from fpgan_jax.sweeps.plan import create_runs, load_sweep_file, name_run


@pytest.fixture
def config():
    config = test_size.get_config()
    config.data.socofing_dir = "prints"
    return config


@pytest.fixture(autouse=True)
def _source(monkeypatch):
    """Let there be four prints, whatever the config says."""
    source = type("Source", (), {"data_hash": "0123", "num_examples": 4})
    monkeypatch.setattr(feeding, "create_classifier_source", lambda config: source)
    monkeypatch.setattr(feeding, "create_gan_source", lambda config: source)


def test_runs_have_names_folders_and_configs(config, tmp_path):
    sweep = [{"lambda_l1": 50, "seed": 1}, {"lambda_l1": "0.5", "sample_epochs": (1, 2)}]
    runs = create_runs(config, sweep, str(tmp_path), "reproduce")
    assert [run.name for run in runs] == ["lambda_l1=50,seed=1", "lambda_l1=0.5,sample_epochs=1+2"]
    assert runs[0].workdir == str(tmp_path / "lambda_l1=50,seed=1")
    assert (runs[0].config.lambda_l1, runs[0].config.seed) == (50.0, 1)
    assert runs[1].overrides == {"lambda_l1": 0.5, "sample_epochs": (1, 2)}
    assert runs[1].config.sample_epochs == (1, 2) and config.sample_epochs == (1, 3)
    assert not list(tmp_path.iterdir())


def test_a_runs_command_sets_what_is_common_and_what_is_its_own(config, tmp_path):
    sweep, common = [{"seed": 1, "sample_epochs": (1, 2)}], {"seed": 9, "data.socofing_dir": "a b"}
    start = ["python", "--config=x.py"]
    (run,) = create_runs(config, sweep, str(tmp_path), "train_gan", start=start, common=common)
    assert run.command == [
        *("python", "--config=x.py", "--config.seed=1", "--config.data.socofing_dir=a b"),
        *("--config.sample_epochs=(1, 2)", f"--workdir={tmp_path}/seed=1,sample_epochs=1+2"),
    ]


@pytest.mark.parametrize(
    ("what", "steps"),
    [
        # Two persons x two replicas x 3 epochs in batches of 2; the classifier's own 4 steps.
        ("reproduce", {"gan/metrics.csv": 6, "classifier/metrics.csv": 4}),
        ("train_gan", {"metrics.csv": 6}),
        ("train_classifier", {"metrics.csv": 4}),
    ],
)
def test_the_steps_of_a_run_are_known_before_it_starts(config, tmp_path, what, steps):
    assert create_runs(config, [{}], str(tmp_path), what)[0].num_steps == steps


def test_the_prints_of_persons_with_several_are_counted(config, tmp_path):
    # Four pairs, however many persons and replicas the config names, x 3 epochs in batches of 2.
    sweep = [{"data.source": "npz", "data.npz_file": "prints.npz", "data.num_replicas": 5}]
    (run,) = create_runs(config, sweep, str(tmp_path), "reproduce")
    assert run.num_steps["gan/metrics.csv"] == 6


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"lambda_l1": -1}, r"run 2 \(lambda_l1=-1\): config\.lambda_l1=-1\.0: must be at least"),
        (
            {"lambda_l2": 1},
            r"run 2 \(lambda_l2=1\): config\.lambda_l2: no such field; did you mean config\.lambda_l1",
        ),
        ({"num_epochs": 1.5}, r"config\.num_epochs='1\.5': expected int"),
        ({"generator.num_levels": 12}, r"config\.generator\.num_levels=12: \d halvings"),
        ({"discriminator.receptive_field": 286, "data.image_size": 32}, r"receptive_field=286"),
        ({"lambda_l1": 50.0}, r"run 2 \(lambda_l1=50\.0\): twice in the sweep"),
        ({"num_decay_epochs": 9}, r"config\.num_decay_epochs=9: must be less than"),
        ({"global_batch_size": 3}, r"config\.global_batch_size=3: not divisible by the 2 devices"),
    ],
)
@pytest.mark.parametrize("what", ["reproduce", "train_gan"])
def test_a_mistake_in_any_run_is_named_before_anything_is_written(config, tmp_path, bad, message, what):
    with pytest.raises(UserError, match=message):
        create_runs(config, [{"lambda_l1": 50}, bad], str(tmp_path / "sweep"), what, num_devices=2)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("what", "field"), [("train_gan", "classifier.seed"), ("train_classifier", "lambda_l1")]
)
def test_runs_that_differ_in_nothing_they_depend_on_are_refused(config, tmp_path, what, field):
    sweep = [{"seed": 1, field: 1}, {"seed": 1, field: 2}]
    message = rf"run 2 .*differs from run seed=1,{field}=1 only in fields that --what={what} ignores"
    with pytest.raises(UserError, match=message):
        create_runs(config, sweep, str(tmp_path), what)
    assert len(create_runs(config, sweep, str(tmp_path), "reproduce")) == 2


def test_a_folder_of_another_config_is_refused(config, tmp_path):
    (tmp_path / "seed=1").mkdir()
    (tmp_path / "seed=1" / "config.json").write_text(test_size.get_config().to_json())
    with pytest.raises(UserError, match=r"run 1 \(seed=1\): .*config\.seed was 0, is 1"):
        create_runs(config, [{"seed": 1}], str(tmp_path), "train_classifier")


@pytest.mark.parametrize(
    ("overrides", "name"),
    [
        ({}, "as_configured"),
        ({"lambda_l1": 100.0, "seed": 0}, "lambda_l1=100,seed=0"),
        ({"learning_rate": 1e-05}, "learning_rate=1e-05"),
        ({"remat": True, "data.persons": (1, 23)}, "remat=True,data.persons=1+23"),
        ({"set_name": "v1.0"}, "set_name=v1.0"),
    ],
)
def test_a_run_is_named_by_what_it_overrides(overrides, name):
    assert name_run(overrides) == name


@pytest.mark.parametrize("value", ["../../etc", "/a/b", "a b\nc", "ä", "x" * 500, ".."])
def test_a_name_is_safe_and_short(value):
    name = name_run({"data.socofing_dir": value})
    assert re.fullmatch(r"data\.socofing_dir=[A-Za-z0-9._+=,-]*", name) and len(name) <= 100


def test_names_that_lose_something_stay_apart():
    names = {name_run({"data.socofing_dir": value}) for value in ("a/b", "a b", "a_b", "x" * 500, "x" * 501)}
    assert len(names) == 5


@pytest.mark.parametrize("path", sorted(glob.glob("configs/sweeps/[a-z]*.py")))
def test_a_ready_made_sweep_holds_valid_runs(config, tmp_path, path):
    runs = create_runs(config, load_sweep_file(path), str(tmp_path), "reproduce")
    seeds = {run.config.seed for run in runs}
    assert len(runs) % len(seeds) == 0 and len(runs) > len(seeds) >= 3


def test_the_five_sets_are_the_papers(config, tmp_path):
    runs = create_runs(config, load_sweep_file("configs/sweeps/five_sets.py"), str(tmp_path), "reproduce")
    # Table 2: set, persons (a tenth of the set's pairs), test persons; five seeds each.
    rows = [("P50", 5, 3), ("P100", 10, 5), ("P150", 15, 8), ("P200", 20, 10), ("P250", 25, 13)]
    found = [
        (r.config.set_name, r.config.data.num_persons, r.config.evaluation.num_test_persons) for r in runs
    ]
    assert found == [row for row in rows for _ in range(5)]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"--sweep: .*sweep\.py: no such file"),
        ("1 +", r"--sweep: .*sweep\.py cannot be loaded: SyntaxError"),
        ("x = 1", r"--sweep: .*sweep\.py defines no get_sweep\(\)"),
        ("def get_sweep(): return {}[1]", r"--sweep: .*sweep\.py cannot be loaded: KeyError"),
        ("def get_sweep(): yield {}[1]", r"--sweep: .*sweep\.py cannot be loaded: KeyError"),
        ("def get_sweep(): return []", r"get_sweep\(\) must return one dict per run, at least one"),
        ("def get_sweep(): return ['lambda_l1=1']", r"must return one dict per run"),
    ],
)
def test_a_file_that_is_no_sweep_is_named(tmp_path, content, message):
    path = tmp_path / "sweep.py"
    if content is not None:
        path.write_text(content)
    with pytest.raises(UserError, match=message):
        load_sweep_file(str(path))


def test_a_config_without_a_field_is_named(config, tmp_path):
    del config.data.num_channels
    with pytest.raises(UserError, match=r"config\.data\.num_channels: missing; start from"):
        create_runs(config, [{}], str(tmp_path), "reproduce")
