"""Owns a sweep as a whole: it starts what is not done, here or through Slurm, and writes the results."""

import json
import os
from collections.abc import Mapping, Sequence

from fpgan_jax.errors import Interrupted, UserError
from fpgan_jax.host.folder_lock import hold_folder
from fpgan_jax.host.json_file import read_json
from fpgan_jax.host.whole_file import write_whole
from fpgan_jax.sweeps import local_queue, page, results, slurm
from fpgan_jax.sweeps.overview import Overview, format_runs
from fpgan_jax.sweeps.runs import LOG_FILENAME, Run, count_states, find_state, read_record

_ORIGIN_FILENAME = "sweep.json"


def list_runs(runs: Sequence[Run], workdir: str) -> str:
    """Format the state of all runs, one line per run, without starting or writing anything."""
    states = find_states(runs, workdir)
    return f"{format_runs(runs, states)}{len(runs)} runs: {count_states(states)}"


def find_states(runs: Sequence[Run], workdir: str) -> dict[str, str]:
    """Return name -> state, one of `runs.STATES`, of each run, from its folder or from its Slurm job."""
    live = slurm.find_live_runs(workdir)
    return {run.name: live.get(run.name) or find_state(run) for run in runs}


def run_sweep(
    runs: Sequence[Run],
    workdir: str,
    *,
    origin: Mapping[str, str],
    workers: Sequence[Mapping[str, str]] | None,
    allocation: slurm.Allocation | None = None,
    is_retrying_failed: bool = False,
) -> str:
    """Run what is not done of a sweep, write its results, and return the text to show.

    Args:
      runs: from `plan.create_runs`.
      workdir: created if missing.
      origin: "what", "config" and "sweep", shown on the page. "what" must not change between calls.
      workers: from `local_queue.create_workers`; None submits to Slurm.
      allocation: resources of each job on Slurm.
      is_retrying_failed: also start runs that have failed before.

    Raises:
      UserError: runs have failed, the folder belongs to another kind of sweep, or another process works in it.
      Interrupted: the sweep or a run was asked to stop.
    """
    with hold_folder(workdir):
        _check_folder(workdir, origin)
        states = find_states(runs, workdir)
        is_open = {"waiting", "interrupted"} | ({"failed"} if is_retrying_failed else set())
        to_start = [run for run in runs if states[run.name] in is_open]
        if to_start and workers is None:
            slurm.submit(to_start, workdir, allocation or slurm.Allocation())
        # Only now: a sweep that Slurm refuses leaves no file.
        with write_whole(os.path.join(workdir, _ORIGIN_FILENAME)) as file:
            file.write(f"{json.dumps(dict(origin), indent=2)}\n")
        if to_start and workers is not None:
            local_queue.check_idle(to_start)
            shown = states | {run.name: "waiting" for run in to_start}
            overview = Overview(runs, shown, num_workers=len(workers))
            local_queue.run_queue(to_start, workers, overview)
        states = find_states(runs, workdir)
        table = results.create_table(runs, states)
        paths = [page.write_csv(table, workdir), page.write_page(table, workdir, origin)]
    return _conclude(runs, states, paths)


def _check_folder(workdir: str, origin: Mapping[str, str]) -> None:
    try:
        what = read_json(os.path.join(workdir, _ORIGIN_FILENAME))["what"]
    except (OSError, ValueError, KeyError, TypeError):
        what = origin["what"]
    if what != origin["what"]:
        raise UserError(f"--what={origin['what']}: {workdir} holds runs of {what}; use another --workdir")


def _conclude(runs: Sequence[Run], states: Mapping[str, str], paths: Sequence[str]) -> str:
    for path in paths:
        print(path, flush=True)
    counts = f"{len(runs)} runs: {count_states(states)}"
    failed = [run for run in runs if states[run.name] == "failed"]
    if any(state in ("interrupted", "waiting") for state in states.values()):
        raise Interrupted(f"{counts}; the same command goes on")
    if failed and not any(state in ("running", "queued") for state in states.values()):
        record = read_record(failed[0].workdir)
        raise UserError(
            f"{counts}; first failure, {failed[0].name}: {record.message if record else ''} (see "
            f"{os.path.join(failed[0].workdir, LOG_FILENAME)}); --retry_failed tries them again"
        )
    return f"{format_runs(runs, states)}{counts}"
