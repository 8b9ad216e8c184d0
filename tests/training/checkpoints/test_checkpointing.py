"""Saving and restoring with Orbax."""

import os

import numpy as np
import optax
import pytest

from fpgan_jax.errors import UserError
from fpgan_jax.training.checkpoints.restore import restore_for_evaluation
from fpgan_jax.training.checkpoints.store import CheckpointStore


def create_trees(value):
    params = {"dense": {"kernel": np.full((2, 3), value, np.float32)}}
    opt_state = optax.adam(1e-3).init(params)
    return {
        "generator": {"params": params, "batch_stats": {}},
        "training": {"step": np.int32(value), "opt_state": opt_state},
    }


def save(store, step, metric=1.0):
    store.save(step, create_trees(step), metadata={"config": {"seed": 3}}, metrics={"loss": metric})


@pytest.fixture
def store(tmp_path):
    store = CheckpointStore(str(tmp_path), best_metric="loss")
    yield store
    store.close()


def test_everything_comes_back_bit_for_bit(store):
    trees = create_trees(1 / 3)
    trees["generator"]["params"]["dense"]["kernel"][0, 0] = np.nextafter(np.float32(1), np.float32(2))
    store.save(5, trees, metadata={}, metrics={"loss": 1.0})
    restored = store.restore_latest(create_trees(0.0))
    kernel = restored["generator"]["params"]["dense"]["kernel"]
    np.testing.assert_array_equal(kernel, trees["generator"]["params"]["dense"]["kernel"])
    assert type(restored["training"]["opt_state"]) is type(trees["training"]["opt_state"])


# Orbax and TensorStore take them for patterns, a backslash for a slash, and refuse `**` and what is no UTF-8.
@pytest.mark.parametrize(
    "name", ["run[1]", "[proj]/gan", r"runs\gan", "a*b", "**", "a?b", "a\udcffb", "a,b=%41 ~"]
)
def test_any_folder_will_do(tmp_path, name):
    workdir = tmp_path / name
    store = CheckpointStore(str(workdir), best_metric="loss")
    for step in (1, 2, 3):
        save(store, step, metric=float(step))
    store.close()
    (folder,) = tmp_path.rglob("checkpoints")  # and no other that a library took for it
    assert folder == workdir / "checkpoints" and {path.name for path in folder.iterdir()} == {"1", "2", "3"}
    store = CheckpointStore(str(workdir), best_metric="loss")
    assert store.restore_latest(create_trees(0.0))["training"]["step"] == 3
    store.close()
    _, trees, _ = restore_for_evaluation(str(workdir), ("generator",), "best")
    assert trees["generator"]["params"]["dense"]["kernel"][0, 0] == 1.0


def test_a_folder_that_cannot_be_used_is_refused_before_anything_is_saved(tmp_path, monkeypatch):
    isdir = os.path.isdir
    monkeypatch.setattr(os.path, "isdir", lambda path: not str(path).startswith("/proc/") and isdir(path))
    with pytest.raises(
        UserError, match=r"run\[1\]: checkpoints cannot be kept under a path with one of \* \? \["
    ):
        CheckpointStore(str(tmp_path / "run[1]"), best_metric="loss")
    assert list((tmp_path / "run[1]").iterdir()) == []


def test_a_checkpoint_that_cannot_be_read_back_does_not_count_and_costs_no_other(tmp_path, monkeypatch):
    store = CheckpointStore(str(tmp_path), best_metric="loss")
    for step in (1, 2):
        save(store, step, metric=1 / step)
    store.finish()
    with monkeypatch.context() as patch:
        # What Orbax did where its pattern found none of its files: warn and go on.
        patch.setattr(
            "orbax.checkpoint._src.serialization.ocdbt_utils.merge_ocdbt_per_process_files", _do_nothing
        )
        save(store, 3, metric=0.1)
        with pytest.raises(
            UserError, match=r"checkpoints/3: cannot be read back \(generator/.*\) and does not"
        ):
            store.finish()
        store.close()
    assert {path.name for path in (tmp_path / "checkpoints").iterdir()} == {"1", "2"}
    assert restore_for_evaluation(str(tmp_path), ("generator",))[0] == 2


