r"""Score real prints, synthetic prints and controls with a trained classifier: one CSV row an image.

python -m launch.score_similarity --classifier_workdir=runs/classifier \
    --synthetic_dirs=runs/synthetic,runs/synthetic_new --scores=runs/scores.csv

The score of an image is the probability that the classifier gives its own person.
"""

from absl import flags

from launch import cli

_CLASSIFIER_WORKDIR = cli.define_path_flag(
    "classifier_workdir", "The workdir of launch.train_classifier.", required=True
)
_SYNTHETIC_DIRS = cli.define_paths_flag(
    "synthetic_dirs", "Folders of launch.synthesize, of training noise, new noise or both.", required=True
)
_SCORES = cli.define_path_flag("scores", "The CSV to write.", required=True)
_STEP = cli.define_step_flag()
_NUM_TEST_PERSONS = flags.DEFINE_integer(
    "num_test_persons",
    None,
    "Persons to score, the first by id; the classifier's config by default.",
    lower_bound=1,
)
_SOCOFING_DIR = cli.define_path_flag(
    "socofing_dir", "The real prints, if they no longer lie where the classifier was trained."
)
_IMPRESSIONS_DIR = cli.define_path_flag("impressions_dir", "Those of several impressions, likewise.")
_NPZ_FILE = cli.define_path_flag("npz_file", "The file of launch.make_pairs --npz, likewise.")
_TFDS_DIR = cli.define_path_flag(
    "tfds_dir", "Where TFDS keeps the prepared prints, likewise.", may_be_empty=True
)


def main(argv):
    """Score."""
    del argv
    from fpgan_jax.scoring import similarity

    overrides = {
        holder.name: holder.value
        for holder in (_SOCOFING_DIR, _IMPRESSIONS_DIR, _NPZ_FILE, _TFDS_DIR)
        if holder.value is not None
    }
    evaluation = {"num_test_persons": _NUM_TEST_PERSONS.value} if _NUM_TEST_PERSONS.value else {}
    rows = similarity.score_similarity(
        _CLASSIFIER_WORKDIR.value,
        _SYNTHETIC_DIRS.value,
        _SCORES.value,
        data_overrides=overrides,
        evaluation_overrides=evaluation,
        step=_STEP.value,
    )
    print(f"{len(rows)} scores in {_SCORES.value}")


if __name__ == "__main__":
    cli.run(main, cache_near=_CLASSIFIER_WORKDIR)
