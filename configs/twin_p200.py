r"""A small twin of the paper's P200: 20 persons x 10 replicas, 128x128 pixels and 32 features.

Reproduces: the shape of table 2's row P200 (real 1.0000 +- 0.0000, synthesized 0.9973 +- 0.0055).
Takes: about 13 minutes on 2 cores without a GPU (estimated: 16,000 images in the GAN at the
    23 a second measured for twin_p250, and 2 minutes for the rest).
Command: python -m launch.reproduce --config=configs/twin_p200.py \
    --config.data.socofing_dir=SOCOFING_FOLDER --workdir=runs/twin_p200
"""

from ml_collections import ConfigDict

from configs import twin_p50


def get_config() -> ConfigDict:
    """Return the config; what it does not set is as in `twin_p50.py`."""
    config = twin_p50.get_config()
    config.set_name = "P200"
    config.data.num_persons = 20
    config.evaluation.num_test_persons = 10
    return config
