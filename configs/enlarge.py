r"""More impressions of fingers at 256 pixels: `enlarge_demo.py` at full size, for one GPU.

Reproduces: nothing of the paper.
Takes: 9,500 steps of ten; not measured here: nothing was trained at this size.
Command: python -m launch.enlarge --config=configs/enlarge.py --config.data.socofing_dir=SOCOFING_FOLDER \
    --workdir=runs/enlarge
"""

from ml_collections import ConfigDict

from configs import enlarge_demo


def get_config() -> ConfigDict:
    """Return the config; what it does not set is as in `enlarge_demo.py`."""
    config = enlarge_demo.get_config()
    config.set_name = "enlarge"
    config.data.image_size = 256
    # Fifty noise planes per print, and five times the steps of the demo.
    config.data.num_replicas = 50
    config.num_epochs = 1
    config.sample_epochs = (1,)
    config.l1_blur = 2.0
    config.generator.num_features = 64  # as in pix2pix
    config.discriminator.num_features = 64
    config.discriminator.receptive_field = 70  # eight ridge periods of 8.6 pixels
    config.log_every_steps = 50
    config.checkpoint_every_steps = 500
    return config
