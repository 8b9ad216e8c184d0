"""Damaged checkpoints and full disks: what is recognized, set aside, outlived and told."""

import contextlib
import os
import resource
import shutil

import flax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from fpgan_jax.errors import UserError
from fpgan_jax.training import loop
from fpgan_jax.training.checkpoints import checksums
from fpgan_jax.training.checkpoints.restore import restore_for_evaluation
from fpgan_jax.training.checkpoints.store import CheckpointStore
from fpgan_jax.training.reporting import Reporter
from fpgan_jax.training.starting import start
from tests.training import test_loop

# An array so large that Orbax gives it a file of its own.
BALLAST = np.random.default_rng(0).normal(size=(200, 200)).astype(np.float32)


@flax.struct.dataclass
class LargeState(test_loop.State):
    """A number, and an array in its checkpoints."""

    def to_trees(self):
        return super().to_trees() | {"ballast": {"array": BALLAST}}


def create_state():
    return LargeState(jnp.int32(0), jnp.float32(0))


def take_step(state, batch, base_key):
    after, metrics = test_loop.take_step(state, batch, base_key)
    return LargeState(after.step, after.value), metrics


def create_training(workdir, *, schedule=None, **changes):
    """Create twelve steps with checkpoints after 5, 10 and 12 and rows of metrics after 4, 8 and 12."""
    schedule = {"log_every_steps": 4, "steps_per_dispatch": 1} | (schedule or {})
    return test_loop.create_training(workdir, schedule=schedule, **{"step": take_step} | changes)


def train(workdir, *, may_start_anew=False, **changes):
    training = create_training(workdir, **changes)
    return loop.run_training(training, create_state(), jax.random.key(0), may_start_anew=may_start_anew)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Train without harm; return (workdir, final value, metrics.csv)."""
    workdir = tmp_path_factory.mktemp("whole")
    value = train(workdir).value
    assert {path.name for path in (workdir / "checkpoints").iterdir()} >= {"10", "12"}
    return workdir, value, (workdir / "metrics.csv").read_bytes()


@pytest.fixture
def run(whole, tmp_path):
    """Copy the finished run's folder."""
    return shutil.copytree(whole[0], tmp_path / "run")


def list_files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path, place):
    data = bytearray(path.read_bytes())
    data[int(place * (len(data) - 1))] ^= 1
    path.write_bytes(data)


FAULTS = {
    "empty": lambda path: path.write_bytes(b""),
    "half": cut,
    "missing": lambda path: path.unlink(),
    "first_byte": lambda path: flip(path, 0.0),
    "middle_byte": lambda path: flip(path, 0.5),
    "other_byte": lambda path: flip(path, 0.8),
    "last_byte": lambda path: flip(path, 1.0),
}


def open_store(workdir):
    """Open the run's checkpoints for writing; return the last one's step."""
    store = CheckpointStore(str(workdir), best_metric="loss")
    try:
        return store.latest_step
    finally:
        store.close()


