"""Owns the loop that both trainings share: steps, metrics, samples, checkpoints, progress."""

import contextlib
import sys
import time
from collections.abc import Iterator
from typing import Any

from absl import logging

from fpgan_jax import parallel
from fpgan_jax.errors import Interrupted
from fpgan_jax.host.folder_lock import hold_folder
from fpgan_jax.host.progress import create_progress
from fpgan_jax.host.signals import StopRequest
from fpgan_jax.training.checkpoints.restore import has_checkpoints
from fpgan_jax.training.checkpoints.store import CheckpointStore
from fpgan_jax.training.metric_sums import MetricSums
from fpgan_jax.training.random_streams import StepKeys
from fpgan_jax.training.reporting import Reporter
from fpgan_jax.training.run import Training, check_finite, open_store, save_checkpoint
from fpgan_jax.training.starting.origin import Origin
from fpgan_jax.training.starting.start import check_claim, start_or_resume
from fpgan_jax.training.stop_agreement import StopAgreement


def run_training(
    training: Training,
    initial_state: Any,
    base_keys: Any,
    *,
    may_start_anew: bool = False,
    origin: Origin | None = None,
) -> Any:
    """Train to the end, from the last checkpoint if there is one.

    A resumed run computes what it would have computed without the stop: the step's index decides the batch and every
    random number, and metrics that are not written yet are part of the checkpoint.

    Args:
      initial_state: the state at step 0, on the host, not replicated.
      origin: the run whose weights a new run starts from.

    Returns:
      The final state, on the host, not replicated.

    Raises:
      UserError: the checkpoint does not fit the state or the data, all are damaged, a metric, a gradient or the state
        is no longer finite, the last checkpoint could not be saved, or another process uses the workdir.
      Interrupted: a signal asked to stop; the state after the current step is saved.
    """
    if origin and not has_checkpoints(training.workdir):
        # Weights that do not fit are refused before anything is written.
        origin.load(initial_state, training)
    with hold_folder(training.workdir, is_holder=parallel.is_main_process()):
        if parallel.is_main_process():
            check_claim(training)
        _warn_of_dispatch(training)
        with contextlib.closing(open_store(training, may_start_anew=may_start_anew)) as store:
            training, state, sums = start_or_resume(training, initial_state, store, origin)
            start_step = int(state.step)
            if start_step >= training.schedule.num_steps:
                return state
            reporter = Reporter(training.workdir, start_step=start_step, is_active=parallel.is_main_process())
            with contextlib.closing(reporter):
                for row in reporter.read_metrics():
                    training.watch.see_metrics(int(row.pop("step")), row, reporter)
                with StopRequest() as stop:
                    state = _run_steps(training, state, sums, base_keys, store, reporter, stop)
            store.finish()
            return state


def _run_steps(
    training: Training,
    state: Any,
    sums: MetricSums,
    base_keys: StepKeys,
    store: CheckpointStore,
    reporter: Reporter,
    stop: StopRequest,
) -> Any:
    schedule, watch = training.schedule, training.watch
    start_step = step = int(state.step)
    dispatch = parallel.create_dispatch(training.step, training.feed.examples)
    state = parallel.replicate(state)
    batches = training.feed.create_batches(start_step, schedule.num_steps - start_step)
    stopwatch, agreement = _Stopwatch(), StopAgreement(stop, start_step)
    progress = create_progress(
        schedule.num_steps * training.global_batch_size,
        training.label,
        "images",
        initial=start_step * training.global_batch_size,
        is_shown=parallel.is_main_process(),
    )
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
                check_finite(training, fetched, step, store)
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
                save_checkpoint(training, store, host_state, sums, is_due=is_checkpoint)
            if is_stop:
                store.finish()
                raise Interrupted(
                    f"{training.workdir}: stopped by {stop.signal_name or 'a signal to another process'} after step "
                    f"{step} of {schedule.num_steps}, which is saved; run the same command again to resume"
                )
    if parallel.is_main_process():
        print(stopwatch.describe(training, schedule.num_steps - start_step), file=sys.stderr, flush=True)
    return host_state


def _warn_of_dispatch(training: Training) -> None:
    count, shortest = training.schedule.steps_per_dispatch, training.schedule.shortest_interval
    if count > shortest and parallel.is_main_process():
        logging.warning(
            "%s: steps_per_dispatch=%d has no effect: something is logged or saved every %d steps; set at most that",
            training.label,
            count,
            shortest,
        )


class _Stopwatch:
    """Times a training, compilation and checkpoints included, and how long it waits for batches."""

    def __init__(self) -> None:
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
