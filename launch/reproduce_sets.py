r"""Run both experiments for all of the paper's sets, from noise images to the whole table 2.

python -m launch.reproduce_sets --override=data.source=npz --override=data.npz_file=prints.npz \
    --override=data.feeding=device --workdir=runs/paper

Every config and its data are checked before the first set starts. Writes into the workdir: one folder per set, as
launch.reproduce does, table2 and controls of all sets, and timing.json with the seconds of every stage. An interrupted
experiment resumes with the same command.
"""

from absl import flags

from launch import cli

_CONFIGS = cli.define_paths_flag(
    "configs",
    "Config files, one per set.",
    default=[f"configs/paper_{name}.py" for name in ("p50", "p100", "p150", "p200", "p250")],
)
_OVERRIDE = flags.DEFINE_multi_string(
    "override",
    [],
    "FIELD=VALUE to set in every config, such as data.feeding=device; repeat the flag for each field.",
)
_WORKDIR = cli.define_path_flag("workdir", "Folder of all sets; created if missing.", required=True)


def main() -> None:
    """Run all sets."""
    from fpgan_jax.reproduction import sets

    configs = sets.load_configs(_CONFIGS.value, _OVERRIDE.value)
    print(sets.reproduce_sets(configs, _WORKDIR.value))


if __name__ == "__main__":
    cli.run(main, cache_near=_WORKDIR)
