"""Owns the runs of a sweep file: the name, folder and config of each, checked before any run starts."""

import hashlib
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from fpgan_jax import parallel
from fpgan_jax.config.checks import check_names, validate_config
from fpgan_jax.config.derived import count_persons
from fpgan_jax.config.fields import flatten_config
from fpgan_jax.config.files import override_fields
from fpgan_jax.config.identity import CLASSIFIER_FIELDS, GAN_FIELDS, claim_workdir
from fpgan_jax.config.python_file import call_function
from fpgan_jax.data import feeding, print_loading
from fpgan_jax.errors import UserError
from fpgan_jax.models import factory
from fpgan_jax.reproduction import chain
from fpgan_jax.sweeps.results import format_value
from fpgan_jax.sweeps.runs import Run
from fpgan_jax.training import gan_trainer
from fpgan_jax.training.reporting import METRICS_FILENAME

_MAX_NAME_LENGTH = 100
_UNSAFE = re.compile(r"[^A-Za-z0-9._+=,-]")


def load_sweep_file(path: str) -> list[Mapping[str, Any]]:
    """Load the overrides of each run, config field -> value, from a Python file that defines `get_sweep()`.

    Raises:
      UserError: the file cannot be loaded, or `get_sweep` does not return a list of at least one dict.
    """
    sweep = call_function("get_sweep", path, "--sweep")
    try:
        sweep = list(sweep) if isinstance(sweep, Iterable) else []
    except Exception as error:
        # A generator runs only now.
        raise UserError(f"--sweep: {path} cannot be loaded: {type(error).__name__}: {error}") from error
    if not sweep or not all(isinstance(overrides, Mapping) for overrides in sweep):
        raise UserError(f"--sweep: {path}: get_sweep() must return one dict per run, at least one")
    return sweep


def create_runs(
    config: ConfigDict,
    sweep: Sequence[Mapping[str, Any]],
    workdir: str,
    what: str,
    *,
    start: Sequence[str] = (),
    common: Mapping[str, Any] | None = None,
    num_devices: int = 1,
) -> list[Run]:
    """Name and check every run of a sweep, without writing anything.

    Args:
      config: config of all runs before their overrides; its values need not be valid.
      sweep: the overrides of each run.
      workdir: folder of the sweep.
      what: one of `KINDS`.
      start: start of every command: the program, the script and its `--config`.
      common: overrides of all runs, config field -> value.
      num_devices: devices per run; batches must divide over them.

    Raises:
      UserError: the config, data or folder of a run is not valid, or two runs are the same.
    """
    check_names(config)
    kind = KINDS[what]
    runs: dict[str, Run] = {}
    # Name of a run without the overrides that this kind of run ignores -> name of the first such run.
    names: dict[str, str] = {}
    for overrides in sweep:
        texts = {str(field): format_value(value, ",") for field, value in overrides.items()}
        described = ", ".join(f"{field}={text}" for field, text in texts.items()) or "no override"
        try:
            own = override_fields(config, [f"{field}={text}" for field, text in texts.items()])
            flat = flatten_config(own)
            values = {field: flat[field] for field in texts}
            name = name_run(values)
            if name in runs:
                raise UserError("twice in the sweep; leave one out")
            folder = os.path.join(workdir, name)
            own = print_loading.resolve_num_channels(own)
            num_steps = kind.check(own, folder)
            for field in kind.batch_sizes:
                parallel.check_batch_size(flat[field], f"config.{field}", num_devices)
            relevant = {field: value for field, value in values.items() if field.startswith(kind.prefixes)}
            other = names.setdefault(name_run(relevant), name)
            if other != name:
                raise UserError(
                    f"differs from run {other} only in fields that --what={what} ignores; leave one out"
                )
        except UserError as error:
            raise UserError(f"run {len(runs) + 1} ({described}): {error}") from error
        fields = {**(common or {}), **values}.items()
        command = [*start, *(f"--config.{field}={value}" for field, value in fields), f"--workdir={folder}"]
        runs[name] = Run(name, folder, values, own, num_steps, command)
    return list(runs.values())


def name_run(overrides: Mapping[str, Any]) -> str:
    """Name the folder of a run after its overrides, for example "lambda_l1=50,seed=0".

    Returns:
      At most 100 characters, of letters, digits and `._+=,-`. If characters were replaced or cut off, eight digits of a
      hash follow, so that names stay unique.
    """
    plain = ",".join(
        f"{field}={format_value(value, '+').removesuffix('.0' if isinstance(value, float) else '')}"
        for field, value in overrides.items()
    )
    name = _UNSAFE.sub("_", plain)
    if name != plain or len(name) > _MAX_NAME_LENGTH:
        digest = hashlib.sha256(plain.encode("utf-8", "surrogateescape")).hexdigest()[:8]
        name = f"{name[: _MAX_NAME_LENGTH - len(digest) - 1]}-{digest}"
    return name or "as_configured"


def _check_gan(config: ConfigDict, workdir: str) -> dict[str, int]:
    validate_config(config)
    chain.check_gan(config)
    source = chain.create_source(feeding.create_gan_source, config)
    claim_workdir(workdir, config, prefixes=GAN_FIELDS, is_writer=False)
    return {METRICS_FILENAME: _count_gan_steps(config, source.num_examples)}


def _check_classifier(config: ConfigDict, workdir: str) -> dict[str, int]:
    validate_config(config)
    factory.create_classifier(config, num_classes=2)
    chain.create_source(feeding.create_classifier_source, config)
    claim_workdir(workdir, config, prefixes=CLASSIFIER_FIELDS, is_writer=False)
    return {METRICS_FILENAME: config.classifier.num_steps}


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


class _Kind(NamedTuple):
    """A launch script that runs can use: its checks, and the fields that a run depends on."""

    check: Callable[[ConfigDict, str], dict[str, int]]  # returns `Run.num_steps`
    prefixes: tuple[str, ...]
    batch_sizes: tuple[str, ...]


KINDS = {
    "reproduce": _Kind(_check_experiment, ("",), ("global_batch_size", "classifier.global_batch_size")),
    "train_gan": _Kind(_check_gan, GAN_FIELDS, ("global_batch_size",)),
    "train_classifier": _Kind(_check_classifier, CLASSIFIER_FIELDS, ("classifier.global_batch_size",)),
}
