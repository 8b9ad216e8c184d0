r"""A small twin of the paper's P250: 25 persons x 10 replicas, 128x128 pixels and 32 features.

Reproduces: the shape of table 2's row P250 (real 1.0000 +- 0.0000, synthesized 0.9185 +- 0.2273).
Takes: 16 minutes on 2 cores without a GPU (measured).
Command: python -m launch.reproduce --config=configs/twin_p250.py \
    --config.data.socofing_dir=SOCOFING_FOLDER --workdir=runs/twin_p250
"""

from ml_collections import ConfigDict

from configs import twin_p50


def get_config() -> ConfigDict:
    """Return the config; what it does not set is as in `twin_p50.py`."""
    config = twin_p50.get_config()
    config.set_name = "P250"
    config.data.num_persons = 25
    config.evaluation.num_test_persons = 13
    return config
