r"""The paper's set P50 at full scale, named like the other four.

Reproduces: Cordeiro & Saito, table 2, row P50 (real 0.9924 +- 0.0060, synthesized 0.8794 +- 0.0990).
Takes: 8,000 steps of the GAN (5 persons x 10 x 160 epochs, batch 1); meant for a GPU. On 2 cores without one the GAN
takes 87 minutes (0.65 seconds per step, measured); docs/findings.md has the result.
Command: python -m launch.reproduce --config=configs/paper_p50.py \
    --config.data.socofing_dir=SOCOFING_FOLDER --workdir=runs/paper_p50
"""

from ml_collections import ConfigDict

from configs import pix2pix_socofing


def get_config() -> ConfigDict:
    """Return the config; it is that of `pix2pix_socofing.py`."""
    return pix2pix_socofing.get_config()
