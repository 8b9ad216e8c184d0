r"""Run one config many times with fields overridden, here or on Slurm; goes on where it stopped.

python -m launch.sweep --config=configs/twin_p50.py --config.data.socofing_dir=SOCOFING_FOLDER \
    --sweep=configs/sweeps/lambda_l1.py --workdir=runs/lambda_l1

Every run is checked before the first starts. Writes into the workdir: a folder a run, named by what it overrides, with
log.txt, run.json and what the run's script writes; results.csv and results.html. One run a GPU at a time, or
--num_workers on CPUs. With --slurm the runs become a job array; the same command then tells how they stand.
"""

import os
import sys

from absl import flags

from launch import cli

_CONFIG = cli.define_config_flag()
_SWEEP = cli.define_path_flag("sweep", "Python file with get_sweep(), as configs/sweeps/.", required=True)
_WORKDIR = cli.define_path_flag("workdir", "Folder of the sweep; made if missing.", required=True)
_WHAT = flags.DEFINE_enum(
    "what", "reproduce", ["reproduce", "train_gan", "train_classifier"], "Each run's script."
)
_DRY_RUN = flags.DEFINE_bool("dry_run", False, "Check and list the runs only.")
_RETRY = flags.DEFINE_bool("retry_failed", False, "Also start runs that have failed before.")
_NUM_WORKERS = flags.DEFINE_integer(
    "num_workers",
    None,
    "Runs at a time; by default one a GPU, or 1 without; with --slurm 256.",
    lower_bound=1,
)
_SLURM = flags.DEFINE_bool("slurm", False, "Submit to Slurm; the flags below are of each job.")
_PARTITION = flags.DEFINE_string("partition", None, "Slurm's partition.")
_ACCOUNT = flags.DEFINE_string("account", None, "Slurm's account.")
_GPUS = flags.DEFINE_integer("gpus", 0, "GPUs.", lower_bound=0)
_CPUS = flags.DEFINE_integer("cpus", None, "CPU cores.", lower_bound=1)
_MINUTES = flags.DEFINE_integer("time", 60, "Time limit in minutes; a longer run is requeued.", lower_bound=1)
_SBATCH = flags.DEFINE_multi_string("sbatch", [], "Another option of sbatch, as mem=16G or exclusive.")


def main(argv):
    """Sweep."""
    del argv
    import jax

    # The checks below must not take hold of a GPU, which the runs want. They inherit the environment, so that this
    # does not say so there.
    jax.config.update("jax_platforms", "cpu")
    from fpgan_jax.sweeps import local_queue, slurm, sweep
    from fpgan_jax.sweeps.plan import create_commands, create_runs, load_sweep_file

    config_flag = flags.FLAGS["config"]
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
