r"""The paper's experiment 1 and 2 for its smallest set, P50, at full scale.

Reproduces: Cordeiro & Saito, table 2, row P50 (real 0.9924 +- 0.0060, synthesized 0.8794 +- 0.0990).
Takes: 8,000 steps of the GAN (5 persons x 10 x 160 epochs, batch 1); meant for a GPU; not measured here.
Command: python -m launch.reproduce --config=configs/pix2pix_socofing.py \
    --config.data.socofing_dir=SOCOFING_FOLDER --workdir=runs/p50

Every field has its default here; the other configs set only what they change. docs/fields.md lists all fields with
their ranges, defaults and meanings, made from fpgan_jax/config/fields.py, which declares them. Fields that the
paper leaves open are marked there, with the reason for the choice.
"""

from ml_collections import ConfigDict

from fpgan_jax.config.files import create_config


def get_config() -> ConfigDict:
    """Return the config; docs/fields.md says what each field means."""
    return create_config()
