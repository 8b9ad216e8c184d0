"""Owns the paper's whole table: the chain of every set, one after the other, and what each stage took.

Does not own the chain of one set; `chain.py` does.
"""

import importlib.util
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

from fpgan_jax.config.fields import FIELDS, flatten_config
from fpgan_jax.config.files import load_config, override_fields
from fpgan_jax.errors import UserError
from fpgan_jax.host.whole_file import write_whole
from fpgan_jax.reproduction import chain
from fpgan_jax.scoring import table2
from fpgan_jax.tables import formats

TIMING_FILENAME = "timing.json"
_TOTAL = "total"


def load_configs(paths: Sequence[str], overrides: Sequence[str] = ()) -> list[ConfigDict]:
    """Load config files and set the same fields in all of them.

    Args:
      paths: Python files that define `get_config()`, or files that `config.identity.claim_workdir` wrote.
      overrides: as of `config.files.override_fields`.

    Returns:
      A config a file, not validated.

    Raises:
      UserError: a file is no config, or an override does not fit.
    """
    return [override_fields(_check_config(path, _load_config_file(path)), overrides) for path in paths]


def _check_config(path: str, config: Any) -> ConfigDict:
    """Refuse what is no config of ours, before anything is read from it."""
    if not isinstance(config, ConfigDict):
        raise UserError(f"--configs: {path}: get_config() returns no ConfigDict")
    missing = sorted(FIELDS.keys() - flatten_config(config).keys())
    if missing:
        raise UserError(
            f"--configs: {path}: config.{missing[0]} is missing; start from configs/pix2pix_socofing.py"
        )
    return config


def _load_config_file(path: str) -> ConfigDict:
    if path.endswith(".json"):
        return load_config(path)
    spec = importlib.util.spec_from_file_location("config_file", path)
    if spec is None or spec.loader is None or not os.path.isfile(path):
        raise UserError(f"--configs: {path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        return module.get_config()
    except Exception as error:
        # A config file is a program, which can raise anything.
        raise UserError(f"--configs: {path} cannot be loaded: {type(error).__name__}: {error}") from error


def reproduce_sets(configs: Sequence[ConfigDict], workdir: str) -> str:
    """Run both experiments for several sets and put them into one table; skip what is done.

    Everything that a user can get wrong in any set is checked before the first one starts.

    Args:
      configs: one a set.
      workdir: each set's own goes to its folder of the set's name in small letters; table2.*, controls.* and
        timing.json go here.

    Returns:
      The text to show: the tables, and the seconds of every stage of every set.

    Raises:
      UserError: a config, its data or its workdir is not as it must be, or the sets do not fit into one table.

    Source: Cordeiro & Saito, table 2; differs in: as `chain.reproduce`.
    """
    workdirs = _name_workdirs(configs, workdir)
    _check_one_table(configs)
    for config, own_workdir in zip(configs, workdirs, strict=True):
        try:
            chain.check_experiment(config, own_workdir)
        except UserError as error:
            raise UserError(f"set {config.set_name}: {error}") from error
    timing = {}
    for number, (config, own_workdir) in enumerate(zip(configs, workdirs, strict=True), start=1):
        print(f"set {config.set_name} ({number} of {len(configs)}), in {own_workdir}", flush=True)
        chain.reproduce(config, own_workdir)
        timing[config.set_name] = chain.read_seconds(chain.create_stages(config, own_workdir), own_workdir)
    evaluation = configs[0].evaluation
    scores = [os.path.join(own_workdir, "scores.csv") for own_workdir in workdirs]
    tables = table2.write_tables(scores, workdir, std_over=evaluation.std_over, std_ddof=evaluation.std_ddof)
    _write_timing(timing, os.path.join(workdir, TIMING_FILENAME))
    return (
        f"\nTable 2\n{tables}\nSeconds of each stage\n{format_timing(timing)}\nEverything lies in {workdir}"
    )


def _name_workdirs(configs: Sequence[ConfigDict], workdir: str) -> list[str]:
    names = [config.set_name.lower() for config in configs]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"config.set_name: two configs are of the set {name!r}; give one config a set")
        if os.path.basename(name) != name or name in ("", ".", ".."):
            raise UserError(f"config.set_name={name!r}: cannot be the name of a folder")
    return [os.path.join(workdir, name) for name in names]


def _check_one_table(configs: Sequence[ConfigDict]) -> None:
    if not configs:
        raise UserError("--configs: names no file")
    for field in ("std_over", "std_ddof"):
        values = {config.evaluation[field] for config in configs}
        if len(values) > 1:
            raise UserError(
                f"config.evaluation.{field}: the sets have {', '.join(map(repr, sorted(values)))}; one table needs one"
            )


def format_timing(timing: Mapping[str, Mapping[str, float]]) -> str:
    """Write seconds as a text table: a row a stage, a column a set, and the totals.

    Args:
      timing: a set's name -> a stage's name -> seconds; the stages are the same in all sets.

    Returns:
      The table.
    """
    stages = next(iter(timing.values()))
    cells = [[stage, *(f"{seconds[stage]:.1f}" for seconds in timing.values())] for stage in stages]
    cells.append([_TOTAL, *(f"{sum(seconds.values()):.1f}" for seconds in timing.values())])
    return formats.format_text(("stage", *timing), cells)


def _write_timing(timing: Mapping[str, Mapping[str, float]], path: str) -> None:
    with write_whole(path) as file:
        json.dump(timing, file, indent=2)
        file.write("\n")
