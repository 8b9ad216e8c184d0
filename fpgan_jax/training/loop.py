"""Owns the loop that both trainings share: steps, metrics, samples, checkpoints, progress.

Does not own what a step or a state is, or when something is due; `gan_trainer.py` and `classifier_trainer.py` say.
"""

import dataclasses
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import numpy as np
from absl import logging
from ml_collections import ConfigDict

from fpgan_jax import parallel
from fpgan_jax.config.identity import claim_workdir, find_differences, hash_config
from fpgan_jax.errors import Interrupted, UserError
from fpgan_jax.host.folder_lock import hold_folder
from fpgan_jax.host.progress import create_progress
from fpgan_jax.host.signals import StopRequest
from fpgan_jax.training import finiteness
from fpgan_jax.training.cadence import Schedule
from fpgan_jax.training.checkpoints.store import CheckpointStore
from fpgan_jax.training.feed import Feed
from fpgan_jax.training.metric_sums import MetricSums
from fpgan_jax.training.reporting import Reporter
from fpgan_jax.training.stop_agreement import StopAgreement


class Watch:
    """What is drawn and looked for while a training runs; this one does nothing."""

    def see_metrics(self, step: int, averages: Mapping[str, float], reporter: Reporter) -> None:
        """See a row of metrics; a resumed run shows the rows from before the stop again."""

    def see_state(self, step: int, state: Any, reporter: Reporter) -> None:
        """See the replicated state before a checkpoint that is due."""

    def draw_samples(self, step: int, state: Any, reporter: Reporter) -> None:
        """Draw samples from the replicated state, where they are due."""


