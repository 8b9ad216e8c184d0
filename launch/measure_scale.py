r"""Measure the ridge period of all prints of a folder, from which the scale of a sensor follows.

python -m launch.measure_scale --config=configs/pix2pix_socofing.py --config.data.socofing_dir=SOCOFING_FOLDER
python -m launch.measure_scale --config=configs/pix2pix_socofing.py --config.data.source=impressions \
    --config.data.impressions_dir=FOLDER

Prints the median in pixels of the files, its spread over prints, and the pixels per inch that it implies. For SOCOFing
it uses the real prints of all ten fingers; evaluation/matcher/resolution.py has its constant from this command.
"""

from launch import cli

_CONFIG = cli.define_config_flag()


def main() -> None:
    """Measure and print."""
    from fpgan_jax.evaluation.experiments import sensor_scale

    print(sensor_scale.describe_periods(sensor_scale.survey_periods(_CONFIG.value.data)))


if __name__ == "__main__":
    cli.run(main)
