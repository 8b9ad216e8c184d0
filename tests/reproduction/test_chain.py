"""The chain of stages: what is skipped, what is done again, and what a stop leaves."""

import json
import time

import pytest

from configs import test_size
from fpgan_jax.data import feeding
from fpgan_jax.errors import UserError
from fpgan_jax.reproduction.chain import Stage, create_stages, read_seconds, reproduce, run_stages


class Killed(Exception):
    """Stands for the moment at which a process ends."""


@pytest.fixture
def config():
    config = test_size.get_config()
    config.data.socofing_dir = "prints"
    return config


class Chain:
    """Three stages that each write a file and note that they ran."""

    def __init__(self, workdir):
        self.workdir = workdir
        self.ran = []
        self.fail_at = None

    def run(self, config):
        self.ran = []
        stages = [
            Stage("first", lambda: self._write("a"), ("a",)),
            Stage("second", lambda: self._write("b"), ("b",), fields=("evaluation.",)),
            Stage("third", lambda: self._write("c"), ("c",)),
        ]
        run_stages(stages, config, str(self.workdir))

    def _write(self, name):
        if name == self.fail_at:
            raise Killed
        (self.workdir / name).write_text("")
        self.ran.append(name)


@pytest.fixture
def chain(tmp_path, config):
    chain = Chain(tmp_path)
    chain.run(config)
    return chain


def test_a_finished_chain_is_not_run_again(chain, config):
    assert chain.ran == ["a", "b", "c"]
    chain.run(config)
    assert chain.ran == []


def test_a_stopped_chain_goes_on_where_it_stopped(tmp_path, config):
    chain = Chain(tmp_path)
    chain.fail_at = "b"
    with pytest.raises(Killed):
        chain.run(config)
    chain.fail_at = None
    chain.run(config)
    assert chain.ran == ["b", "c"]


def test_a_missing_output_is_made_again_with_all_that_follows(chain, config, tmp_path):
    (tmp_path / "b").unlink()
    chain.run(config)
    assert chain.ran == ["b", "c"]


def test_an_output_that_was_changed_is_made_again_with_all_that_follows(chain, config, tmp_path):
    (tmp_path / "b").write_text("by hand")
    chain.run(config)
    assert chain.ran == ["b", "c"]


def test_a_mark_from_before_outputs_were_hashed_counts(chain, config, tmp_path):
    for path in (tmp_path / "done").iterdir():
        mark = json.loads(path.read_text())
        assert mark.pop("outputs")
        path.write_text(json.dumps(mark))
    chain.run(config)
    assert chain.ran == []


def test_checkpoints_count_by_their_own_sums(tmp_path, config):
    (tmp_path / "checkpoints" / "3").mkdir(parents=True)
    sums = tmp_path / "checkpoints" / "3" / "checksums.json"
    sums.write_text("{}")
    ran = []
    stages = [Stage("train", lambda: ran.append("train"), ("checkpoints",))]
    for content, expected in (("{}", 1), ("{}", 1), ('{"params": 1}', 2)):
        sums.write_text(content)
        run_stages(stages, config, str(tmp_path))
        assert len(ran) == expected


def test_a_stop_within_what_follows_is_not_forgotten(chain, config, tmp_path):
    (tmp_path / "a").unlink()
    chain.fail_at = "b"
    with pytest.raises(Killed):
        chain.run(config)
    chain.fail_at = None
    chain.run(config)
    assert chain.ran == ["b", "c"]


def test_a_changed_field_runs_its_stage_again(chain, config):
    config.evaluation.std_over = "images"
    chain.run(config)
    assert chain.ran == ["b", "c"]


def test_a_damaged_mark_counts_as_not_done(chain, config, tmp_path):
    next((tmp_path / "done").glob("3_*")).write_text("{")
    chain.run(config)
    assert chain.ran == ["c"]


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


def test_finished_stages_tell_their_seconds(chain, config, tmp_path, monkeypatch):
    stages = [Stage(name, lambda: None, ()) for name in ("first", "second", "third")]
    assert list(read_seconds(stages, str(tmp_path))) == ["first", "second", "third"]
    clock = iter([0, 2.5, 10, 10.25, 20, 20])
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    run_stages(stages, config, str(tmp_path / "timed"))
    seconds = read_seconds(stages, str(tmp_path / "timed"))
    assert seconds == {"first": 2.5, "second": 0.2, "third": 0.0}  # tenths


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
