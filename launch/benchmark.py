r"""Time networks, training steps and input on this machine, with --peers in comparison with PyTorch.

python -m launch.benchmark --cases=gan_step --sizes=128 --batch_sizes=8 --peers --out=runs/benchmark.jsonl
python -m launch.benchmark --goals
python -m launch.benchmark --compile_for=h200 --cases=gan_step --sizes=256 --batch_sizes=1 --steps_per_dispatch=8

Prints tables. With --out each row is also appended to a file, and the tables go beside it as Markdown. Ceilings of this
machine that are already in the file are not measured again.
"""

from absl import flags
from ml_collections import config_flags

from launch import cli

_CONFIG = config_flags.DEFINE_config_file(
    "config",
    None,
    "Config for all other fields; configs/pix2pix_socofing.py by default. --config.FIELD=VALUE overrides a field.",
)
_CASES = """generator_inference, synthesis, discriminator, gan_step, input_tfdata, input_device, xception_inference,
xception_step, start_up, weak_scaling, cpu_parity (two training steps compared with the CPU's)."""
_LISTS = {
    "cases": ("", "What to time; by default all but the last three, with --smallest all: " + _CASES),
    "sizes": ("128,256", "Image sizes, pixels."),
    "widths": ("64", "Features of the first layer of both networks; Xception uses config.classifier.width."),
    "batch_sizes": ("1,8,64", "Images per step."),
    "dtypes": ("float32,bfloat16", "Types of the computation: float32, bfloat16."),
    "peer_variants": ("", "eager, compile; by default eager on a CPU and both on a GPU."),
}
for _name, (_default, _help) in _LISTS.items():
    flags.DEFINE_list(_name, _default, _help)
flags.DEFINE_bool("peers", False, "Time PyTorch in turn with our programs: same networks, sizes and cores.")
flags.DEFINE_float("min_seconds", 3.0, "Minimum time per contestant.", lower_bound=0)
flags.DEFINE_integer("min_repeats", 10, "Minimum number of samples per contestant.", lower_bound=1)
flags.DEFINE_integer("rounds", 3, "Turns per contestant.", lower_bound=1)
flags.DEFINE_float(
    "max_seconds", None, "Start no further case or round after this many seconds.", lower_bound=0
)
flags.DEFINE_integer(
    "profile", 0, "Trace each program, and list this many kernels, those with the most time.", lower_bound=0
)
cli.define_path_flag("out", "JSON-lines file to append the rows to.")
flags.DEFINE_integer("steps_per_dispatch", 1, "Training steps per call.", lower_bound=1)
flags.DEFINE_bool(
    "smallest", False, "Run everything at its smallest, in two minutes; the times mean nothing."
)
flags.DEFINE_bool("goals", False, "The three training steps in which to beat PyTorch on a CPU; sets --peers.")
flags.DEFINE_string(
    "compile_for",
    None,
    "h200: instead of timing, count the kernels that XLA makes for that GPU, and their bytes; needs the extra gpu, but "
    "no GPU.",
)


def main() -> None:
    """Time everything that the flags ask for."""
    from fpgan_jax.benchmarking import options, runner

    chosen = options.parse_options(flags.FLAGS.flag_values_dict())
    print(runner.run_benchmark(_CONFIG.value, chosen))


if __name__ == "__main__":
    cli.insert_default_config()
    cli.run(main)
