r"""A small twin of the paper's P150: 15 persons x 10 replicas, 128x128 pixels and 32 features.

Reproduces: the shape of table 2's row P150 (real 1.0000 +- 0.0000, synthesized 1.0000 +- 0.0000).
Takes: about 10 minutes on 2 cores without a GPU (estimated: 12,000 images in the GAN at the
    23 a second measured for twin_p250, and 2 minutes for the rest).
Command: python -m launch.reproduce --config=configs/twin_p150.py \
    --config.data.socofing_dir=SOCOFING_FOLDER --workdir=runs/twin_p150
"""

from ml_collections import ConfigDict

from configs import twin_p50


def get_config() -> ConfigDict:
    """Return the config; what it does not set is as in `twin_p50.py`."""
    config = twin_p50.get_config()
    config.set_name = "P150"
    config.data.num_persons = 15
    config.evaluation.num_test_persons = 8
    return config
