"""Owns the loop that both trainings share: steps, metrics, cadence, checkpoints, progress.

Does not own what a step or a state is; `gan_trainer.py` and `classifier_trainer.py` bind those.
"""

import dataclasses
import functools
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import numpy as np

from fpgan_jax import configuration, parallel
from fpgan_jax.errors import Interrupted, UserError
from fpgan_jax.folder_lock import hold_folder
from fpgan_jax.metrics import Mean, compute_averages, merge_metrics
from fpgan_jax.progress import create_progress
from fpgan_jax.training.cadence import is_time
from fpgan_jax.training.checkpointing import CheckpointStore
from fpgan_jax.training.interruption import StopRequest
from fpgan_jax.training.reporting import Reporter

# Named with the state's trees in a checkpoint: metrics summed since the last row of the CSV.
_PENDING = "pending_metrics"
# Likewise, of a checkpoint that a signal asked for: metrics summed since the last checkpoint of the cadence.
_SINCE_CHECKPOINT = "metrics_since_checkpoint"


@dataclasses.dataclass(frozen=True)
class Training:
    """One training, as the loop sees it.

    Attributes:
      label: what the progress line calls it.
      workdir: the run's folder.
      num_steps: steps in all.
      global_batch_size: examples a step.
      steps_per_dispatch: steps that one call to the devices runs, where so many are left before the next at
        which something is due; see `_count_next_steps`.
      log_every_steps: interval of the CSV's rows.
      checkpoint_every_steps: interval of checkpoints; there is always one at the end.
      best_metric: the metric whose lowest mean since the checkpoint before makes one the best.
      metric_names: every name that the step returns.
      shown_metrics: the names in the progress line.
      step: (state, batch, base_key) -> (state, metrics), of `parallel.DEVICE_AXIS`, not compiled.
      create_batches: (start_step, num_steps) -> iterator of host batches, or of places in `examples`.
      state_to_trees: state -> name -> pytree, the checkpoint's parts.
      trees_to_state: the way back.
      metadata: saved with each checkpoint; its "data_hash" must be that of the checkpoint resumed from, and its
        "config", if there is one, must agree with that one's.
      config_prefixes: the fields of the config that must agree, as of `configuration.find_differences`.
      examples: the whole training set as a pytree of arrays [num_examples, ...], if it is to lie on the devices.
      keep_steps: the steps, from 1, after which there is a checkpoint that is never deleted.
      sample_steps: the steps, from 1, after which `draw_samples` is called.
      draw_samples: (completed steps, replicated state, reporter) -> None.
    """

    label: str
    workdir: str
    num_steps: int
    global_batch_size: int
    steps_per_dispatch: int
    log_every_steps: int
    checkpoint_every_steps: int
    best_metric: str
    metric_names: tuple[str, ...]
    shown_metrics: tuple[str, ...]
    step: Callable
    create_batches: Callable[[int, int], Iterator[Mapping[str, np.ndarray] | np.ndarray]]
    state_to_trees: Callable[[Any], dict[str, Any]]
    trees_to_state: Callable[[dict[str, Any]], Any]
    metadata: Mapping[str, Any]
    config_prefixes: tuple[str, ...] = ("",)
    examples: Mapping[str, np.ndarray] | None = None
    keep_steps: frozenset[int] = frozenset()
    sample_steps: frozenset[int] = frozenset()
    draw_samples: Callable[[int, Any, Reporter], None] = lambda step, state, reporter: None


def load_feed(source: Any, kind: str) -> tuple[Mapping[str, np.ndarray] | None, Callable]:
    """Ask a source for what `Training` feeds the step with.

    Args:
      source: a `feeding.Source`, or what answers as one.
      kind: config.data.feeding.

    Returns:
      (`Training.examples`, `Training.create_batches`), the latter of this process's part of each batch.

    Raises:
      UserError: the examples are too large to lie on the devices.
    """
    examples = source.load_examples() if kind == "device" else None
    create_batches = source.create_batches if examples is None else source.create_index_batches
    processes = {"process_index": jax.process_index(), "process_count": jax.process_count()}
    return examples, functools.partial(create_batches, **processes)