@contextlib.contextmanager
def limit_files(num_bytes):
    """Let no file of this process grow beyond a size, as a full disk would not."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_in_any_file_is_named_and_the_one_before_is_used(run, caplog, fault):
    checkpoint, aside = run / "checkpoints" / "12", run / "damaged_checkpoints" / "12"
    names = [name for name in list_files(checkpoint) if "/" in name]
    assert len(names) > 15
    for name in names:
        before = (checkpoint / name).read_bytes()
        if not before:
            continue
        FAULTS[fault](checkpoint / name)
        caplog.clear()
        assert open_store(run) == 10, name
        (message,) = [record.getMessage() for record in caplog.records]
        assert f"checkpoints/12: damaged ({name}: " in message
        assert f"moved to {aside}" in message
        aside.rename(checkpoint)
        (checkpoint / name).write_bytes(before)
    assert open_store(run) == 12


@pytest.mark.parametrize("fault", FAULTS)
def test_damaged_checksums_are_recognized_and_missing_ones_are_done_without(run, fault):
    FAULTS[fault](run / "checkpoints" / "12" / checksums.CHECKSUMS_FILENAME)
    assert open_store(run) == (12 if fault == "missing" else 10)


@pytest.mark.parametrize("fault", FAULTS)
def test_files_that_no_restoring_needs_may_be_damaged(run, whole, fault):
    checkpoint = run / "checkpoints" / "12"
    names = [name for name in list_files(checkpoint) if "/" not in name]
    for name in set(names) - {checksums.CHECKSUMS_FILENAME}:
        FAULTS[fault](checkpoint / name)
    np.testing.assert_array_equal(train(run).value, whole[1])
    assert not (run / "damaged_checkpoints").exists()


@pytest.mark.parametrize("name", ["ballast/manifest.ocdbt", "metrics/metrics", "metadata/metadata"])
def test_the_continued_run_is_the_one_never_damaged(run, whole, name):
    FAULTS["half"](run / "checkpoints" / "12" / name)
    np.testing.assert_array_equal(train(run).value, whole[1])
    assert (run / "metrics.csv").read_bytes() == whole[2]
    assert (run / "damaged_checkpoints" / "12").is_dir()
    assert open_store(run) == 12


def test_several_damaged_ones_are_set_aside_again_and_again(run, whole):
    for place in ("12", "12_2"):
        FAULTS["missing"](run / "checkpoints" / "12" / "all" / "_METADATA")
        train(run)
        assert (run / "damaged_checkpoints" / place).is_dir()
    assert (run / "metrics.csv").read_bytes() == whole[2]


@pytest.fixture(name="damaged_run")
def _damaged_run(run):
    """Damage every checkpoint of the run."""
    for checkpoint in (run / "checkpoints").iterdir():
        FAULTS["empty"](checkpoint / "all" / "_METADATA")
    return run


def test_without_a_whole_one_the_run_stops_until_told_to_start_anew(damaged_run, whole):
    run = damaged_run
    for _ in range(2):  # not at the second try either
        with pytest.raises(
            UserError, match=r"the only checkpoints of this run \(steps 5, 10, 12\), .* --may_start_anew"
        ):
            train(run)
    (run / "damaged_checkpoints").rename(run / "elsewhere")
    np.testing.assert_array_equal(train(run).value, whole[1])
    assert (run / "metrics.csv").read_bytes() == whole[2]


def test_told_to_start_anew_the_run_does_and_keeps_what_is_damaged(damaged_run, whole, caplog):
    np.testing.assert_array_equal(train(damaged_run, may_start_anew=True).value, whole[1])
    assert (damaged_run / "metrics.csv").read_bytes() == whole[2]
    assert sorted(os.listdir(damaged_run / "damaged_checkpoints")) == ["10", "12", "5"]
    assert "which are damaged; the run starts again from step 0" in caplog.text
    # The next start goes on, and need not be told again.
    assert open_store(damaged_run) == 12


def test_told_to_start_anew_a_run_with_a_whole_checkpoint_goes_on_from_it(run, whole):
    FAULTS["half"](run / "checkpoints" / "12" / "all" / "_METADATA")
    starts = []

    def create_batches(start_step, num_steps):
        starts.append(start_step)
        return test_loop.create_batches(start_step, num_steps)

    train(run, may_start_anew=True, feed=test_loop.NumberFeed(create_batches))
    assert starts == [10]


def test_an_older_one_that_is_half_deleted_does_not_stand_in_the_way(run):
    shutil.rmtree(run / "checkpoints" / "10" / "metrics")
    assert open_store(run) == 12
    assert (run / "damaged_checkpoints" / "10").is_dir()


def test_what_an_interrupted_save_left_is_removed(run):
    unfinished = run / "checkpoints" / "13.orbax-checkpoint-tmp"
    shutil.copytree(run / "checkpoints" / "12", unfinished)
    assert open_store(run) == 12
    assert not unfinished.exists()
    assert not (run / "damaged_checkpoints").exists()


@pytest.mark.parametrize(
    "name", ["metrics/metrics", "metadata/metadata", "all/_METADATA", "all/manifest.ocdbt"]
)
def test_one_without_checksums_is_judged_by_restoring_it(run, whole, caplog, name):
    for checkpoint in (run / "checkpoints").iterdir():
        (checkpoint / checksums.CHECKSUMS_FILENAME).unlink()
    assert open_store(run) == 12
    FAULTS["half"](run / "checkpoints" / "12" / name)
    np.testing.assert_array_equal(train(run).value, whole[1])
    assert f"12: damaged ({name.split('/')[0]}" in caplog.text


def test_a_bit_of_a_large_array_is_missed_by_orbax_and_not_by_the_checksums(run):
    checkpoint = run / "checkpoints" / "12"
    name = max(list_files(checkpoint), key=lambda name: (checkpoint / name).stat().st_size)
    flip(checkpoint / name, 0.5)
    for step in (None, 12):
        with pytest.raises(
            UserError, match=rf"12: damaged \({name}: .*there are checkpoints of steps \[.*10, 12\]"
        ):
            restore_for_evaluation(str(run), ("ballast",), step)
    # Evaluation reads alone, and only what it needs.
    assert not (run / "damaged_checkpoints").exists()
    restore_for_evaluation(str(run), ("all",), 12)
    (checkpoint / checksums.CHECKSUMS_FILENAME).unlink()
    _, trees, _ = restore_for_evaluation(str(run), ("ballast",))
    assert not np.array_equal(trees["ballast"]["array"], BALLAST)


def test_a_checkpoint_of_another_config_is_refused_where_the_configs_file_is_gone(tmp_path):
    config = ConfigDict({"lambda_l1": 100.0, "data": {"finger": "left_thumb", "feeding": "host"}})
    train(tmp_path, config=config)
    (tmp_path / "config.json").unlink()
    other = ConfigDict({"lambda_l1": 50.0, "data": {"finger": "right_thumb", "feeding": "device"}})
    longer = {"schedule": {"num_steps": 14}}
    with pytest.raises(
        UserError, match=r"config\.data\.finger was 'left_thumb', is 'right_thumb'; config\.lambda_l1 was"
    ):
        train(tmp_path, config=other, **longer)
    # What no number depends on, and what another experiment's numbers do, may differ.
    config.data.feeding = "device"
    config.classifier = ConfigDict({"num_epochs": 3})
    changes = longer | {"config_fields": ("lambda", "data.")}
    assert int(train(tmp_path, config=config, **changes).step) == 14


def test_one_that_was_incomplete_when_its_checksums_were_written_is_set_aside(run, whole, caplog):
    checkpoint = run / "checkpoints" / "12"
    (checkpoint / "all" / "manifest.ocdbt").unlink()
    checksums.write_checksums(str(checkpoint))
    with pytest.raises(UserError, match=r"12: damaged \(all/\w+: missing\)"):
        restore_for_evaluation(str(run), ("all",))
    np.testing.assert_array_equal(train(run).value, whole[1])
    assert "checkpoints/12: damaged (all/" in caplog.text and (run / "damaged_checkpoints" / "12").is_dir()


def test_evaluation_does_not_mind_another_checkpoints_metrics(run):
    FAULTS["half"](run / "checkpoints" / "10" / "metrics" / "metrics")
    assert restore_for_evaluation(str(run), ("all",))[0] == 12


def fill_disk_at(monkeypatch, *steps):
    """Let the saves of some steps meet a full disk."""
    save = CheckpointStore.save

    def save_or_fail(store, step, trees, **options):
        if step not in steps:
            return save(store, step, trees, **options)
        store._await_save()
        with limit_files(BALLAST.nbytes // 2):
            save(store, step, trees, **options)
            store._await_save()

    monkeypatch.setattr(CheckpointStore, "save", save_or_fail)


def test_a_full_disk_costs_one_save(tmp_path, whole, monkeypatch, caplog):
    fill_disk_at(monkeypatch, 10)
    np.testing.assert_array_equal(train(tmp_path).value, whole[1])
    assert (tmp_path / "metrics.csv").read_bytes() == whole[2]
    assert {path.name for path in (tmp_path / "checkpoints").iterdir()} == {"5", "12"}
    (message,) = [record.getMessage() for record in caplog.records]
    assert "the checkpoint of step 10 could not be saved (File too large; " in message
    assert "MB are free); the run continues" in message


def test_a_full_disk_at_the_last_save_fails_the_run_which_can_be_continued(tmp_path, whole, monkeypatch):
    with monkeypatch.context() as patch:
        fill_disk_at(patch, 10, 12)
        with pytest.raises(
            UserError, match=r"step 12 could not be saved .* newest checkpoint is that of step 5"
        ):
            train(tmp_path)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["5"]
    np.testing.assert_array_equal(train(tmp_path).value, whole[1])
    assert (tmp_path / "metrics.csv").read_bytes() == whole[2]


def test_a_full_disk_at_the_first_save_is_told(tmp_path, monkeypatch):
    fill_disk_at(monkeypatch, 0)
    training = create_training(tmp_path)
    with pytest.raises(UserError, match=r"step 0 could not be saved .*; there is no checkpoint"):
        start.save_start(training, create_state())


def test_metrics_wait_for_room_on_the_disk(tmp_path):
    path = tmp_path / "metrics.csv"
    path.write_text("step,loss\n" + "".join(f"{step},1.0\n" for step in range(5000)))
    reporter = Reporter(str(tmp_path), start_step=5000)
    image = np.random.default_rng(0).integers(0, 256, (256, 256, 1), np.uint8)
    size = path.stat().st_size
    with limit_files(size + 5):
        for step in range(5000, 5020):  # as many as would have filled tensorboardX's queue
            reporter.write_metrics(step, {"loss": 2.0})
        reporter.write_images(5020, "epoch_0001", [[image]])
        assert path.stat().st_size == size
        assert not list((tmp_path / "samples").iterdir())
    reporter.write_metrics(5020, {"loss": 2.0})
    reporter.close()
    assert path.read_text().splitlines()[-21:] == [f"{step},2.0" for step in range(5000, 5021)]


def test_metrics_that_find_no_room_to_the_end_fail_the_run(tmp_path):
    path = tmp_path / "metrics.csv"
    path.write_text("step,loss\n" + "".join(f"{step},1.0\n" for step in range(5000)))
    reporter = Reporter(str(tmp_path), start_step=5000)
    with (
        limit_files(path.stat().st_size),
        pytest.raises(UserError, match=r"metrics.csv: 1 lines could not be"),
    ):
        reporter.write_metrics(5000, {"loss": 2.0})
        reporter.close()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("step,loss\n10,1.0\n20,0.25\n", ["10,1.0", "20,0.25"]),
        ("step,loss\n10,1.0\n20,0.2", ["10,1.0"]),  # all its commas are there, but not all its digits
        ("step,loss\n10,1.0\n2", ["10,1.0"]),
        ("step,loss\n10,1.0\n\0\0\0\0\0\n", ["10,1.0"]),
        ("step,lo", []),
        ("st\0p,loss\n10,1.0\n", []),
    ],
)
def test_a_cut_metrics_file_keeps_its_whole_lines(tmp_path, text, expected):
    (tmp_path / "metrics.csv").write_text(text)
    reporter = Reporter(str(tmp_path), start_step=20)
    reporter.write_metrics(30, {"loss": 2.0})
    reporter.close()
    assert (tmp_path / "metrics.csv").read_text().splitlines() == ["step,loss", *expected, "30,2.0"]
