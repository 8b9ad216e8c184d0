r"""Measure the ridge period of all prints of a folder: what a sensor's scale is set from.

python -m launch.measure_scale --config=configs/pix2pix_socofing.py --config.data.socofing_dir=SOCOFING_FOLDER
python -m launch.measure_scale --config=configs/pix2pix_socofing.py --config.data.source=impressions \
    --config.data.impressions_dir=FOLDER

Prints the median in the files' own pixels, its spread over prints, and the pixels per inch that it means. Of SOCOFing
all ten fingers' real prints are taken; the constant in fpgan_jax/evaluation/matcher/resolution.py is this command's.
"""

from launch import cli

_CONFIG = cli.define_config_flag()


def main(argv: list[str]) -> None:
    """Measure and print."""
    del argv
    from fpgan_jax.evaluation.experiments import sensor_scale

    print(sensor_scale.describe_periods(sensor_scale.survey_periods(_CONFIG.value.data)))


if __name__ == "__main__":
    cli.run(main)
