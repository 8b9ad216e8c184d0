r"""Write the training set as PNG files of [noise | print], as pix2pix's "aligned" loader reads them.

python -m launch.make_pairs --config=configs/pix2pix_socofing.py \
    --config.data.socofing_dir=SOCOFING_FOLDER --out_dir=pairs

Writes into out_dir: train/PERSON_REPLICA.png.
"""

from absl import flags

from launch import cli

_CONFIG = cli.define_config_flag()
_OUT_DIR = flags.DEFINE_string("out_dir", None, "Folder for the files; made if missing.", required=True)


def main(argv):
    """Write the pairs."""
    del argv
    from fpgan_jax import configuration
    from fpgan_jax.data import input_pipeline, pairs

    configuration.validate_config(_CONFIG.value)
    pairs.write_pairs(input_pipeline.create_pairs(_CONFIG.value), _OUT_DIR.value)


if __name__ == "__main__":
    cli.run(main)
