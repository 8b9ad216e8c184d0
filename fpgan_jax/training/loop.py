"""Owns the loop that both trainings share: steps, metrics, cadence, checkpoints, progress.

Does not own what a step or a state is; `gan_trainer.py` and `classifier_trainer.py` bind those.
"""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import numpy as np

from fpgan_jax import parallel
from fpgan_jax.errors import UserError
from fpgan_jax.metrics import Mean, compute_averages, merge_metrics
from fpgan_jax.progress import create_progress
from fpgan_jax.training.cadence import is_time
from fpgan_jax.training.checkpointing import CheckpointStore
from fpgan_jax.training.reporting import Reporter

# Named with the state's trees in a checkpoint: metrics summed since the last row of the CSV.
_PENDING = "pending_metrics"


@dataclasses.dataclass(frozen=True)
class Training:
    """One training, as the loop sees it.

    Attributes:
      label: what the progress line calls it.
      workdir: the run's folder.
      num_steps: steps in all.
      global_batch_size: examples a step.
      log_every_steps: interval of the CSV's rows.
      checkpoint_every_steps: interval of checkpoints; there is always one at the end.
      best_metric: the metric whose lowest mean since the checkpoint before makes one the best.
      metric_names: every name that the step returns.
      shown_metrics: the names in the progress line.
      step: pmapped (state, batch, base_key) -> (state, metrics).
      create_batches: (start_step, num_steps) -> iterator of host batches.
      state_to_trees: state -> name -> pytree, the checkpoint's parts.
      trees_to_state: the way back.
      metadata: saved with each checkpoint; its "data_hash" must be that of the checkpoint resumed from.
      on_step: (completed steps, replicated state, reporter) called after every step.
    """

    label: str
    workdir: str
    num_steps: int
    global_batch_size: int
    log_every_steps: int
    checkpoint_every_steps: int
    best_metric: str
    metric_names: tuple[str, ...]
    shown_metrics: tuple[str, ...]
    step: Callable
    create_batches: Callable[[int, int], Iterator[Mapping[str, np.ndarray]]]
    state_to_trees: Callable[[Any], dict[str, Any]]
    trees_to_state: Callable[[dict[str, Any]], Any]
    metadata: Mapping[str, Any]
    on_step: Callable[[int, Any, Reporter], None] = lambda step, state, reporter: None


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
      UserError: the checkpoint does not fit the state or the data, or a metric is no longer finite.
    """
    store = CheckpointStore(training.workdir, best_metric=training.best_metric)
    try:
        state, pending = _restore_or(initial_state, training, store)
        start_step = int(state.step)
        if start_step >= training.num_steps:
            return state
        reporter = Reporter(training.workdir, start_step=start_step, is_active=parallel.is_main_process())
        try:
            return _run_steps(training, state, pending, base_key, store, reporter)
        finally:
            reporter.close()
    finally:
        store.close()


def _restore_or(initial_state, training: Training, store: CheckpointStore):
    pending = merge_metrics([{name: Mean(0.0, 0.0) for name in training.metric_names}])
    if store.latest_step is None:
        return initial_state, pending
    old_hash = store.read_metadata().get("data_hash")
    if old_hash != training.metadata["data_hash"]:
        raise UserError(
            f"{training.workdir}: this run was trained on other data (hash {old_hash}, now "
            f"{training.metadata['data_hash']}); use another --workdir, or the data it was started with"
        )
    templates = jax.tree.map(np.asarray, training.state_to_trees(initial_state)) | {_PENDING: pending}
    trees = store.restore_latest(templates)
    pending = trees.pop(_PENDING)
    return training.trees_to_state(trees), pending


def _check_finite(training: Training, fetched: list, last_step: int, store: CheckpointStore) -> None:
    for step, metrics in enumerate(fetched, start=last_step - len(fetched) + 1):
        bad = [name for name, mean in metrics.items() if not np.isfinite(mean.total)]
        if bad:
            raise UserError(
                f"{training.workdir}: {', '.join(bad)} of the {training.label} not finite at step {step}; lower the "
                f"learning rate, or look at the data; the last good checkpoint is that of step {store.latest_step}"
            )


def _run_steps(training: Training, state, pending, base_key, store: CheckpointStore, reporter: Reporter):
    start_step = int(state.step)
    state = parallel.replicate(state)
    batches = training.create_batches(start_step, training.num_steps - start_step)
    # Metrics stay on the devices until they are needed, so that steps are dispatched ahead.
    unmerged: list = []
    since_checkpoint = merge_metrics([])
    progress = create_progress(
        training.num_steps * training.global_batch_size,
        training.label,
        "images",
        initial=start_step * training.global_batch_size,
    )
    with progress:
        for step in range(start_step + 1, training.num_steps + 1):
            state, metrics = training.step(state, parallel.shard_batch(next(batches)), base_key)
            unmerged.append(metrics)
            progress.update(training.global_batch_size)
            is_log = is_time(step, training.log_every_steps, training.num_steps)
            is_checkpoint = is_time(step, training.checkpoint_every_steps, training.num_steps)
            if is_log or is_checkpoint:
                fetched = [parallel.unreplicate(metrics) for metrics in unmerged]
                _check_finite(training, fetched, step, store)
                unmerged = []
                pending = merge_metrics([pending, *fetched])
                since_checkpoint = merge_metrics([since_checkpoint, *fetched])
            if is_log:
                averages = compute_averages(pending)
                reporter.write_metrics(step, averages)
                shown = {name: f"{averages[name]:.3f}" for name in training.shown_metrics}
                progress.set_postfix(step=f"{step}/{training.num_steps}", **shown)
                pending = merge_metrics([{name: Mean(0.0, 0.0) for name in training.metric_names}])
            training.on_step(step, state, reporter)
            if is_checkpoint:
                host_state = parallel.unreplicate(state)
                store.save(
                    step,
                    training.state_to_trees(host_state) | {_PENDING: pending},
                    metadata=training.metadata,
                    metrics=compute_averages(since_checkpoint),
                )
                since_checkpoint = merge_metrics([])
    return host_state