def run_training(training: Training, initial_state: Any, base_key: jax.Array) -> Any:
    """Train to the end, from the last checkpoint if there is one.

    A run that was stopped and is started again computes what it would have computed without the
    stop: the step index decides the batch and every random number, and the metrics that were not
    yet written are part of the checkpoint.

    Args:
      training: what to train.
      initial_state: the state at step 0, on the host, not replicated.
      base_key: the run's random key.

    Returns:
      The final state, on the host, not replicated.

    Raises:
      UserError: the checkpoint does not fit the state or the data, none is whole, a metric is no longer finite, the
        last checkpoint could not be saved, or another process works in the workdir.
      Interrupted: a signal asked to stop; the state after the step under way is saved.
    """
    with hold_folder(training.workdir, is_holder=parallel.is_main_process()):
        store = _open_store(training)
        try:
            state, pending, since_checkpoint = _restore_or(initial_state, training, store)
            start_step = int(state.step)
            if start_step >= training.num_steps:
                return state
            reporter = Reporter(training.workdir, start_step=start_step, is_active=parallel.is_main_process())
            try:
                with StopRequest() as stop:
                    state = _run_steps(
                        training, state, pending, since_checkpoint, base_key, store, reporter, stop
                    )
            finally:
                reporter.close()
            store.finish()
            return state
        finally:
            store.close()


def save_start(training: Training, state: Any) -> None:
    """Save a state of no steps as a checkpoint, from which `run_training` goes on.

    Args:
      training: what will be trained.
      state: the state at step 0, on the host, not replicated.

    Raises:
      UserError: the workdir holds a checkpoint, or this one could not be saved.
    """
    with hold_folder(training.workdir):
        store = _open_store(training)
        try:
            if store.latest_step is not None:
                raise UserError(
                    f"{training.workdir}: holds a run already, at step {store.latest_step}; use another --workdir"
                )
            _save_uncounted(training, store, state, {_PENDING: _no_metrics(training)})
            store.finish()
        finally:
            store.close()


def _open_store(training: Training) -> CheckpointStore:
    return CheckpointStore(training.workdir, best_metric=training.best_metric, keep_steps=training.keep_steps)


def _save_uncounted(training: Training, store: CheckpointStore, host_state, metrics_trees: Mapping) -> None:
    """Save a checkpoint outside the cadence, to which any of the cadence is preferred as the best."""
    trees = jax.tree.map(np.asarray, training.state_to_trees(host_state)) | dict(metrics_trees)
    metrics = {training.best_metric: sys.float_info.max}
    store.save(int(host_state.step), trees, metadata=training.metadata, metrics=metrics)


def _no_metrics(training: Training) -> dict[str, Mean]:
    return merge_metrics([{name: Mean(0.0, 0.0) for name in training.metric_names}])


def _restore_or(initial_state, training: Training, store: CheckpointStore):
    pending = _no_metrics(training)
    if store.latest_step is None:
        return initial_state, pending, merge_metrics([])
    metadata = store.read_metadata()
    # The config's file tells it sooner, but may have been deleted or replaced.
    configs = [parts.get("config", {}) for parts in (metadata, training.metadata)]
    if differences := configuration.find_differences(*configs, training.config_prefixes):
        raise UserError(
            f"{training.workdir}: the checkpoint of step {store.latest_step} is of another config "
            f"({'; '.join(differences)}); use another --workdir, or the config it was started with"
        )
    old_hash = metadata.get("data_hash")
    if old_hash != training.metadata["data_hash"]:
        raise UserError(
            f"{training.workdir}: this run was trained on other data (hash {old_hash}, now "
            f"{training.metadata['data_hash']}); use another --workdir, or the data it was started with"
        )
    templates = jax.tree.map(np.asarray, training.state_to_trees(initial_state)) | {_PENDING: pending}
    if store.has_tree(_SINCE_CHECKPOINT):
        templates[_SINCE_CHECKPOINT] = pending
    trees = store.restore_latest(templates)
    pending, since_checkpoint = trees.pop(_PENDING), trees.pop(_SINCE_CHECKPOINT, merge_metrics([]))
    return training.trees_to_state(trees), pending, since_checkpoint


def _check_finite(training: Training, fetched: list, last_step: int, store: CheckpointStore) -> None:
    for step, metrics in enumerate(fetched, start=last_step - len(fetched) + 1):
        bad = [name for name, mean in metrics.items() if not np.isfinite(mean.total)]
        if bad:
            raise UserError(
                f"{training.workdir}: {', '.join(bad)} of the {training.label} not finite at step {step}; lower the "
                f"learning rate, or look at the data; the last good checkpoint is that of step {store.latest_step}"
            )


def _count_next_steps(training: Training, step: int) -> int:
    """Return how many steps to dispatch after `step` completed ones.

    They never pass a step at which something is due. Since checkpoints are among these, a run that is continued
    dispatches the same programs as one that never stopped: programs of one and of several steps may round
    differently.
    """
    count = training.steps_per_dispatch
    return 1 if any(_is_due(training, passed) for passed in range(step + 1, step + count)) else count


