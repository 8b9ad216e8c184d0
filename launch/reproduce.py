r"""Run both experiments for one of the paper's sets, from noise images to table 2.

python -m launch.reproduce --config=configs/twin_p50.py --config.data.socofing_dir=SOCOFING_FOLDER \
    --workdir=runs/twin_p50

Trains the GAN and the classifier, synthesizes, scores and makes the table. Stop it at will: the same
command goes on where it stopped, and stages that are done are skipped.
"""

from absl import flags

from launch import cli

_CONFIG = cli.define_config_flag()
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of this experiment; made if missing.", required=True)


def main(argv):
    """Run the chain."""
    del argv
    from fpgan_jax import reproduction

    print(reproduction.reproduce(_CONFIG.value, _WORKDIR.value))


if __name__ == "__main__":
    cli.run(main, cache_near=_WORKDIR)
