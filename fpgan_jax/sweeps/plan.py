"""Owns the runs of a sweep file: the name, folder and config of each, checked before any run starts.

Does not start runs (`local_queue.py`, `slurm.py`) or know their state (`runs.py`).
"""

import hashlib
import os
import re
import runpy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

from fpgan_jax import parallel
from fpgan_jax.config.checks import check_names, validate_config
from fpgan_jax.config.derived import count_persons
from fpgan_jax.config.fields import flatten_config
from fpgan_jax.config.files import override_fields
from fpgan_jax.config.identity import CLASSIFIER_FIELDS, GAN_FIELDS, claim_workdir
from fpgan_jax.data import feeding, print_loading
from fpgan_jax.errors import UserError
from fpgan_jax.models import factory
from fpgan_jax.reproduction import chain
from fpgan_jax.sweeps.runs import Run
from fpgan_jax.training import gan_trainer
from fpgan_jax.training.reporting import METRICS_FILENAME

_MAX_NAME_LENGTH = 100
_UNSAFE = re.compile(r"[^A-Za-z0-9._+=,-]")


def load_sweep_file(path: str) -> list[Mapping[str, Any]]:
    """Load the overrides of all runs from a sweep file.

    Args:
      path: a Python file that defines `get_sweep()`, which returns one dict per run: config field -> value.

    Raises:
      UserError: the file cannot be loaded, or `get_sweep` does not return a list of at least one dict.
    """
    if not os.path.isfile(path):
        raise UserError(f"--sweep: {path}: no such file")
    try:
        namespace = runpy.run_path(path)
        sweep = list(namespace["get_sweep"]()) if "get_sweep" in namespace else None
    except Exception as error:
        # A sweep file is a program and can raise anything.
        raise UserError(f"--sweep: {path} cannot be loaded: {type(error).__name__}: {error}") from error
    if sweep is None:
        raise UserError(f"--sweep: {path} defines no get_sweep()")
    if not sweep or not all(isinstance(overrides, Mapping) for overrides in sweep):
        raise UserError(f"--sweep: {path}: get_sweep() must return one dict per run, at least one")
    return sweep


def create_runs(
    config: ConfigDict,
    sweep: Sequence[Mapping[str, Any]],
    workdir: str,
    what: str,
    *,
    num_devices: int = 1,
) -> list[Run]:
    """Name and check every run of a sweep, without writing anything.

    Args:
      config: config of all runs before their overrides; its values need not be valid.
      sweep: from `load_sweep_file`.
      workdir: folder of the sweep, which will hold the folders of the runs.
      what: one of `KINDS`.
      num_devices: devices per run; batches must divide over them.

    Returns:
      The runs in the order of the sweep.

    Raises:
      UserError: the config, data or folder of a run is not valid, or two runs are the same.
    """
    check_names(config)
    runs: dict[str, Run] = {}
    # Name of a run without the overrides that this kind of run ignores -> name of the first such run.
    names: dict[str, str] = {}
    for overrides in sweep:
        texts = {str(field): _format_value(value) for field, value in overrides.items()}
        described = ", ".join(f"{field}={text}" for field, text in texts.items()) or "no override"
        try:
            own = override_fields(config, [f"{field}={text}" for field, text in texts.items()])
            flat = flatten_config(own)
            values = {field: flat[field] for field in texts}
            name = name_run(values)
            if name in runs:
                raise UserError("twice in the sweep; leave one out")
            own = print_loading.resolve_num_channels(own)
            num_steps = KINDS[what](own, os.path.join(workdir, name))
            for field in _BATCH_SIZES[what]:
                parallel.check_batch_size(flat[field], f"config.{field}", num_devices)
            relevant = {field: value for field, value in values.items() if field.startswith(_PREFIXES[what])}
            other = names.setdefault(name_run(relevant), name)
            if other != name:
                raise UserError(
                    f"differs from run {other} only in fields that --what={what} ignores; leave one out"
                )
        except UserError as error:
            raise UserError(f"run {len(runs) + 1} ({described}): {error}") from error
        runs[name] = Run(name, os.path.join(workdir, name), values, own, num_steps)
    return list(runs.values())