async def _do_nothing(*args, **options):
    del args, options


def test_the_last_two_and_the_best_are_kept(store, tmp_path):
    for step, metric in [(1, 0.5), (2, 0.1), (3, 0.4), (4, 0.3), (5, 0.2)]:
        save(store, step, metric)
    store.close()
    kept = {path.name for path in (tmp_path / "checkpoints").iterdir()}
    assert kept == {"2", "4", "5"}


def test_the_steps_to_keep_are_never_deleted(tmp_path):
    store = CheckpointStore(str(tmp_path), best_metric="loss", keep_steps=(1, 2))
    for step in range(1, 6):
        save(store, step, metric=1 / step)
    store.close()
    assert {path.name for path in (tmp_path / "checkpoints").iterdir()} == {"1", "2", "4", "5"}


def test_evaluation_reads_one_tree_and_no_optimizer(store, tmp_path):
    save(store, 7)
    store.close()
    step, trees, metadata = restore_for_evaluation(str(tmp_path), ("generator",))
    assert (step, set(trees), metadata) == (7, {"generator"}, {"config": {"seed": 3}, "metric": 1.0})
    np.testing.assert_array_equal(trees["generator"]["params"]["dense"]["kernel"], np.full((2, 3), 7.0))


def test_evaluation_may_choose_a_step(store, tmp_path):
    save(store, 1, 0.1)
    save(store, 2, 0.2)
    store.close()
    _, trees, _ = restore_for_evaluation(str(tmp_path), ("generator",), step=1)
    assert trees["generator"]["params"]["dense"]["kernel"][0, 0] == 1.0


def test_a_missing_step_is_named_with_those_there_are(store, tmp_path):
    save(store, 7)
    store.close()
    with pytest.raises(UserError, match=r"no checkpoint of step 8; there are steps \[7\]"):
        restore_for_evaluation(str(tmp_path), ("generator",), step=8)


def test_a_folder_without_checkpoints_is_named(tmp_path):
    with pytest.raises(UserError, match="no checkpoints here; train first"):
        restore_for_evaluation(str(tmp_path / "nothing"), ("generator",))


def test_a_checkpoint_of_another_kind_is_named(store, tmp_path):
    save(store, 7)
    store.close()
    with pytest.raises(UserError, match=r"checkpoints/7: has no 'classifier'"):
        restore_for_evaluation(str(tmp_path), ("classifier",))


def test_other_shapes_name_the_first_that_differs(store):
    save(store, 7)
    template = create_trees(0.0)
    template["generator"]["params"]["dense"]["kernel"] = np.zeros((2, 4), np.float32)
    with pytest.raises(
        UserError, match=r"generator: params/dense/kernel is \(2, 3\) in the checkpoint and \(2, 4\)"
    ):
        store.restore_latest(template)


def test_a_missing_layer_is_named(store):
    save(store, 7)
    template = create_trees(0.0)
    template["generator"]["params"]["extra"] = np.zeros(1, np.float32)
    with pytest.raises(UserError, match=r"generator: params/extra is missing in the checkpoint"):
        store.restore_latest(template)


def test_evaluation_may_ask_for_the_best(store, tmp_path):
    for step, metric in [(1, 0.5), (2, 0.1), (3, 0.4)]:
        save(store, step, metric)
    store.close()
    step, _, _ = restore_for_evaluation(str(tmp_path), ("generator",), step="best")
    assert step == 2


@pytest.mark.parametrize("name", ["metadata", "generator"])
def test_a_damaged_checkpoint_is_named(store, tmp_path, name):
    save(store, 7)
    store.close()
    for path in (tmp_path / "checkpoints" / "7" / name).rglob("*"):
        if path.is_file():
            path.write_bytes(b"{")
    with pytest.raises(UserError, match=r"checkpoints/7: damaged"):
        restore_for_evaluation(str(tmp_path), ("generator",))
