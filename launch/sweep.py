r"""Run one config many times with overridden fields, here or on Slurm.

python -m launch.sweep --config=configs/twin_p50.py --config.data.socofing_dir=SOCOFING_FOLDER \
    --sweep=configs/sweeps/lambda_l1.py --workdir=runs/lambda_l1

Every run is checked before the first one starts. Writes into the workdir: results.csv, results.html and one folder per
run, named after its overrides, with log.txt, run.json and the output of the run's script. Each GPU has one run at a
time; without GPUs --num_workers runs are active. With --slurm the runs become a job array, and the same command shows
their state. An interrupted sweep resumes with the same command.
"""

import os
import sys
from typing import Any

from absl import flags

from launch import cli

_CONFIG = cli.define_config_flag()
_SWEEP = cli.define_path_flag(
    "sweep", "Python file with get_sweep(), such as those in configs/sweeps/.", required=True
)
_WORKDIR = cli.define_path_flag("workdir", "Folder of the sweep; created if missing.", required=True)
_WHAT = flags.DEFINE_enum(
    "what", "reproduce", ["reproduce", "train_gan", "train_classifier"], "Launch script of each run."
)
_DRY_RUN = flags.DEFINE_bool("dry_run", False, "Only check and list the runs.")
_RETRY = flags.DEFINE_bool("retry_failed", False, "Also start runs that have failed before.")
_NUM_WORKERS = flags.DEFINE_integer(
    "num_workers",
    None,
    "Runs at a time; by default one per GPU, or 1 without GPUs; 256 with --slurm.",
    lower_bound=1,
)
_SLURM = flags.DEFINE_bool("slurm", False, "Submit to Slurm; the flags below apply to each job.")
_PARTITION = flags.DEFINE_string("partition", None, "Slurm's partition.")
_ACCOUNT = flags.DEFINE_string("account", None, "Slurm's account.")
_GPUS = flags.DEFINE_integer("gpus", 0, "GPUs.", lower_bound=0)
_CPUS = flags.DEFINE_integer("cpus", None, "CPU cores.", lower_bound=1)
_MINUTES = flags.DEFINE_integer("time", 60, "Time limit in minutes; a longer run is requeued.", lower_bound=1)
_SBATCH = flags.DEFINE_multi_string("sbatch", [], "A further option of sbatch, such as mem=16G or exclusive.")


def main() -> None:
    """Run what is not done of the sweep."""
    import jax

    # The checks below must not occupy a GPU that the runs need. Not set in the environment, which the runs inherit.
    jax.config.update("jax_platforms", "cpu")
    from fpgan_jax.sweeps import local_queue, slurm, sweep
    from fpgan_jax.sweeps.plan import create_commands, create_runs, load_sweep_file

    config_flag: Any = flags.FLAGS["config"]
    runs = create_runs(
        _CONFIG.value,
        load_sweep_file(_SWEEP.value),
        _WORKDIR.value,
        _WHAT.value,
        num_devices=(_GPUS.value or 1) if _SLURM.value else 1,
    )
    if _DRY_RUN.value:
        print(sweep.list_runs(runs, _WORKDIR.value))
        return
    start = [sys.executable, "-m", f"launch.{_WHAT.value}", f"--config={config_flag.config_filename}"]
    commands = create_commands(runs, start, config_flag.override_values)
    allocation = slurm.Allocation(
        minutes=_MINUTES.value,
        partition=_PARTITION.value,
        account=_ACCOUNT.value,
        gpus=_GPUS.value,
        cpus=_CPUS.value,
        at_once=_NUM_WORKERS.value or 256,
        others=slurm.parse_options(_SBATCH.value),
    )
    print(
        sweep.run_sweep(
            runs,
            commands,
            _WORKDIR.value,
            origin={"what": _WHAT.value, "config": config_flag.config_filename, "sweep": _SWEEP.value},
            workers=None if _SLURM.value else local_queue.create_workers(_NUM_WORKERS.value, os.environ),
            allocation=allocation,
            is_retrying_failed=_RETRY.value,
        )
    )


if __name__ == "__main__":
    cli.run(main)
