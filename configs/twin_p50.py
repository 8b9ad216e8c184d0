"""A small twin of the paper's P50: same persons and replicas, 128x128 pixels and 32 features.

Reproduces: the shape of table 2's row P50 (real 0.9924 +- 0.0060, synthesized 0.8794 +- 0.0990).
Takes: about 7 minutes on 2 cores without a GPU (measured).
Command: bash launch/quickstart.sh [SOCOFING_FOLDER]
"""

from ml_collections import ConfigDict

from configs import pix2pix_socofing


def get_config() -> ConfigDict:
    """Return the config; what it does not set is as in `pix2pix_socofing.py`."""
    config = pix2pix_socofing.get_config()
    # The scanner's frame must not contribute to a score.
    config.data.frame = "crop"
    config.data.image_size = 128
    config.generator.num_features = 32
    # Ten images at a time use the machine well; statistics of each image keep the meaning of batch size 1.
    config.generator.norm = "batch_per_example"
    config.generator.dropout_outputs = (4, 8)
    config.discriminator.num_features = 32
    config.discriminator.norm = "batch_per_example"
    config.global_batch_size = 10
    config.num_epochs = 80
    config.sample_epochs = (2, 28, 80)
    config.log_every_steps = 10
    config.checkpoint_every_steps = 100
    config.classifier.width = 0.5
    config.classifier.num_middle_blocks = 2
    config.classifier.batch_norm_momentum = 0.9  # few steps need running statistics that follow sooner
    config.classifier.num_steps = 80
    config.classifier.log_every_steps = 10
    config.classifier.checkpoint_every_steps = 40
    return config
