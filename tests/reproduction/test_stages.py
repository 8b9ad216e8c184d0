"""The stages of an experiment: which are skipped, which run again, and what happens after a stop."""

import time

import pytest

from configs import test_size
from fpgan_jax.reproduction.stages import Stage, read_seconds, run_stages


class Killed(Exception):
    """Stands for the moment at which a process ends."""


@pytest.fixture
def config():
    return test_size.get_config()


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

    def stop_at(self, name, config):
        """Run until the stage that writes a file, which is then stopped."""
        self.fail_at = name
        with pytest.raises(Killed):
            self.run(config)
        self.fail_at = None

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
    chain.stop_at("b", config)
    chain.run(config)
    assert chain.ran == ["b", "c"]


def test_a_missing_or_changed_output_is_made_again_with_all_that_follows(chain, config, tmp_path):
    (tmp_path / "b").unlink()
    chain.run(config)
    assert chain.ran == ["b", "c"]
    (tmp_path / "b").write_text("by hand")
    chain.run(config)
    assert chain.ran == ["b", "c"]


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
    chain.stop_at("b", config)
    chain.run(config)
    assert chain.ran == ["b", "c"]


def test_a_changed_field_runs_its_stage_again(chain, config):
    config.evaluation.std_over = "images"
    chain.run(config)
    assert chain.ran == ["b", "c"]


def test_a_damaged_mark_counts_as_not_done(chain, config, tmp_path):
    (tmp_path / "done" / "third.json").write_text("{")
    chain.run(config)
    assert chain.ran == ["c"]


def test_finished_stages_tell_their_seconds(chain, config, tmp_path, monkeypatch):
    stages = [Stage(name, lambda: None, ()) for name in ("first", "second", "third")]
    assert list(read_seconds(stages, str(tmp_path))) == ["first", "second", "third"]
    clock = iter([0, 2.5, 10, 10.25, 20, 20])
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    run_stages(stages, config, str(tmp_path / "timed"))
    seconds = read_seconds(stages, str(tmp_path / "timed"))
    assert seconds == {"first": 2.5, "second": 0.2, "third": 0.0}  # tenths