def _is_due(training: Training, step: int) -> bool:
    intervals = (training.log_every_steps, training.checkpoint_every_steps)
    is_due = any(is_time(step, every_steps, training.num_steps) for every_steps in intervals)
    return is_due or step in training.keep_steps or step in training.sample_steps


def _is_stop_agreed(stop: StopRequest, is_log: bool) -> bool:
    """Say whether to stop after this step, the same in every process.

    Several processes ask one another only where they wait for one another anyway, at the steps that are logged.
    """
    is_asked = stop.signal_name is not None
    if parallel.is_single_process():
        return is_asked
    return is_log and parallel.is_any_process(is_asked)


class _Stopwatch:
    """Times a training, with its compilation and checkpoints, and what of it is waiting for batches."""

    def __init__(self):
        self._start = time.monotonic()
        self._waited = 0.0

    def wait_for(self, batches: Iterator, count: int) -> list:
        start = time.monotonic()
        taken = [next(batches) for _ in range(count)]
        self._waited += time.monotonic() - start
        return taken

    def describe(self, training: Training, num_steps: int) -> str:
        seconds = max(time.monotonic() - self._start, 1e-9)
        rate = num_steps * training.global_batch_size / seconds
        return (
            f"{training.label}: {num_steps} steps, {rate:.1f} images/s, "
            f"waited for data {self._waited / seconds:.1%} of the time"
        )


def _run_steps(
    training: Training,
    state,
    pending,
    since_checkpoint,
    base_key,
    store: CheckpointStore,
    reporter: Reporter,
    stop: StopRequest,
):
    start_step = step = int(state.step)
    dispatch = parallel.create_dispatch(training.step, training.examples)
    state = parallel.replicate(state)
    batches = training.create_batches(start_step, training.num_steps - start_step)
    # Metrics stay on the devices until they are needed, so that steps are dispatched ahead.
    unmerged: list = []
    progress = create_progress(
        training.num_steps * training.global_batch_size,
        training.label,
        "images",
        initial=start_step * training.global_batch_size,
        is_shown=parallel.is_main_process(),
    )
    stopwatch = _Stopwatch()
    with progress:
        while step < training.num_steps:
            num_steps = _count_next_steps(training, step)
            state, metrics = dispatch(state, stopwatch.wait_for(batches, num_steps), base_key)
            step += num_steps
            unmerged.append(metrics)
            progress.update(num_steps * training.global_batch_size)
            is_log = is_time(step, training.log_every_steps, training.num_steps)
            is_checkpoint = step in training.keep_steps or is_time(
                step, training.checkpoint_every_steps, training.num_steps
            )
            is_stop = step < training.num_steps and _is_stop_agreed(stop, is_log)
            if is_log or is_checkpoint or is_stop:
                fetched = [metrics for several in unmerged for metrics in parallel.fetch_metrics(several)]
                _check_finite(training, fetched, step, store)
                unmerged = []
                pending = merge_metrics([pending, *fetched])
                since_checkpoint = merge_metrics([since_checkpoint, *fetched])
            if is_log:
                averages = compute_averages(pending)
                reporter.write_metrics(step, averages)
                shown = {name: f"{averages[name]:.3f}" for name in training.shown_metrics}
                progress.set_postfix(step=f"{step}/{training.num_steps}", **shown)
                pending = _no_metrics(training)
                store.poll()
            if step in training.sample_steps:
                training.draw_samples(step, state, reporter)
            if is_checkpoint:
                host_state = parallel.unreplicate(state)
                store.save(
                    step,
                    training.state_to_trees(host_state) | {_PENDING: pending},
                    metadata=training.metadata,
                    metrics=compute_averages(since_checkpoint),
                )
                since_checkpoint = merge_metrics([])
            elif is_stop:
                metrics_trees = {_PENDING: pending, _SINCE_CHECKPOINT: since_checkpoint}
                _save_uncounted(training, store, parallel.unreplicate(state), metrics_trees)
            if is_stop:
                store.finish()
                raise Interrupted(
                    f"{training.workdir}: stopped by {stop.signal_name or 'a signal to another process'} after step "
                    f"{step} of {training.num_steps}, which is saved; the same command goes on from there"
                )
    if parallel.is_main_process():
        print(stopwatch.describe(training, training.num_steps - start_step), file=sys.stderr, flush=True)
    return host_state