@dataclasses.dataclass(frozen=True)
class Training:
    """One training, as the loop sees it.

    Attributes:
      label: its name in the progress line.
      workdir: the run's folder.
      config: the experiment's, written to the workdir and into every checkpoint.
      config_fields: prefixes of the fields that this training depends on, see `config.identity.find_differences`.
      schedule: when something is due.
      feed: the batches.
      global_batch_size: examples a step.
      step: (state, batch, base_keys) -> (state, metrics), over `parallel.DEVICE_AXIS`, not compiled.
      metric_names: the step's metrics that are written.
      shown_metrics: those in the progress line.
      best_metric: the one whose lowest average since the last checkpoint makes a checkpoint the best.
      checks: (network, metric's name or "gradient"), in the order in which a step computes them: of several that are
        not finite the first one is named.
      watch: what is drawn and looked for.
      metadata: saved with each checkpoint beside the config, its hash and the data's.
    """

    label: str
    workdir: str
    config: ConfigDict
    config_fields: tuple[str, ...]
    schedule: Schedule
    feed: Feed
    global_batch_size: int
    step: Callable
    metric_names: tuple[str, ...]
    shown_metrics: tuple[str, ...]
    best_metric: str
    checks: tuple[tuple[str, str], ...] = ()
    watch: Watch = dataclasses.field(default_factory=Watch)
    metadata: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def run_training(
    training: Training, initial_state: Any, base_keys: Any, *, may_start_anew: bool = False
) -> Any:
    """Train to the end, from the last checkpoint if there is one.

    A resumed run computes what it would have computed without the stop: the step's index decides the batch and every
    random number, and metrics that are not written yet are part of the checkpoint.

    Args:
      training: what to train.
      initial_state: the state at step 0, on the host, not replicated, with `to_trees` and `from_trees`.
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
        _claim(training)
        _warn_of_dispatch(training)
        store = _open_store(training, may_start_anew=may_start_anew)
        try:
            state, sums = _restore_or(initial_state, training, store)
            start_step = int(state.step)
            if start_step >= training.schedule.num_steps:
                return state
            reporter = Reporter(training.workdir, start_step=start_step, is_active=parallel.is_main_process())
            try:
                for row in reporter.read_metrics():
                    training.watch.see_metrics(int(row.pop("step")), row, reporter)
                with StopRequest() as stop:
                    state = _run_steps(training, state, sums, base_keys, store, reporter, stop)
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
        _claim(training)
        store = _open_store(training)
        try:
            if store.latest_step is not None:
                raise UserError(
                    f"{training.workdir}: holds a run already, at step {store.latest_step}; use another --workdir"
                )
            _save(training, store, state, MetricSums(training.metric_names), is_due=False)
            store.finish()
        finally:
            store.close()


def _run_steps(
    training: Training,
    state,
    sums: MetricSums,
    base_keys,
    store: CheckpointStore,
    reporter: Reporter,
    stop: StopRequest,
):
    schedule, watch = training.schedule, training.watch
    start_step = step = int(state.step)
    dispatch = parallel.create_dispatch(training.step, training.feed.examples)
    state = parallel.replicate(state)
    batches = training.feed.create_batches(start_step, schedule.num_steps - start_step)
    progress = _create_progress(training, start_step)
    stopwatch, agreement = _Stopwatch(), StopAgreement(stop, start_step)
    with progress:
        while step < schedule.num_steps:
            num_steps = schedule.count_next_steps(step)
            state, metrics = dispatch(state, stopwatch.wait_for(batches, num_steps), base_keys)
            step += num_steps
            sums.add(metrics)
            progress.update(num_steps * training.global_batch_size)
            is_checkpoint = schedule.is_checkpoint(step)
            is_stop = step < schedule.num_steps and agreement.is_reached(step)
            if schedule.is_log(step) or is_checkpoint or is_stop:
                fetched = sums.fetch()
                _check_finite(training, fetched, step, store)
                sums.merge(fetched)
            if schedule.is_log(step):
                averages = sums.take_row()
                reporter.write_metrics(step, averages)
                watch.see_metrics(step, averages, reporter)
                shown = {name: f"{averages[name]:.3f}" for name in training.shown_metrics}
                progress.set_postfix(step=f"{step}/{schedule.num_steps}", **shown)
                store.poll()
            if schedule.is_sample(step):
                watch.draw_samples(step, state, reporter)
            if is_checkpoint:
                watch.see_state(step, state, reporter)
            if is_checkpoint or is_stop:
                host_state = parallel.unreplicate(state)
                _save(training, store, host_state, sums, is_due=is_checkpoint)
            if is_stop:
                store.finish()
                raise Interrupted(
                    f"{training.workdir}: stopped by {stop.signal_name or 'a signal to another process'} after step "
                    f"{step} of {schedule.num_steps}, which is saved; the same command goes on from there"
                )
    if parallel.is_main_process():
        print(stopwatch.describe(training, schedule.num_steps - start_step), file=sys.stderr, flush=True)
    return host_state


def _claim(training: Training) -> None:
    if parallel.is_main_process():
        claim_workdir(training.workdir, training.config, prefixes=training.config_fields)


def _open_store(training: Training, **options) -> CheckpointStore:
    keep_steps = training.schedule.keep_steps
    return CheckpointStore(
        training.workdir, best_metric=training.best_metric, keep_steps=keep_steps, **options
    )


def _save(training: Training, store: CheckpointStore, host_state, sums: MetricSums, *, is_due: bool) -> None:
    """Save a checkpoint; one that is not due, and so has no averages, is never the best."""
    step = int(host_state.step)
    trees = jax.tree.map(np.asarray, host_state.to_trees())
    if place := finiteness.find_non_finite(trees):
        _refuse_number(training, f"{place} of the {training.label}", step, store)
    averages = sums.take_checkpoint() if is_due else {training.best_metric: sys.float_info.max}
    trees |= sums.to_trees(is_due=is_due)
    store.save(step, trees, metadata=_describe_run(training), metrics=averages)


def _describe_run(training: Training) -> dict[str, Any]:
    return {
        "config": training.config.to_dict(),
        "config_hash": hash_config(training.config),
        "data_hash": training.feed.data_hash,
        **training.metadata,
    }


def _restore_or(initial_state, training: Training, store: CheckpointStore) -> tuple[Any, MetricSums]:
    sums = MetricSums(training.metric_names)
    if store.latest_step is None:
        return initial_state, sums
    metadata = store.read_metadata()
    # config.json is checked sooner, but may have been deleted or replaced.
    old_config = metadata.get("config", {})
    if differences := find_differences(old_config, training.config, training.config_fields):
        raise UserError(
            f"{training.workdir}: the checkpoint of step {store.latest_step} is of another config "
            f"({'; '.join(differences)}); use another --workdir, or the config it was started with"
        )
    old_hash, new_hash = metadata.get("data_hash"), training.feed.data_hash
    if old_hash != new_hash:
        raise UserError(
            f"{training.workdir}: this run was trained on other data (hash {old_hash}, now {new_hash}); "
            "use another --workdir, or the data it was started with"
        )
    templates = jax.tree.map(np.asarray, initial_state.to_trees()) | sums.create_templates(store)
    trees = store.restore_latest(templates)
    sums.take_trees(trees)
    return initial_state.from_trees(trees), sums


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
    names = training.feed.name_examples(step - 1) if step and parallel.is_main_process() else ()
    if names:
        logging.error("%s: the batch of step %d: %s", training.workdir, step, "; ".join(names))
    good = "there is no checkpoint yet"
    if store.latest_step is not None:
        good = f"the last good checkpoint is that of step {store.latest_step}"
    raise UserError(
        f"{training.workdir}: {number} not finite at step {step}; lower the learning rate, or look at the data; {good}"
    )


def _warn_of_dispatch(training: Training) -> None:
    count, shortest = training.schedule.steps_per_dispatch, training.schedule.shortest_interval
    if count > shortest and parallel.is_main_process():
        logging.warning(
            "%s: steps_per_dispatch=%d has no effect: something is logged or saved every %d steps; set at most that",
            training.label,
            count,
            shortest,
        )


def _create_progress(training: Training, start_step: int):
    return create_progress(
        training.schedule.num_steps * training.global_batch_size,
        training.label,
        "images",
        initial=start_step * training.global_batch_size,
        is_shown=parallel.is_main_process(),
    )


class _Stopwatch:
    """Times a training, compilation and checkpoints included, and how long it waits for batches."""

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
