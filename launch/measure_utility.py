r"""Measure whether synthetic prints help to train a classifier (experiment 3), tested on altered prints.

python -m launch.measure_utility --config=configs/twin_p50.py --config.data.socofing_dir=SOCOFING_FOLDER \
    --synthetic_dirs=runs/synthetic --seeds=0,1,2,3,4 --out_dir=runs/utility

Trains the classifier on real prints, with augmentation, with synthetic prints, and with both, once per seed and for
equal numbers of steps. Writes utility.txt, .md, .csv, .tex and .png, the differences as utility_differences.*, and
results.csv with one row per training and test set. An interrupted experiment resumes with the same command.
"""

from launch import cli

_CONFIG = cli.define_config_flag()
_SYNTHETIC_DIRS = cli.define_paths_flag(
    "synthetic_dirs",
    "Folders of launch.synthesize, ideally one of training noise per seed, from GANs of different seeds. The i-th seed "
    "uses the i-th folder, cyclically. Folders of new noise add another condition.",
    required=True,
)
_SEEDS = cli.define_seeds_flag(
    "seeds", "0,1,2,3,4", "Seeds of the classifier, two or more; use at least five."
)
_OUT_DIR = cli.define_path_flag("out_dir", "Folder of this experiment; created if missing.", required=True)


def main() -> None:
    """Measure and print the table."""
    from fpgan_jax.evaluation.experiments import utility

    print(utility.measure_utility(_CONFIG.value, _SYNTHETIC_DIRS.value, _OUT_DIR.value, seeds=_SEEDS.value))


if __name__ == "__main__":
    cli.run(main, cache_near=_OUT_DIR)
