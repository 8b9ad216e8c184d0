"""Device-axis code on the one device that tests have; several are in training/test_parallel_training.py."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fpgan_jax import parallel
from fpgan_jax.errors import UserError


def test_unreplicate_undoes_replicate():
    tree = {"a": np.arange(6.0).reshape(2, 3), "b": (np.int32(4),)}
    restored = parallel.unreplicate(parallel.replicate(tree))
    jax.tree.map(np.testing.assert_array_equal, restored, tree)


def test_unreplicate_takes_the_outputs_of_a_step():
    step = parallel.pmap_step(lambda state, batch, key: state + batch)
    out = step(parallel.replicate(np.float32(1)), parallel.replicate(np.float32(2)), jax.random.key(0))
    assert parallel.unreplicate(out) == 3


def test_shard_batch_keeps_the_order():
    batch = {"x": np.arange(8).reshape(4, 2)}
    sharded = parallel.shard_batch(batch)["x"]
    assert sharded.shape == (jax.local_device_count(), 4 // jax.local_device_count(), 2)
    np.testing.assert_array_equal(sharded.reshape(4, 2), batch["x"])


def test_batch_that_does_not_divide_names_the_field(monkeypatch):
    monkeypatch.setattr(jax, "device_count", lambda: 4)
    with pytest.raises(UserError, match=r"config\.global_batch_size=6: not divisible by the 4 devices"):
        parallel.check_batch_size(6, "config.global_batch_size")


def test_without_an_axis_nothing_is_averaged():
    tree = {"a": jnp.ones(2)}
    assert parallel.average_over_devices(tree, None) is tree
    assert parallel.sum_over_devices(tree, None) is tree


def count(state, batch, key):
    return state + batch["x"].sum(), {"seen": batch["x"][0], "before": state}


BATCHES = [{"x": np.array([1, 2], np.int32)}, {"x": np.array([3, 4], np.int32)}]


def test_several_steps_of_a_dispatch_follow_one_another():
    dispatch = parallel.create_dispatch(count)
    state, metrics = dispatch(parallel.replicate(np.int32(10)), BATCHES, jax.random.key(0))
    assert parallel.unreplicate(state) == 20
    assert parallel.fetch_metrics(metrics) == [{"seen": 1, "before": 10}, {"seen": 3, "before": 13}]


def test_a_dispatch_of_one_step_has_the_metrics_of_one():
    dispatch = parallel.create_dispatch(count)
    state, metrics = dispatch(parallel.replicate(np.int32(10)), BATCHES[1:], jax.random.key(0))
    assert parallel.unreplicate(state) == 17
    assert parallel.fetch_metrics(metrics) == [{"seen": 3, "before": 10}]


@pytest.mark.parametrize("num_steps", [1, 2])
def test_a_dispatch_gathers_its_examples_by_their_places(num_steps):
    dispatch = parallel.create_dispatch(count, {"x": np.array([4, 1, 3, 2], np.int32)})
    places = [np.array([1, 3], np.int32), np.array([2, 0], np.int32)][:num_steps]
    state, metrics = dispatch(parallel.replicate(np.int32(10)), places, jax.random.key(0))
    assert parallel.unreplicate(state) == (13 if num_steps == 1 else 20)
    assert [step["seen"] for step in parallel.fetch_metrics(metrics)] == [1, 3][:num_steps]
