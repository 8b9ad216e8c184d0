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
