r"""The paper's set P250 at full scale: 25 persons x 10 replicas, 256x256 pixels.

Reproduces: Cordeiro & Saito, table 2, row P250 (real 1.0000 +- 0.0000, synthesized 0.9185 +- 0.2273).
Takes: 40,000 steps of the GAN (25 persons x 10 x 160 epochs, batch 1); meant for a GPU; not measured here.
Command: python -m launch.reproduce --config=configs/paper_p250.py \
    --config.data.socofing_dir=SOCOFING_FOLDER --workdir=runs/paper_p250
"""

from ml_collections import ConfigDict

from configs import pix2pix_socofing


def get_config() -> ConfigDict:
    """Return the config; what it does not set is as in `pix2pix_socofing.py`."""
    config = pix2pix_socofing.get_config()
    config.set_name = "P250"
    config.data.num_persons = 25
    config.evaluation.num_test_persons = 13
    return config
