r"""The paper's set P100 at full scale: 10 persons x 10 replicas, 256x256 pixels.

Reproduces: Cordeiro & Saito, table 2, row P100 (real 1.0000 +- 0.0000, synthesized 0.9998 +- 0.0003).
Takes: 16,000 steps of the GAN (10 persons x 10 x 160 epochs, batch 1); meant for a GPU; not measured here.
Command: python -m launch.reproduce --config=configs/paper_p100.py \
    --config.data.socofing_dir=SOCOFING_FOLDER --workdir=runs/paper_p100
"""

from ml_collections import ConfigDict

from configs import pix2pix_socofing


def get_config() -> ConfigDict:
    """Return the config; what it does not set is as in `pix2pix_socofing.py`."""
    config = pix2pix_socofing.get_config()
    config.set_name = "P100"
    config.data.num_persons = 10
    config.evaluation.num_test_persons = 5
    return config
