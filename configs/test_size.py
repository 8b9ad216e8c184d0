r"""The whole chain at the smallest size that still uses every part of it; its numbers mean nothing.

Reproduces: nothing. Takes half a minute on 2 cores, most of it compilation.
Command: python -m launch.reproduce --config=configs/test_size.py \
    --config.data.socofing_dir=SOCOFING_FOLDER --workdir=runs/test_size
"""

from ml_collections import ConfigDict

from configs import pix2pix_socofing


def get_config() -> ConfigDict:
    """Return the config; what it does not set is as in `pix2pix_socofing.py`."""
    config = pix2pix_socofing.get_config()
    config.set_name = "test_size"
    config.data.num_persons = 2
    config.data.num_replicas = 2
    config.data.frame = "crop"
    config.data.image_size = 128  # Xception takes no less than 71
    config.generator.num_features = 2
    config.generator.norm = "batch_per_example"
    config.generator.num_levels = 3  # most of a short run is the networks' compilation
    config.generator.dropout_outputs = (2, 4)
    config.discriminator.num_features = 2
    config.discriminator.receptive_field = 16
    config.discriminator.norm = "batch_per_example"
    config.global_batch_size = 2
    config.num_epochs = 3
    config.sample_epochs = (1, 3)
    config.num_samples = 2
    config.log_every_steps = 2
    config.checkpoint_every_steps = 4
    config.classifier.width = 0.05
    config.classifier.num_middle_blocks = 0
    config.classifier.global_batch_size = 2
    config.classifier.num_steps = 4
    config.classifier.log_every_steps = 2
    config.classifier.checkpoint_every_steps = 2
    config.evaluation.num_test_persons = 2
    config.evaluation.num_unseen_persons = 1
    config.evaluation.batch_size = 4
    config.synthesis.batch_size = 4
    return config
