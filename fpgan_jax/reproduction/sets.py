"""Owns the paper's whole table 2: the chain of every set, and the seconds of each stage.

Does not own the chain of one set (`chain.py`).
"""

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

from fpgan_jax.config.fields import FIELDS, flatten_config
from fpgan_jax.config.files import load_config, override_fields
from fpgan_jax.config.python_file import call_function
from fpgan_jax.errors import UserError
from fpgan_jax.host.whole_file import write_whole
from fpgan_jax.reproduction import chain, stages
from fpgan_jax.scoring import table2
from fpgan_jax.tables import formats


def load_configs(paths: Sequence[str], overrides: Sequence[str] = ()) -> list[ConfigDict]:
    """Load config files and set the same fields in all of them; the configs are not validated.

    Args:
      paths: Python files that define `get_config()`, or the config.json of a workdir.
      overrides: see `config.files.override_fields`.

    Raises:
      UserError: a file has no config, or an override is not valid.
    """
    return [override_fields(_load_config(path), overrides) for path in paths]


def _load_config(path: str) -> ConfigDict:
    is_json = path.endswith(".json")
    config: Any = load_config(path) if is_json else call_function("get_config", path, "--configs")
    if not isinstance(config, ConfigDict):
        raise UserError(f"--configs: {path}: get_config() returns no ConfigDict")
    if missing := sorted(FIELDS.keys() - flatten_config(config).keys()):
        raise UserError(
            f"--configs: {path}: config.{missing[0]} is missing; start from configs/pix2pix_socofing.py"
        )
    return config


def reproduce_sets(configs: Sequence[ConfigDict], workdir: str) -> str:
    """Run both experiments for several sets and make one table of them, after checking all sets; skip what is done.

    Args:
      configs: one per set.
      workdir: folder for table2.*, controls.*, timing.json, and one folder per set, named after it in lower case.

    Returns:
      The text to show: the tables, and the seconds of every stage of every set.

    Raises:
      UserError: a config, its data or its workdir is not valid, or the sets do not fit into one table.
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
        timing[config.set_name] = stages.read_seconds(chain.create_stages(config, own_workdir), own_workdir)
    evaluation = configs[0].evaluation
    scores = [os.path.join(own_workdir, "scores.csv") for own_workdir in workdirs]
    tables = table2.write_tables(scores, workdir, std_over=evaluation.std_over, std_ddof=evaluation.std_ddof)
    with write_whole(os.path.join(workdir, "timing.json")) as file:
        file.write(f"{json.dumps(timing, indent=2)}\n")
    return f"\nTable 2\n{tables}\nSeconds of each stage\n{format_timing(timing)}\nEverything is in {workdir}"


def _name_workdirs(configs: Sequence[ConfigDict], workdir: str) -> list[str]:
    names = [config.set_name.lower() for config in configs]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"config.set_name: two configs have the set {name!r}; give one config per set")
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
    """Format the seconds of set -> stage as a text table: one row per stage, one column per set, and the totals."""
    columns = [{**seconds, "total": sum(seconds.values())} for seconds in timing.values()]
    cells = [[stage, *(f"{seconds[stage]:.1f}" for seconds in columns)] for stage in columns[0]]
    return formats.format_text(("stage", *timing), cells)
