r"""Measure on a GPU, step by step within a limited time; `bash launch/gpu_check.sh run` starts this script.

python -m launch.gpu_check --workdir=runs/gpu_check
python -m launch.gpu_check --tiny --workdir=runs/gpu_check_tiny

The folder `results` in the workdir gets rows as JSON lines, a log, and gpu_check.md for docs/benchmarks.md. The same
command continues with the steps that are not done.
"""

from typing import Any

from absl import flags
from ml_collections import config_flags

from launch import cli

_CONFIG = config_flags.DEFINE_config_file(
    "config", None, "Config of PyTorch's side; configs/pix2pix_socofing.py by default."
)
cli.define_path_flag("workdir", "Folder of the check; created if missing.", required=True)
cli.define_path_flag("out_dir", "Folder for a copy of the results after every step.")
flags.DEFINE_float("max_seconds", 520.0, "Limit for all steps of this call.", lower_bound=0)
flags.DEFINE_list("only", [], "Names of steps to run even if they are done; by default all that are not.")
flags.DEFINE_bool("tiny", False, "Rehearse on a CPU; the times mean nothing.")
cli.define_path_flag("prints_dir", "Folder of the prints from gpu_check.sh prepare.", default=".gpu")


def main() -> None:
    """Run the steps."""
    import dataclasses

    from fpgan_jax.benchmarking import gpu_check

    names = [field.name for field in dataclasses.fields(gpu_check.Options)]
    values: dict[str, Any] = {name: flags.FLAGS[name].value for name in names}
    options = gpu_check.Options(**values | {"only": tuple(values["only"])})
    print(gpu_check.run_check(_CONFIG.value, options))


if __name__ == "__main__":
    cli.insert_default_config()
    cli.run(main)