def create_commands(
    runs: Sequence[Run], start: Sequence[str], common: Mapping[str, Any]
) -> dict[str, list[str]]:
    """Create the command of each run.

    Args:
      runs: from `create_runs`.
      start: start of every command: the program, the script and its `--config`.
      common: overrides of all runs: config field -> value.

    Returns:
      Name of the run -> command.
    """
    return {
        run.name: [
            *start,
            *(f"--config.{field}={value}" for field, value in {**common, **run.overrides}.items()),
            f"--workdir={run.workdir}",
        ]
        for run in runs
    }


def name_run(overrides: Mapping[str, Any]) -> str:
    """Name the folder of a run after its overrides.

    Args:
      overrides: config field -> value.

    Returns:
      A name such as "lambda_l1=50,seed=0": at most 100 characters, of letters, digits and `._+=,-`. If characters
      were replaced or cut off, eight digits of a hash follow, so that names stay unique.
    """
    plain = ",".join(
        f"{field}={_format_value(value, '+').removesuffix('.0' if isinstance(value, float) else '')}"
        for field, value in overrides.items()
    )
    name = _UNSAFE.sub("_", plain)
    if name != plain or len(name) > _MAX_NAME_LENGTH:
        digest = hashlib.sha256(plain.encode("utf-8", "surrogateescape")).hexdigest()[:8]
        name = f"{name[: _MAX_NAME_LENGTH - len(digest) - 1]}-{digest}"
    return name or "as_configured"


def _format_value(value: Any, separator: str = ",") -> str:
    """Format a value as `config.files.override_fields` reads it."""
    return separator.join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _check_gan(config: ConfigDict, workdir: str) -> dict[str, int]:
    validate_config(config)
    factory.create_generator(config)
    factory.create_discriminator(config)
    source = _check_source(feeding.create_gan_source, config)
    claim_workdir(workdir, config, prefixes=GAN_FIELDS, is_writer=False)
    return {METRICS_FILENAME: _count_gan_steps(config, source.num_examples)}


def _check_classifier(config: ConfigDict, workdir: str) -> dict[str, int]:
    validate_config(config)
    factory.create_classifier(config, num_classes=2)
    _check_source(feeding.create_classifier_source, config)
    claim_workdir(workdir, config, prefixes=CLASSIFIER_FIELDS, is_writer=False)
    return {METRICS_FILENAME: config.classifier.num_steps}


def _check_source(create_source: Callable, config: ConfigDict) -> feeding.Source:
    source = create_source(config)
    if config.data.feeding == "device":
        source.check_device_size()
    return source


def _check_experiment(config: ConfigDict, workdir: str) -> dict[str, int]:
    chain.check_experiment(config, workdir)
    # SOCOFing has one print of each. Others have several, and 0 persons are all of the source's.
    num_persons = count_persons(config) if config.data.source == "socofing" else 0
    num_examples = num_persons * config.data.num_replicas or feeding.create_gan_source(config).num_examples
    return {
        os.path.join("gan", METRICS_FILENAME): _count_gan_steps(config, num_examples),
        os.path.join("classifier", METRICS_FILENAME): config.classifier.num_steps,
    }


def _count_gan_steps(config: ConfigDict, num_examples: int) -> int:
    return gan_trainer.create_schedule(config, num_examples).num_steps


# Name of the launch script -> the check of a run, which returns `Run.num_steps`.
KINDS: Mapping[str, Callable[[ConfigDict, str], dict[str, int]]] = {
    "reproduce": _check_experiment,
    "train_gan": _check_gan,
    "train_classifier": _check_classifier,
}
# Prefixes of the fields that each kind of run depends on.
_PREFIXES: Mapping[str, tuple[str, ...]] = {
    "reproduce": ("",),
    "train_gan": GAN_FIELDS,
    "train_classifier": CLASSIFIER_FIELDS,
}
_BATCH_SIZES: Mapping[str, tuple[str, ...]] = {
    "reproduce": ("global_batch_size", "classifier.global_batch_size"),
    "train_gan": ("global_batch_size",),
    "train_classifier": ("classifier.global_batch_size",),
}
