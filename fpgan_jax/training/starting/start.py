"""Owns how a run begins: at step 0, from another run's weights, or from its last checkpoint, with a changed config."""

import contextlib
import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from absl import logging

from fpgan_jax import parallel
from fpgan_jax.config.identity import (
    TRAIN_ON_FIELDS,
    claim_workdir,
    describe_changes,
    find_changes,
    find_differences,
)
from fpgan_jax.errors import UserError
from fpgan_jax.host.folder_lock import hold_folder
from fpgan_jax.training.checkpoints.store import CheckpointStore
from fpgan_jax.training.metric_sums import MetricSums
from fpgan_jax.training.run import Training, open_store, save_checkpoint
from fpgan_jax.training.starting.history import find_origin, update_history
from fpgan_jax.training.starting.origin import ORIGIN, Origin


def start_or_resume(
    training: Training, initial_state: Any, store: CheckpointStore, origin: Origin | None
) -> tuple[Training, Any, MetricSums]:
    """Find the state from which a training continues, and write config and history into the workdir.

    Args:
      initial_state: the state at step 0, on the host.
      origin: the run whose weights a new run starts from, or None.

    Returns:
      (the training, whose metadata name the origin if there is one; the state; metrics that are not written yet).

    Raises:
      UserError: the last checkpoint is of another config, other data or another origin, or has taken more steps than
        the config asks for; the weights do not fit, or are not named again. The workdir keeps its config.
    """
    sums = MetricSums(training.metric_names)
    if (step := store.latest_step) is not None:
        return _resume(training, initial_state, store, step, origin, sums)
    state = initial_state
    if origin:
        state, metadata = origin.load(initial_state, training)
        training = dataclasses.replace(training, metadata={**training.metadata, **metadata})
    elif recorded := find_origin(training.workdir):
        # It was killed before its first checkpoint, or all of them are damaged, so that the weights are not here.
        raise UserError(
            f"{training.workdir}: this run starts from the weights of {recorded}, and has no checkpoint of its own; "
            f"give --init_from={recorded} again, or use another --workdir"
        )
    _write_claim(training, step=0, changes={})
    if origin:
        # The origin may be gone when the run is resumed.
        save_checkpoint(training, store, state, sums, is_due=False)
    return training, state, sums


def check_claim(training: Training) -> None:
    """Check that the workdir has no run of another config, except for fields that may change when it is trained on.

    Nothing is written. The trainers check before they create the state, the loop again once it holds the workdir.

    Raises:
      UserError: it has.
    """
    claim_workdir(
        training.workdir,
        training.config,
        prefixes=training.config_fields,
        may_change=TRAIN_ON_FIELDS,
        is_writer=False,
    )


def save_start(training: Training, state: Any) -> Any:
    """Save a state at step 0, from the host, as a checkpoint from which `loop.run_training` continues; return it.

    Raises:
      UserError: the workdir has a checkpoint, the state is not finite, or it could not be saved.
    """
    with hold_folder(training.workdir):
        check_claim(training)
        with contextlib.closing(open_store(training)) as store:
            if store.latest_step is not None:
                raise UserError(
                    f"{training.workdir}: holds a run already, at step {store.latest_step}; use another --workdir"
                )
            _write_claim(training, step=0, changes={})
            save_checkpoint(training, store, state, MetricSums(training.metric_names), is_due=False)
            store.finish()
    return state


def _resume(
    training: Training,
    initial_state: Any,
    store: CheckpointStore,
    step: int,
    origin: Origin | None,
    sums: MetricSums,
) -> tuple[Training, Any, MetricSums]:
    workdir = training.workdir
    metadata = store.read_metadata()
    # config.json is checked sooner, but may have been deleted or replaced.
    configs = metadata.get("config", {}), training.config
    changes = find_changes(*configs, training.config_fields)
    if differences := find_differences(*configs, training.config_fields, may_change=TRAIN_ON_FIELDS):
        raise UserError(
            f"{workdir}: the checkpoint of step {step} has another config ({'; '.join(differences)}); use another "
            "--workdir, or the config it was started with"
        )
    old_hash, new_hash = metadata.get("data_hash"), training.feed.data_hash
    if old_hash != new_hash:
        raise UserError(
            f"{workdir}: this run was trained on other data (hash {old_hash}, now {new_hash}); "
            "use another --workdir, or the data it was started with"
        )
    if step > training.schedule.num_steps:
        raise UserError(
            f"{workdir}: the run is at step {step}, and this config ends at step {training.schedule.num_steps} "
            f"({'; '.join(describe_changes(changes))}); train for longer, or use another --workdir"
        )
    if origin:
        origin.check(metadata, workdir)
    if ORIGIN in metadata:
        training = dataclasses.replace(training, metadata={**training.metadata, ORIGIN: metadata[ORIGIN]})
    templates = jax.tree.map(np.asarray, initial_state.to_trees()) | sums.create_templates(store)
    trees = store.restore_latest(templates)
    sums.take_trees(trees)
    _write_claim(training, step=step, changes=changes)
    return training, initial_state.from_trees(trees), sums


def _write_claim(training: Training, *, step: int, changes: Mapping[str, tuple[Any, Any]]) -> None:
    if not parallel.is_main_process():
        return
    if changes:
        text = "; ".join(describe_changes(changes))
        logging.warning("%s: trained on from step %d: %s", training.workdir, step, text)
    # The history first: after a kill between the two it is written again, from the config in the checkpoint.
    update_history(training.workdir, step, changes, training.metadata.get(ORIGIN))
    claim_workdir(
        training.workdir, training.config, prefixes=training.config_fields, may_change=TRAIN_ON_FIELDS
    )
