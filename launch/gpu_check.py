r"""Measure what only a GPU can tell, step by step within a lease of minutes; `bash launch/gpu_check.sh run` starts it.

python -m launch.gpu_check --workdir=runs/gpu_check
python -m launch.gpu_check --tiny --workdir=runs/gpu_check_tiny

Results go into the workdir's folder `results` as they come: rows as JSON lines, the steps' log, and gpu_check.md for
docs/benchmarks.md. The same command goes on with the steps that are not done.
"""

import pathlib
import sys

from absl import flags
from ml_collections import config_flags

from launch import cli

_CONFIG = config_flags.DEFINE_config_file(
    "config", None, "Of PyTorch's side; configs/pix2pix_socofing.py by default."
)
cli.define_path_flag("workdir", "Folder of the check; made if missing.", required=True)
cli.define_path_flag("out_dir", "Folder that gets a copy of the results after every step.")
flags.DEFINE_float("max_seconds", 520.0, "For all steps of this call.", lower_bound=0)
flags.DEFINE_list("only", [], "Names of steps to run, even if they are done; all that are not by default.")
flags.DEFINE_bool("tiny", False, "Rehearse on a CPU; the times mean nothing.")
cli.define_path_flag("prints_dir", "Where bash launch/gpu_check.sh prepare put the prints.", default=".gpu")


def main(argv):
    """Run the steps."""
    del argv
    import dataclasses

    from fpgan_jax.benchmarking import gpu_check

    names = [field.name for field in dataclasses.fields(gpu_check.Options)]
    values = {name: flags.FLAGS[name].value for name in names}
    options = gpu_check.Options(**values | {"only": tuple(values["only"])})
    print(gpu_check.run_check(_CONFIG.value, options))


if __name__ == "__main__":
    # As in launch.benchmark: a default of the flag's own would hide a mistake in an override.
    if not any(argument.lstrip("-").startswith("config=") for argument in sys.argv):
        sys.argv.insert(1, f"--config={pathlib.Path(__file__).parents[1] / 'configs/pix2pix_socofing.py'}")
    cli.run(main)
