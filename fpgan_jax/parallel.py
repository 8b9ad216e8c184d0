"""Owns all code that knows of a device axis: pmap, replication, sharding, several processes.

A move from `pmap` to `shard_map` changes this file alone.
"""

import contextlib
import itertools
import operator
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

# Private: JAX has no public barrier that needs no device.
from jax._src import distributed
from jax.experimental import multihost_utils

from fpgan_jax.errors import UserError

_MAX_WAIT_MS = 7 * 24 * 3600 * 1000
# Numbers the barriers; every process passes all of them.
_num_waits = itertools.count()

# The name of pmap's axis, over which gradients are averaged.
DEVICE_AXIS = "devices"


def pmap_step(step: Callable) -> jax.stages.Wrapped:
    """Compile a step (state, batch, base_keys) -> outputs, which may use `DEVICE_AXIS`, for all devices.

    State and batch get a leading device axis, the keys do not. The state must not be used again.
    """
    return jax.pmap(step, axis_name=DEVICE_AXIS, in_axes=(0, 0, None), donate_argnums=0)


def create_dispatch(step: Callable, examples: Any = None) -> Callable:
    """Compile a step for all devices, alone and several in a row.

    Several are one program, so that the devices do not wait for the host between them. One alone is the program of
    `pmap_step`.

    Args:
      step: (state, batch, base_keys) -> (state, metrics); may use `DEVICE_AXIS`.
      examples: a pytree of host arrays [num_examples, ...], which are copied to every device now; a batch is then an
        array of indices of examples, which the device gathers. None: batches are pytrees of arrays.

    Returns:
      A function (state, batches, base_keys) -> (state, metrics). The state has a leading device axis and must not be
      used again; `batches` is a sequence of this process's batches on the host, one per step. Metrics have a leading
      device axis and, for more than one batch, then an axis of steps.
    """
    # Without examples there is no such argument: pmap counts the leaves of an empty one wrongly.
    placed = () if examples is None else (_place_on_every_device(examples),)

    def take_step(state, batch, base_keys, *placed):
        if placed:
            # All indices are valid, so that none is clipped.
            batch = jax.tree.map(lambda leaf: jnp.take(leaf, batch, axis=0, mode="clip"), placed[0])
        return step(state, batch, base_keys)

    def take_steps(state, batches, base_keys, *placed):
        return jax.lax.scan(lambda state, batch: take_step(state, batch, base_keys, *placed), state, batches)

    in_axes = (0, 0, None, *(0 for _ in placed))
    one, several = (
        jax.pmap(function, axis_name=DEVICE_AXIS, in_axes=in_axes, donate_argnums=0)
        for function in (take_step, take_steps)
    )

    def dispatch(state, batches: Sequence, base_keys):
        sharded = [shard_batch(batch) for batch in batches]
        if len(sharded) == 1:
            return one(state, sharded[0], base_keys, *placed)
        stacked = jax.tree.map(lambda *leaves: np.stack(leaves, axis=1), *sharded)
        return several(state, stacked, base_keys, *placed)

    return dispatch


def fetch_metrics(metrics: Any) -> list[Any]:
    """Fetch the metrics of a dispatch, arrays [devices] or [devices, steps] that are equal on all devices.

    Returns:
      The same tree of NumPy scalars for each step.
    """
    columns = jax.tree.map(np.atleast_1d, unreplicate(metrics))
    num_steps = len(jax.tree.leaves(columns)[0])
    return [jax.tree.map(operator.itemgetter(index), columns) for index in range(num_steps)]


def _place_on_every_device(tree: Any) -> Any:
    copies = replicate(tree)
    if jax.process_count() == 1:
        return copies
    # pmap places its outputs as it wants its inputs; host arrays would be copied again at each call.
    return jax.pmap(lambda tree: tree, axis_name=DEVICE_AXIS)(copies)


def average_over_devices(tree: Any, axis_name: str | None) -> Any:
    """Average every leaf over the device axis; the tree itself if `axis_name` is None."""
    return tree if _is_alone(axis_name) else jax.lax.pmean(tree, axis_name)


