r"""Measure whether synthetic prints help to train a classifier: experiment 3, tested on altered prints.

python -m launch.measure_utility --config=configs/twin_p50.py --config.data.socofing_dir=SOCOFING_FOLDER \
    --synthetic_dirs=runs/synthetic --seeds=0,1,2,3,4 --out_dir=runs/utility

Trains the classifier on real prints, with augmentation, with synthetic prints, and with both, once a seed each, for
equal numbers of steps. Writes utility.txt, .md, .csv, .tex and .png, the differences as utility_differences.*, and
results.csv with a row a training and test set. Stop it at will: the same command goes on where it stopped.
"""

from launch import cli

_CONFIG = cli.define_config_flag()
_SYNTHETIC_DIRS = cli.define_paths_flag(
    "synthetic_dirs",
    "Folders of launch.synthesize, best one of training noise for each seed, drawn by GANs of as many seeds: the "
    "i-th seed gets the i-th, from the first again after the last. Those of new noise make a condition more.",
    required=True,
)
_SEEDS = cli.define_seeds_flag(
    "seeds", "0,1,2,3,4", "Seeds of the classifier, two or more; five say something."
)
_OUT_DIR = cli.define_path_flag("out_dir", "Folder of this experiment; made if missing.", required=True)


def main(argv):
    """Measure."""
    del argv
    from fpgan_jax.evaluation.experiments import utility

    print(utility.measure_utility(_CONFIG.value, _SYNTHETIC_DIRS.value, _OUT_DIR.value, seeds=_SEEDS.value))


if __name__ == "__main__":
    cli.run(main, cache_near=_OUT_DIR)
