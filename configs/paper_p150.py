r"""The paper's set P150 at full scale: 15 persons x 10 replicas, 256x256 pixels.

Reproduces: Cordeiro & Saito, table 2, row P150 (real 1.0000 +- 0.0000, synthesized 1.0000 +- 0.0000).
Takes: 24,000 steps of the GAN (15 persons x 10 x 160 epochs, batch 1); meant for a GPU; not measured here.
Command: python -m launch.reproduce --config=configs/paper_p150.py \
    --config.data.socofing_dir=SOCOFING_FOLDER --workdir=runs/paper_p150
"""

from ml_collections import ConfigDict

from configs import pix2pix_socofing


def get_config() -> ConfigDict:
    """Return the config; what it does not set is as in `pix2pix_socofing.py`."""
    config = pix2pix_socofing.get_config()
    config.set_name = "P150"
    config.data.num_persons = 15
    config.evaluation.num_test_persons = 8
    return config
