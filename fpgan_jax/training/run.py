"""Owns what a training is to the loop, what its checkpoints hold, and the numbers that stop it."""

import dataclasses
import sys
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from absl import logging
from ml_collections import ConfigDict

from fpgan_jax import parallel
from fpgan_jax.config.identity import hash_config
from fpgan_jax.errors import UserError
from fpgan_jax.training import finiteness
from fpgan_jax.training.cadence import Schedule
from fpgan_jax.training.checkpoints.store import CheckpointStore
from fpgan_jax.training.feed import Feed
from fpgan_jax.training.metric_sums import MetricSums
from fpgan_jax.training.reporting import Reporter


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
      config: of the experiment, written to the workdir and into every checkpoint.
      config_fields: prefixes of the fields that this training depends on, see `config.identity.find_differences`.
      step: (state, batch, base_keys) -> (state, metrics), over `parallel.DEVICE_AXIS`, not compiled.
      metric_names: the step's metrics that are written.
      best_metric: the checkpoint with its lowest average since the checkpoint before is the best.
      checks: (network, metric's name or "gradient"), in the order in which a step computes them: if several are not
        finite, the first one is named.
      metadata: saved with each checkpoint beside the config, its hash and that of the data.
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


def open_store(training: Training, **options: Any) -> CheckpointStore:
    """Open the workdir's checkpoints for writing; the options are those of `CheckpointStore`."""
    keep_steps = training.schedule.keep_steps
    return CheckpointStore(
        training.workdir, best_metric=training.best_metric, keep_steps=keep_steps, **options
    )


def save_checkpoint(
    training: Training, store: CheckpointStore, host_state: Any, sums: MetricSums, *, is_due: bool
) -> None:
    """Save a state from the host with the metrics that are not written yet.

    A checkpoint that is not due by the schedule has no averages, and so is never the best.

    Raises:
      UserError: the state is not finite, or the previous save failed.
    """
    step = int(host_state.step)
    trees = jax.tree.map(np.asarray, host_state.to_trees())
    if place := finiteness.find_non_finite(trees):
        _refuse_number(training, f"{place} of the {training.label}", step, store)
    averages = sums.take_checkpoint() if is_due else {training.best_metric: sys.float_info.max}
    metadata = {
        "config": training.config.to_dict(),
        "config_hash": hash_config(training.config),
        "data_hash": training.feed.data_hash,
        **training.metadata,
    }
    store.save(step, trees | sums.to_trees(is_due=is_due), metadata=metadata, metrics=averages)


def check_finite(training: Training, fetched: list, last_step: int, store: CheckpointStore) -> None:
    """Check the metrics of the steps up to `last_step`.

    Raises:
      UserError: a number is not finite; the examples of its batch are logged.
    """
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
