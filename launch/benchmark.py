r"""Time networks, training steps and input on this machine, beside PyTorch if asked to.

python -m launch.benchmark --cases=gan_step --sizes=128 --batch_sizes=8 --peers --out=runs/benchmark.jsonl
python -m launch.benchmark --goals
python -m launch.benchmark --compile_for=h200 --cases=gan_step --sizes=256 --batch_sizes=1 --steps_per_dispatch=8

Prints tables; with --out each row is appended as it is done, and the tables go beside it as Markdown. The ceilings
that --out holds of this machine are not measured again.
"""

import pathlib
import sys

from absl import flags
from ml_collections import config_flags

from launch import cli

_CONFIG = config_flags.DEFINE_config_file(
    "config",
    None,
    "What a case does not name; configs/pix2pix_socofing.py by default. --config.FIELD=VALUE overrides.",
)
_CASES = """generator_inference, synthesis, discriminator, gan_step, input_tfdata, input_device, xception_inference,
xception_step, start_up, weak_scaling, cpu_parity (two training steps compared with the CPU's)."""
_LISTS = {
    "cases": ("", "What to time, all but the last three by default (with --smallest all): " + _CASES),
    "sizes": ("128,256", "Sizes of the images, pixels."),
    "widths": ("64", "Features of both networks' first layer; Xception has config.classifier.width."),
    "batch_sizes": ("1,8,64", "Images a step."),
    "dtypes": ("float32,bfloat16", "Of the computation: float32, bfloat16."),
    "peer_variants": ("", "eager, compile; by default eager on a CPU and both on a GPU."),
}
for _name, (_default, _help) in _LISTS.items():
    flags.DEFINE_list(_name, _default, _help)
flags.DEFINE_bool("peers", False, "Time PyTorch in turn with ours: same networks, sizes and cores.")
flags.DEFINE_float("min_seconds", 3.0, "Time everything for so long at least.", lower_bound=0)
flags.DEFINE_integer("min_repeats", 10, "Take so many samples at least.", lower_bound=1)
flags.DEFINE_integer("rounds", 3, "Turns that the contestants take.", lower_bound=1)
flags.DEFINE_float("max_seconds", None, "Begin no case and no round later than so.", lower_bound=0)
flags.DEFINE_integer("profile", 0, "Trace each program: name so many kernels, by their time.", lower_bound=0)
cli.define_path_flag("out", "JSON-lines file for the rows; those that it has are kept.")
flags.DEFINE_integer("steps_per_dispatch", 1, "Training steps in one call.", lower_bound=1)
flags.DEFINE_bool("smallest", False, "Every part at its smallest, in two minutes; the times mean nothing.")
flags.DEFINE_bool("goals", False, "The three training steps in which to beat PyTorch on a CPU; sets --peers.")
flags.DEFINE_string(
    "compile_for",
    None,
    "h200: count the kernels that XLA makes of the programs for that GPU, and their bytes, instead of timing; needs "
    "the extra gpu and no GPU.",
)


def main(argv):
    """Time what the flags ask for."""
    del argv
    from fpgan_jax.benchmarking import options, runner

    chosen = options.parse_options(flags.FLAGS.flag_values_dict())
    print(runner.run_benchmark(_CONFIG.value, chosen))


if __name__ == "__main__":
    # A default of the flag's own would be loaded before a mistake in an override can be told in one line.
    if not any(argument.lstrip("-").startswith("config=") for argument in sys.argv):
        sys.argv.insert(1, f"--config={pathlib.Path(__file__).parents[1] / 'configs/pix2pix_socofing.py'}")
    cli.run(main)