def sum_over_devices(tree: Any, axis_name: str | None) -> Any:
    """Add every leaf over the device axis; the tree itself if `axis_name` is None."""
    return tree if _is_alone(axis_name) else jax.lax.psum(tree, axis_name)


def _is_alone(axis_name: str | None) -> bool:
    # XLA does not remove a reduction over a single device, which copies everything.
    return axis_name is None or jax.lax.axis_size(axis_name) == 1


def fold_in_device(key: jax.Array, axis_name: str | None) -> jax.Array:
    """Give each device a random key of its own; the key itself if `axis_name` is None."""
    return key if axis_name is None else jax.random.fold_in(key, jax.lax.axis_index(axis_name))


def find_first_example(per_device_batch_size: int, axis_name: str | None) -> jax.Array | int:
    """Compute the position of this device's first example in the global batch; 0 if `axis_name` is None."""
    return 0 if axis_name is None else jax.lax.axis_index(axis_name) * per_device_batch_size


def replicate(tree: Any) -> Any:
    """Copy every leaf to each local device, along a new leading axis."""
    num_devices = jax.local_device_count()
    copies = jax.tree.map(
        lambda leaf: np.broadcast_to(np.asarray(leaf), (num_devices, *np.shape(leaf))), tree
    )
    # For NumPy arrays the first step would be compiled separately.
    return copies if jax.process_count() > 1 else place_by_device(copies)


def place_by_device(tree: Any) -> Any:
    """Put arrays [local_devices, ...] on their devices, as pmap places its outputs."""
    mesh = jax.sharding.Mesh(np.array(jax.local_devices()), (DEVICE_AXIS,))
    return jax.device_put(tree, jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(DEVICE_AXIS)))


def unreplicate(tree: Any) -> Any:
    """Fetch the first local device's copy of a tree to the host."""

    def fetch(leaf):
        # x[0] on an output of pmap runs a separate program for every leaf.
        shards = getattr(leaf, "addressable_shards", None)
        return np.asarray(shards[0].data if shards else leaf)[0]

    return jax.tree.map(fetch, tree)


def shard_batch(batch: Any) -> Any:
    """Divide a process's batch over its devices: [local_batch, ...] -> [local_devices, per_device_batch, ...]."""
    num_devices = jax.local_device_count()
    return jax.tree.map(lambda leaf: leaf.reshape(num_devices, -1, *leaf.shape[1:]), batch)


def check_batch_size(global_batch_size: int, field: str, num_devices: int | None = None) -> None:
    """Check that a batch divides over `num_devices`, by default all devices of all processes.

    Raises:
      UserError: it does not divide; the message names the config field that it comes from.
    """
    num_devices = jax.device_count() if num_devices is None else num_devices
    if global_batch_size % num_devices:
        raise UserError(
            f"{field}={global_batch_size}: not divisible by the {num_devices} devices; "
            f"use a multiple of {num_devices} or fewer devices (CUDA_VISIBLE_DEVICES)"
        )


def is_main_process() -> bool:
    """Return whether this process writes what is shared."""
    return jax.process_index() == 0


def is_single_process() -> bool:
    """Return whether all devices are this process's."""
    return jax.process_count() == 1


def compute_maximum(values: np.ndarray) -> np.ndarray:
    """Compute the elementwise maximum over all processes, which must ask at the same point and wait for one another."""
    return multihost_utils.process_allgather(values).reshape(-1, len(values)).max(axis=0)


@contextlib.contextmanager
def main_process_first(name: str) -> Iterator[None]:
    """Run a `with` block in the main process first, so that the others, with the same name for it, find its files."""
    if not is_main_process():
        wait_for_all(name)
    yield
    if is_main_process():
        wait_for_all(name)


def wait_for_all(name: str) -> None:
    """Wait, however long, until every process has come to the point of this name."""
    if is_single_process():
        return
    # Gloo and NCCL first connect within 30 s or not at all, so the processes meet by other means before.
    client = distributed.global_state.client
    assert client is not None  # there are several processes
    client.wait_at_barrier(f"{name} {next(_num_waits)}", timeout_in_ms=_MAX_WAIT_MS)
    multihost_utils.sync_global_devices(name)
