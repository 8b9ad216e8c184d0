"""Owns running the stages of an experiment: a stage that is done is skipped.

Does not know what a stage does.
"""

import contextlib
import dataclasses
import glob
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

from ml_collections import ConfigDict

from fpgan_jax.config.fields import flatten_config
from fpgan_jax.config.identity import EXPERIMENT_FIELDS, claim_workdir
from fpgan_jax.data import print_loading
from fpgan_jax.errors import UserError
from fpgan_jax.host.folder_lock import hold_folder
from fpgan_jax.host.json_file import read_json
from fpgan_jax.host.whole_file import write_whole
from fpgan_jax.training.checkpoints.checksums import CHECKSUMS_FILENAME, hash_file

_HASH_FILENAME = "data_hash.txt"


@dataclasses.dataclass(frozen=True)
class Stage:
    """One stage of an experiment; it reads nothing but the outputs of earlier stages.

    Attributes:
      name: unique in the experiment.
      run: does it; continues after an interruption.
      outputs: files and folders that it writes, relative to the workdir.
      fields: prefixes of config fields that may change in a finished experiment; the stage then runs again.
    """

    name: str
    run: Callable[[], object]
    outputs: tuple[str, ...]
    fields: tuple[str, ...] = ()


def check_workdir(config: ConfigDict, workdir: str, data_hash: str) -> None:
    """Check that the content of a workdir was made with this config from these prints.

    Raises:
      UserError: it was not.
    """
    path = os.path.join(workdir, _HASH_FILENAME)
    if os.path.exists(path):
        with open(path, encoding="utf-8") as file:
            if file.read().strip() != data_hash:
                raise UserError(
                    f"{workdir}: this experiment was made from other prints than those in "
                    f"{print_loading.describe_origin(config.data)}; use another --workdir"
                )
    claim_workdir(workdir, config, prefixes=EXPERIMENT_FIELDS, is_writer=False)


@contextlib.contextmanager
def hold_experiment(config: ConfigDict, workdir: str, data_hash: str) -> Iterator[None]:
    """Keep a workdir for this process and this experiment within a `with` block; create it if missing.

    Raises:
      UserError: another process or another experiment uses it.
    """
    with hold_folder(workdir):
        claim_workdir(workdir, config, prefixes=EXPERIMENT_FIELDS)
        with write_whole(os.path.join(workdir, _HASH_FILENAME)) as file:
            file.write(f"{data_hash}\n")
        yield


def run_stages(stages: Sequence[Stage], config: ConfigDict, workdir: str) -> None:
    """Run the stages that are not done, and all after the first of them.

    A file in the folder `done` of the workdir marks a finished stage. The mark counts as long as the outputs and the
    stage's config fields are unchanged.
    """
    os.makedirs(os.path.join(workdir, "done"), exist_ok=True)
    flat = flatten_config(config)
    is_stale = False
    for number, stage in enumerate(stages, start=1):
        mark = _locate_mark(stage, workdir)
        settings = {name: flat[name] for name in sorted(flat) if name.startswith(stage.fields)}
        settings = json.loads(json.dumps(settings))  # with lists for tuples, as they are read
        header = f"[{number}/{len(stages)}] {stage.name}"
        if not is_stale and _is_done(stage, settings, workdir):
            print(f"{header}: done before", flush=True)
            continue
        # The later stages used the old outputs.
        is_stale = True
        if os.path.exists(mark):
            os.remove(mark)
        print(header, flush=True)
        start = time.monotonic()
        stage.run()
        seconds = round(time.monotonic() - start, 1)
        with write_whole(mark) as file:
            outputs = _hash_outputs(stage, workdir)
            json.dump({"seconds": seconds, "settings": settings, "outputs": outputs}, file)


def read_seconds(stages: Sequence[Stage], workdir: str) -> dict[str, float]:
    """Return name -> seconds of finished stages, without the time of runs that were interrupted."""
    return {stage.name: read_json(_locate_mark(stage, workdir))["seconds"] for stage in stages}


def _locate_mark(stage: Stage, workdir: str) -> str:
    return os.path.join(workdir, "done", f"{stage.name.replace(' ', '_')}.json")


def _is_done(stage: Stage, settings: dict, workdir: str) -> bool:
    try:
        found = read_json(_locate_mark(stage, workdir))
        outputs = _hash_outputs(stage, workdir)
        return found["settings"] == settings and found["outputs"] == outputs and None not in outputs.values()
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _hash_outputs(stage: Stage, workdir: str) -> dict[str, str | None]:
    """Hash the content of each output, of checkpoints their checksums; None for a missing output."""

    def hash_output(path: str) -> str | None:
        if os.path.isdir(path):
            sums = glob.glob(os.path.join(glob.escape(path), "*", CHECKSUMS_FILENAME))
            return " ".join(sorted(map(hash_file, sums)))
        return hash_file(path) if os.path.exists(path) else None

    return {name: hash_output(os.path.join(workdir, name)) for name in stage.outputs}


def describe_files(workdir: str, meanings: Mapping[str, str]) -> str:
    """Format a list of the files in a workdir with their meanings."""
    width = max(map(len, meanings))
    lines = (f"  {name.ljust(width)}  {meaning}" for name, meaning in meanings.items())
    return "\n".join([f"Everything is in {workdir}:", *lines])
