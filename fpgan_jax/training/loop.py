"""Owns the loop that both trainings share: steps, metrics, cadence, checkpoints, progress.

Does not own what a step or a state is; `gan_trainer.py` and `classifier_trainer.py` bind those.
"""

import dataclasses
import functools
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from absl import logging

from fpgan_jax import parallel
from fpgan_jax.config.identity import find_differences
from fpgan_jax.errors import Interrupted, UserError
from fpgan_jax.host.folder_lock import hold_folder
from fpgan_jax.host.progress import create_progress
from fpgan_jax.host.signals import StopRequest
from fpgan_jax.metrics import Mean, compute_averages, merge_metrics
from fpgan_jax.training import finiteness
from fpgan_jax.training.cadence import is_time
from fpgan_jax.training.checkpoints.store import CheckpointStore
from fpgan_jax.training.reporting import Reporter

# Named with the state's trees in a checkpoint: metrics summed since the last row of the CSV.
_PENDING = "pending_metrics"
# Likewise, of a checkpoint that a signal asked for: metrics summed since the last checkpoint of the cadence.
_SINCE_CHECKPOINT = "metrics_since_checkpoint"


# How long a signal to one of several processes may wait for the others to hear of it.
_SECONDS_BETWEEN_QUESTIONS = 2.0


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
      step: (state, batch, base_keys) -> (state, metrics), of `parallel.DEVICE_AXIS`, not compiled.
      create_batches: (start_step, num_steps) -> iterator of host batches, or of places in `examples`.
      state_to_trees: state -> name -> pytree, the checkpoint's parts.
      trees_to_state: the way back.
      metadata: saved with each checkpoint; its "data_hash" must be that of the checkpoint resumed from, and its
        "config", if there is one, must agree with that one's.
      config_prefixes: the fields of the config that must agree, as of `config.identity.find_differences`.
      examples: the whole training set as a pytree of arrays [num_examples, ...], if it is to lie on the devices.
      keep_steps: the steps, from 1, after which there is a checkpoint that is never deleted.
      checks: (network, metric's name or "gradient"), in the order in which a step computes them: of several that are
        not finite the first one is named.
      name_examples: step, from 0 -> the names of its batch's examples.
      claim: writes into the workdir what run it is of; called when the workdir is held.
      watch_metrics: (completed steps, averages, reporter) -> None, of each row of the CSV, those from before a stop
        included.
      watch_state: (completed steps, replicated state, reporter) -> None, before each checkpoint of the cadence.
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
    checks: tuple[tuple[str, str], ...] = ()
    name_examples: Callable[[int], Sequence[str]] = lambda step: ()
    claim: Callable[[], None] = lambda: None
    watch_metrics: Callable[[int, Mapping[str, float], Reporter], None] = lambda step, averages, reporter: (
        None
    )
    watch_state: Callable[[int, Any, Reporter], None] = lambda step, state, reporter: None
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


def run_training(
    training: Training, initial_state: Any, base_keys: Any, *, may_start_anew: bool = False
) -> Any:
    """Train to the end, from the last checkpoint if there is one.

    A run that was stopped and is started again computes what it would have computed without the
    stop: the step index decides the batch and every random number, and the metrics that were not
    yet written are part of the checkpoint.

    Args:
      training: what to train.
      initial_state: the state at step 0, on the host, not replicated.
      base_keys: the run's random keys, as the step takes them.
      may_start_anew: see `CheckpointStore`.

    Returns:
      The final state, on the host, not replicated.

    Raises:
      UserError: the checkpoint does not fit the state or the data, all are damaged, a metric, a gradient or the
        state is no longer finite, the last checkpoint could not be saved, or another process works in the workdir.
      Interrupted: a signal asked to stop; the state after the step under way is saved.
    """
    with hold_folder(training.workdir, is_holder=parallel.is_main_process()):
        if parallel.is_main_process():
            training.claim()
        _warn_of_dispatch(training)
        store = _open_store(training, may_start_anew=may_start_anew)
        try:
            state, pending, since_checkpoint = _restore_or(initial_state, training, store)
            start_step = int(state.step)
            if start_step >= training.num_steps:
                return state
            reporter = Reporter(training.workdir, start_step=start_step, is_active=parallel.is_main_process())
            try:
                for row in reporter.read_metrics():
                    training.watch_metrics(int(row.pop("step")), row, reporter)
                with StopRequest() as stop:
                    state = _run_steps(
                        training, state, pending, since_checkpoint, base_keys, store, reporter, stop
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
      UserError: the workdir holds a checkpoint, the state is not finite, or it could not be saved.
    """
    with hold_folder(training.workdir):
        training.claim()
        store = _open_store(training)
        try:
            if store.latest_step is not None:
                raise UserError(
                    f"{training.workdir}: holds a run already, at step {store.latest_step}; use another --workdir"
                )
            _save(training, store, state, {_PENDING: _no_metrics(training)}, averages=None)
            store.finish()
        finally:
            store.close()


def _open_store(training: Training, **options) -> CheckpointStore:
    return CheckpointStore(
        training.workdir, best_metric=training.best_metric, keep_steps=training.keep_steps, **options
    )


def _save(
    training: Training,
    store: CheckpointStore,
    host_state,
    metrics_trees: Mapping,
    averages: Mapping[str, float] | None,
) -> None:
    """Save a checkpoint; one outside the cadence, of no averages, is never preferred as the best."""
    step = int(host_state.step)
    trees = jax.tree.map(np.asarray, training.state_to_trees(host_state))
    if place := finiteness.find_non_finite(trees):
        _refuse_number(training, f"{place} of the {training.label}", step, store)
    averages = {training.best_metric: sys.float_info.max} if averages is None else averages
    store.save(step, trees | dict(metrics_trees), metadata=training.metadata, metrics=averages)


def _no_metrics(training: Training) -> dict[str, Mean]:
    return merge_metrics([{name: Mean(0.0, 0.0) for name in training.metric_names}])


def _restore_or(initial_state, training: Training, store: CheckpointStore):
    pending = _no_metrics(training)
    if store.latest_step is None:
        return initial_state, pending, merge_metrics([])
    metadata = store.read_metadata()
    # The config's file tells it sooner, but may have been deleted or replaced.
    configs = [parts.get("config", {}) for parts in (metadata, training.metadata)]
    if differences := find_differences(*configs, training.config_prefixes):
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
        if number := _find_non_finite_number(training, metrics):
            _refuse_number(training, number, step, store)


def _find_non_finite_number(training: Training, metrics: Mapping) -> str | None:
    """Name the first number of a step that is not finite."""
    for network, name in training.checks:
        probed = metrics[finiteness.PROBES][network] if name == "gradient" else metrics[name].total
        if not np.isfinite(probed):
            return f"{name} of the {network}"
    bad = [name for name in training.metric_names if not np.isfinite(metrics[name].total)]
    return f"{', '.join(bad)} of the {training.label}" if bad else None


def _refuse_number(training: Training, number: str, step: int, store: CheckpointStore) -> None:
    """Log the examples of a step's batch and stop."""
    if parallel.is_main_process() and (names := training.name_examples(step - 1) if step else ()):
        logging.error("%s: the batch of step %d: %s", training.workdir, step, "; ".join(names))
    good = "there is no checkpoint yet"
    if store.latest_step is not None:
        good = f"the last good checkpoint is that of step {store.latest_step}"
    raise UserError(
        f"{training.workdir}: {number} not finite at step {step}; lower the learning rate, or look at the data; {good}"
    )


def _warn_of_dispatch(training: Training) -> None:
    intervals = [training.log_every_steps, training.checkpoint_every_steps]
    shortest = min((steps for steps in intervals if steps), default=training.num_steps)
    if training.steps_per_dispatch > shortest and parallel.is_main_process():
        logging.warning(
            "%s: steps_per_dispatch=%d has no effect: something is logged or saved every %d steps; set at most that",
            training.label,
            training.steps_per_dispatch,
            shortest,
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


class _StopAgreement:
    """Says after which step to stop, the same in every process.

    Several processes ask one another every few seconds, since asking makes them wait. How many steps that is they
    agree on too.
    """

    def __init__(self, stop: StopRequest, step: int):
        self._stop = stop
        self._last = (step, time.monotonic())
        self._next_step = step + 1

    def is_reached(self, step: int) -> bool:
        is_asked = self._stop.signal_name is not None
        if parallel.is_single_process():
            return is_asked
        if step < self._next_step:
            return False
        last_step, last_time = self._last
        seconds = (time.monotonic() - last_time) / (step - last_step)
        is_any_asked, seconds = parallel.compute_maximum(np.array([is_asked, seconds], np.float32))
        self._last = (step, time.monotonic())
        self._next_step = step + max(1, int(_SECONDS_BETWEEN_QUESTIONS / max(seconds, 1e-6)))
        return bool(is_any_asked)


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
    base_keys,
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
    stopwatch, agreement = _Stopwatch(), _StopAgreement(stop, start_step)
    with progress:
        while step < training.num_steps:
            num_steps = _count_next_steps(training, step)
            state, metrics = dispatch(state, stopwatch.wait_for(batches, num_steps), base_keys)
            step += num_steps
            unmerged.append(metrics)
            progress.update(num_steps * training.global_batch_size)
            is_log = is_time(step, training.log_every_steps, training.num_steps)
            is_checkpoint = step in training.keep_steps or is_time(
                step, training.checkpoint_every_steps, training.num_steps
            )
            is_stop = step < training.num_steps and agreement.is_reached(step)
            if is_log or is_checkpoint or is_stop:
                fetched = [metrics for several in unmerged for metrics in parallel.fetch_metrics(several)]
                _check_finite(training, fetched, step, store)
                fetched = [{name: metrics[name] for name in training.metric_names} for metrics in fetched]
                unmerged = []
                pending = merge_metrics([pending, *fetched])
                since_checkpoint = merge_metrics([since_checkpoint, *fetched])
            if is_log:
                averages = compute_averages(pending)
                reporter.write_metrics(step, averages)
                training.watch_metrics(step, averages, reporter)
                shown = {name: f"{averages[name]:.3f}" for name in training.shown_metrics}
                progress.set_postfix(step=f"{step}/{training.num_steps}", **shown)
                pending = _no_metrics(training)
                store.poll()
            if step in training.sample_steps:
                training.draw_samples(step, state, reporter)
            if is_checkpoint:
                training.watch_state(step, state, reporter)
                host_state = parallel.unreplicate(state)
                _save(training, store, host_state, {_PENDING: pending}, compute_averages(since_checkpoint))
                since_checkpoint = merge_metrics([])
            elif is_stop:
                metrics_trees = {_PENDING: pending, _SINCE_CHECKPOINT: since_checkpoint}
                _save(training, store, parallel.unreplicate(state), metrics_trees, averages=None)
            if is_stop:
                store.finish()
                raise Interrupted(
                    f"{training.workdir}: stopped by {stop.signal_name or 'a signal to another process'} after step "
                    f"{step} of {training.num_steps}, which is saved; the same command goes on from there"
                )
    if parallel.is_main_process():
        print(stopwatch.describe(training, training.num_steps - start_step), file=sys.stderr, flush=True)
    return host_state
