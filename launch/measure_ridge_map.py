r"""Check that a ridge map keeps the identity of its finger, by matching maps with other real prints of the finger.

python -m launch.measure_ridge_map --config=configs/pix2pix_socofing.py --config.data.source=impressions \
    --config.data.impressions_dir=FOLDER --config.data.sensor_ppi=500 --config.data.image_ppi=238 \
    --config.data.image_size=128
python -m launch.measure_ridge_map --config=configs/pix2pix_socofing.py --config.data.socofing_dir=SOCOFING_FOLDER \
    --config.data.frame=crop --config.data.image_size=128

At 238 pixels per inch the ridges of other sensors have the period of SOCOFing's at 128x128 pixels without the frame. If
a finger has only one print, its map is matched with that print. Needs `bash launch/setup_biometrics.sh`.
"""

from absl import flags

from launch import cli

_CONFIG = cli.define_config_flag()
_MAX_PERSONS = flags.DEFINE_integer(
    "max_persons", 60, "Maximum number of fingers, the first ones by id.", lower_bound=2
)


def main() -> None:
    """Measure and print."""
    from fpgan_jax.config.checks import validate_config
    from fpgan_jax.evaluation.experiments import ridge_map_trial

    validate_config(_CONFIG.value)
    trial = ridge_map_trial.try_ridge_maps(_CONFIG.value, max_persons=_MAX_PERSONS.value)
    print(ridge_map_trial.describe_trial(trial))


if __name__ == "__main__":
    cli.run(main)
