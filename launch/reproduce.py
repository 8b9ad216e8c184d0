r"""Run both experiments for one of the paper's sets, from noise images to table 2.

python -m launch.reproduce --config=configs/twin_p50.py --config.data.socofing_dir=SOCOFING_FOLDER \
    --workdir=runs/twin_p50

Trains the GAN and the classifier, synthesizes, scores and makes the table. Stop it at will: the same
command goes on where it stopped, and stages that are done are skipped.

With --gan_seeds=0,1,2 --classifier_seeds=0,1,2 each network is trained once a seed and every pair of them is
scored; seeds.txt has each mean with its interval and what the seeds of either do to it.
"""

from launch import cli

_CONFIG = cli.define_config_flag()
_WORKDIR = cli.define_path_flag("workdir", "Folder of this experiment; made if missing.", required=True)
_GAN_SEEDS = cli.define_seeds_flag(
    "gan_seeds",
    None,
    "Seeds of the GAN, each scored by every one of the classifier's; the config's own by default.",
)
_CLASSIFIER_SEEDS = cli.define_seeds_flag(
    "classifier_seeds", None, "Seeds of the classifier, likewise. Without either flag table 2 is made."
)


def main(argv):
    """Run the chain."""
    del argv
    from fpgan_jax.config.derived import resolve_seed
    from fpgan_jax.reproduction import chain
    from fpgan_jax.reproduction.seeds import reproduce_seeds

    config, workdir = _CONFIG.value, _WORKDIR.value
    seeds = {
        "gan_seeds": (_GAN_SEEDS.value, "seed"),
        "classifier_seeds": (_CLASSIFIER_SEEDS.value, "classifier.seed"),
    }
    if all(given is None for given, _ in seeds.values()):
        print(chain.reproduce(config, workdir))
        return
    chosen = {
        name: (resolve_seed(config, field),) if given is None else given
        for name, (given, field) in seeds.items()
    }
    print(reproduce_seeds(config, workdir, **chosen))


if __name__ == "__main__":
    cli.run(main, cache_near=_WORKDIR)
