r"""Judge synthetic prints: every measure beside real prints and negative controls, as one HTML report with tables.

python -m launch.evaluate --experiment=runs/twin_p50 --out_dir=runs/evaluation
python -m launch.evaluate --config=configs/twin_p50.py --config.data.socofing_dir=SOCOFING_FOLDER \
    --synthetic_dirs=FOLDER_OF_PRINTS --out_dir=runs/evaluation

The first takes everything from a folder of launch.reproduce. The second judges any folder of prints, also those of
another program: a file's person is the number that its name starts with. Stop it at will: the same command goes on.
"""

from absl import flags

from launch import cli

_CONFIG = cli.define_config_flag(is_required=False)
_EXPERIMENT = cli.define_path_flag("experiment", "A folder of launch.reproduce.")
_SYNTHETIC_DIRS = cli.define_paths_flag(
    "synthetic_dirs",
    "Folders of launch.synthesize, or of any prints; a second folder of the same noise is another seed of the GAN.",
    default=[],
)
_CLASSIFIER_WORKDIRS = cli.define_paths_flag(
    "classifier_workdirs",
    "Of launch.train_classifier, beside the experiment's own: for the paper's similarity.",
    default=[],
)
_FEATURE_CLASSIFIER = cli.define_path_flag(
    "feature_classifier",
    "Workdir of a classifier of other prints, whose features the distributions are in.",
    default="",
    may_be_empty=True,
)
_UTILITY = cli.define_path_flag(
    "utility",
    "The results.csv of launch.measure_utility, to stand in the report.",
    default="",
    may_be_empty=True,
)
_GAN_SEEDS = flags.DEFINE_list(
    "gan_seeds", [], "Those of the experiment's GAN seeds to judge; all by default."
)
_CLASSIFIER_SEEDS = flags.DEFINE_list("classifier_seeds", [], "Likewise, the classifier's.")
_OUT_DIR = cli.define_path_flag("out_dir", "Gets report.html, the tables, and all rows.", required=True)


def main(argv):
    """Evaluate."""
    del argv
    from fpgan_jax.evaluation import evaluate
    from fpgan_jax.evaluation.plan import create_plan

    plan = create_plan(
        config=_CONFIG.value,
        experiment=_EXPERIMENT.value,
        synthetic_dirs=_SYNTHETIC_DIRS.value,
        classifier_workdirs=_CLASSIFIER_WORKDIRS.value,
        feature_classifier=_FEATURE_CLASSIFIER.value,
        utility_csv=_UTILITY.value,
        gan_seeds=_GAN_SEEDS.value,
        classifier_seeds=_CLASSIFIER_SEEDS.value,
    )
    print(evaluate.evaluate(plan, _OUT_DIR.value))


if __name__ == "__main__":
    cli.run(main, cache_near=_OUT_DIR)
