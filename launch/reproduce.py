r"""Run both experiments for one of the paper's sets, from noise images to table 2.

python -m launch.reproduce --config=configs/twin_p50.py --config.data.socofing_dir=SOCOFING_FOLDER \
    --workdir=runs/twin_p50

Trains the GAN and the classifier, synthesizes, scores and makes the table. Stop it at will: the same
command goes on where it stopped, and stages that are done are skipped.

With --gan_seeds=0,1,2 --classifier_seeds=0,1,2 each network is trained once a seed and every pair of them is
scored; seeds.txt has each mean with its interval and what the seeds of either do to it.
"""

from absl import flags

from launch import cli

_CONFIG = cli.define_config_flag()
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of this experiment; made if missing.", required=True)
_GAN_SEEDS = cli.define_seeds_flag(
    "gan_seeds", None, "Seeds of the GAN, each with every one of the classifier; config.seed by default."
)
_CLASSIFIER_SEEDS = cli.define_seeds_flag(
    "classifier_seeds", None, "Seeds of the classifier, likewise. Without either flag table 2 is made."
)


def main(argv):
    """Run the chain."""
    del argv
    from fpgan_jax import reproduction, reproduction_seeds

    config, workdir = _CONFIG.value, _WORKDIR.value
    if _GAN_SEEDS.value is None and _CLASSIFIER_SEEDS.value is None:
        print(reproduction.reproduce(config, workdir))
        return
    gan_seeds, classifier_seeds = (
        (config.seed,) if holder.value is None else holder.value for holder in (_GAN_SEEDS, _CLASSIFIER_SEEDS)
    )
    print(
        reproduction_seeds.reproduce_seeds(
            config, workdir, gan_seeds=gan_seeds, classifier_seeds=classifier_seeds
        )
    )


if __name__ == "__main__":
    cli.run(main, cache_near=_WORKDIR)
