r"""Judge synthetic prints: every measure beside real prints and negative controls, as one HTML report with tables.

python -m launch.evaluate --experiment=runs/quickstart --out_dir=runs/evaluation
python -m launch.evaluate --config=configs/twin_p50.py --config.data.socofing_dir=SOCOFING_FOLDER \
    --synthetic_dirs=FOLDER_OF_PRINTS --out_dir=runs/evaluation

The first command evaluates a folder of launch.reproduce. The second one evaluates any folder of prints, also of another
program: the number at the start of a file name is the person. An interrupted evaluation resumes with the same command.
"""

from absl import flags

from launch import cli

_CONFIG = cli.define_config_flag(is_required=False)
_EXPERIMENT = cli.define_path_flag("experiment", "A folder of launch.reproduce.")
_SYNTHETIC_DIRS = cli.define_paths_flag(
    "synthetic_dirs",
    "Folders of launch.synthesize, or of any prints. A second folder of the same noise counts as another GAN seed.",
    default=[],
)
_CLASSIFIER_WORKDIRS = cli.define_paths_flag(
    "classifier_workdirs",
    "Workdirs of launch.train_classifier for the paper's similarity, besides those of the experiment.",
    default=[],
)
_FEATURE_CLASSIFIER = cli.define_path_flag(
    "feature_classifier",
    "Workdir of a classifier of other prints, whose features the distribution measures use.",
    default="",
    may_be_empty=True,
)
_UTILITY = cli.define_path_flag(
    "utility",
    "results.csv of launch.measure_utility, to include in the report.",
    default="",
    may_be_empty=True,
)
_GAN_SEEDS = flags.DEFINE_list("gan_seeds", [], "GAN seeds of the experiment to evaluate; all by default.")
_CLASSIFIER_SEEDS = flags.DEFINE_list(
    "classifier_seeds", [], "Classifier seeds of the experiment to use; all by default."
)
_OUT_DIR = cli.define_path_flag(
    "out_dir", "Folder for report.html, the tables and all rows; created if missing.", required=True
)


def main() -> None:
    """Evaluate and print the path of the report."""
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
    cli.insert_experiment_config("experiment")
    cli.run(main, cache_near=_OUT_DIR)
