r"""Score real prints, synthetic prints and controls with a trained classifier: one CSV row per image.

python -m launch.score_similarity --classifier_workdir=runs/classifier \
    --synthetic_dirs=runs/synthetic,runs/synthetic_new --scores=runs/scores.csv

The score of an image is the classifier's probability of the person of the image.
"""

from absl import flags

from launch import cli

_CLASSIFIER_WORKDIR = cli.define_path_flag(
    "classifier_workdir", "Workdir of launch.train_classifier.", required=True
)
_SYNTHETIC_DIRS = cli.define_paths_flag(
    "synthetic_dirs", "Folders of launch.synthesize, of training noise, new noise or both.", required=True
)
_SCORES = cli.define_path_flag("scores", "CSV to write.", required=True)
_STEP = cli.define_step_flag()
_NUM_TEST_PERSONS = flags.DEFINE_integer(
    "num_test_persons",
    None,
    "Number of persons to score, the first ones by id; from the classifier's config by default.",
    lower_bound=1,
)
_PLACES = {
    "socofing_dir": "Folder of the real prints",
    "impressions_dir": "Folder of several impressions",
    "npz_file": "File of launch.make_pairs --npz",
    "tfds_dir": "Folder of TFDS's prepared prints",
}
_MOVED = [
    cli.define_path_flag(
        name, f"{place}, if it has moved since the training.", may_be_empty=name == "tfds_dir"
    )
    for name, place in _PLACES.items()
]


def main() -> None:
    """Score all images."""
    from fpgan_jax.scoring import similarity

    overrides = {holder.name: holder.value for holder in _MOVED if holder.value is not None}
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
