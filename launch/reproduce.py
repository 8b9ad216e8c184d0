r"""Run both experiments for one of the paper's sets, from noise images to table 2.

python -m launch.reproduce --config=configs/twin_p50.py --config.data.socofing_dir=SOCOFING_FOLDER \
    --workdir=runs/twin_p50

Trains the GAN and the classifier, synthesizes, scores and makes the table. An interrupted experiment resumes with the
same command, and skips the stages that are done.

With --gan_seeds=0,1,2 --classifier_seeds=0,1,2 each network is trained once per seed, and every pair is scored.
seeds.txt has each mean with its interval, and its spread over the seeds of either network.
"""

from launch import cli

_CONFIG = cli.define_config_flag()
_WORKDIR = cli.define_path_flag("workdir", "Folder of this experiment; created if missing.", required=True)
_GAN_SEEDS = cli.define_seeds_flag(
    "gan_seeds",
    None,
    "Seeds of the GAN, each scored by the classifiers of all seeds; the seed of the config by default.",
)
_CLASSIFIER_SEEDS = cli.define_seeds_flag(
    "classifier_seeds",
    None,
    "Seeds of the classifier; the seed of the config by default. Without both flags table 2 is made.",
)


def main() -> None:
    """Run all stages."""
    from fpgan_jax.config.checks import validate_config
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
    validate_config(config)
    chosen = {
        name: (resolve_seed(config, field),) if given is None else given
        for name, (given, field) in seeds.items()
    }
    print(reproduce_seeds(config, workdir, **chosen))


if __name__ == "__main__":
    cli.run(main, cache_near=_WORKDIR)
