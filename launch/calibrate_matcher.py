r"""Measure how well the minutiae matcher distinguishes real fingers, before it judges synthetic ones.

python -m launch.calibrate_matcher --config=configs/pix2pix_socofing.py \
    --config.data.socofing_dir=SOCOFING_FOLDER --scores=runs/matcher_scores.csv

Matches all pairs of real impressions of a finger. With one impression per finger it matches every altered print with
every real one. Prints are preprocessed as in training. Prints the equal error rate, the true accept rates at false
accept rates of 1% and 0.1% with their thresholds, failures to enroll, and the rank-1 rate of altered prints. Needs
`bash launch/setup_biometrics.sh`. docs/impressions.md has the command for several impressions per finger.
"""

from absl import flags

from launch import cli

_CONFIG = cli.define_config_flag()
_SCORES = cli.define_path_flag(
    "scores", "CSV to write, one row per comparison; its folder is created if missing.", required=True
)
_MAX_PERSONS = flags.DEFINE_integer(
    "max_persons", 60, "Maximum number of persons, the first ones by id.", lower_bound=2
)


def main() -> None:
    """Calibrate the matcher and print its error rates."""
    from fpgan_jax.config.checks import validate_config
    from fpgan_jax.evaluation.experiments import calibration

    validate_config(_CONFIG.value)
    found = calibration.calibrate_matcher(_CONFIG.value, _SCORES.value, max_persons=_MAX_PERSONS.value)
    print(calibration.describe_calibration(found))
    print(f"all scores: {_SCORES.value}")


if __name__ == "__main__":
    cli.run(main)
