r"""Show how well the matcher of minutiae tells real fingers apart, before it judges synthetic ones.

python -m launch.calibrate_matcher --config=configs/pix2pix_socofing.py \
    --config.data.socofing_dir=SOCOFING_FOLDER --scores=runs/matcher_scores.csv

Matches every two real impressions of a finger, or where there is one of each every altered impression with everybody's
real print, prepared as the config says. Prints the equal error rate, the true accept rates at a false accept rate of 1%
and of 0.1% with their thresholds, failures to enrol, and rank-1 of altered impressions. Needs
`bash launch/setup_biometrics.sh`. docs/impressions.md has the command for a folder of several impressions a finger.
"""

from absl import flags

from launch import cli

_CONFIG = cli.define_config_flag()
_SCORES = cli.define_path_flag(
    "scores", "The CSV to write, a row a comparison; its folder is made if missing.", required=True
)
_MAX_PERSONS = flags.DEFINE_integer(
    "max_persons", 60, "The first so many persons, by id, take part.", lower_bound=2
)


def main(argv: list[str]) -> None:
    """Calibrate the matcher and print what it is worth."""
    del argv
    from fpgan_jax.config.checks import validate_config
    from fpgan_jax.evaluation.experiments import calibration

    validate_config(_CONFIG.value)
    found = calibration.calibrate_matcher(_CONFIG.value, _SCORES.value, max_persons=_MAX_PERSONS.value)
    print(calibration.describe_calibration(found))
    print(f"every score: {_SCORES.value}")


if __name__ == "__main__":
    cli.run(main)
