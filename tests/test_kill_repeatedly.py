"""What the killing of scripts compares at their end: a difference of any kind is told, and none is made up."""

import json
import shutil

import numpy as np
import pytest

from fpgan_jax.training.checkpoints.store import CheckpointStore
from tests.kill_repeatedly import find_differences


def save(workdir, step, value):
    store = CheckpointStore(str(workdir), best_metric="loss")
    array = np.array([value, 2.0], np.float32)
    store.save(step, {"network": {"a": array}}, metadata={"data_hash": "1"}, metrics={"loss": 1.0})
    store.close()


@pytest.fixture(name="runs", scope="module")
def _runs(tmp_path_factory):
    """Make two folders of the same run, whose files of times differ."""
    expected, found = (tmp_path_factory.mktemp(name) for name in ("expected", "found"))
    for seconds, folder in enumerate((expected, found)):
        save(folder / "gan", 3, 1.0)
        (folder / "gan" / "metrics.csv").write_text("step,loss\n3,1.0\n")
        (folder / "done").mkdir()
        (folder / "done" / "train.json").write_text(json.dumps({"seconds": seconds, "settings": {}}))
        (folder / "gan" / "events").mkdir()
        (folder / "gan" / "events" / f"events.{seconds}").write_text("")
    return expected, found


@pytest.fixture(name="changed")
def _changed(runs, tmp_path):
    """Return (the one folder, a copy of the other to change)."""
    return runs[0], shutil.copytree(runs[1], tmp_path / "changed")


def test_two_runs_that_differ_in_times_only_are_the_same(runs):
    assert find_differences(*runs) == []


@pytest.mark.parametrize("name", ["gan/metrics.csv", "done/train.json"])
def test_a_file_with_other_content_is_told(changed, name):
    path = changed[1] / name
    path.write_text(path.read_text().replace("1.0", "1.5").replace("{}}", '{"a": 1}}'))
    assert find_differences(*changed) == [name]


@pytest.mark.parametrize("name", ["gan/metrics.csv.tmp", ".lock"])
def test_a_file_too_many_is_told(changed, name):
    (changed[1] / name).write_text("")
    assert find_differences(*changed) == [f"{name}: in one only"]


def test_a_missing_file_is_told(changed):
    (changed[1] / "gan" / "metrics.csv").unlink()
    assert find_differences(*changed) == ["gan/metrics.csv: in one only"]


def test_another_weight_is_told(changed):
    shutil.rmtree(changed[1] / "gan" / "checkpoints")
    save(changed[1] / "gan", 3, np.nextafter(np.float32(1), np.float32(2)))
    (difference,) = find_differences(*changed)
    assert difference.endswith("gan: ['network']['a'] of step 3")


def test_another_step_is_told(changed):
    save(changed[1] / "gan", 4, 1.0)
    (difference,) = find_differences(*changed)
    assert difference.endswith("gan: checkpoints ['3'] and ['3', '4']")
