r"""A small twin of the paper's P100: 10 persons x 10 replicas, 128x128 pixels and 32 features.

Reproduces: the shape of table 2's row P100 (real 1.0000 +- 0.0000, synthesized 0.9998 +- 0.0003).
Takes: about 8 minutes on 2 cores without a GPU (estimated: 8,000 images in the GAN at the
    23 a second measured for twin_p250, and 2 minutes for the rest).
Command: python -m launch.reproduce --config=configs/twin_p100.py \
    --config.data.socofing_dir=SOCOFING_FOLDER --workdir=runs/twin_p100
"""

from ml_collections import ConfigDict

from configs import twin_p50


def get_config() -> ConfigDict:
    """Return the config; what it does not set is as in `twin_p50.py`."""
    config = twin_p50.get_config()
    config.set_name = "P100"
    config.data.num_persons = 10
    config.evaluation.num_test_persons = 5
    return config
