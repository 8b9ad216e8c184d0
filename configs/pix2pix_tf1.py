r"""The paper's set P50, trained as the TensorFlow 1 port does by default (affinelayer/pix2pix-tensorflow).

Reproduces: that code's networks, losses, order of updates and rate of `--mode train --no_flip`, for one channel
    instead of three. Not reproduced: its losses add 1e-12 inside the logarithms; Adam's epsilon is added before
    the bias correction there; it enlarges to 286 pixels at once.
Takes: 8,000 steps of the GAN (5 persons x 10 x 160 epochs, batch 1; `--max_epochs` has no default there); meant for
    a GPU; not measured here.
Command: python -m launch.reproduce --config=configs/pix2pix_tf1.py \
    --config.data.socofing_dir=SOCOFING_FOLDER --workdir=runs/pix2pix_tf1
"""

from ml_collections import ConfigDict

from configs import pix2pix_socofing


def get_config() -> ConfigDict:
    """Return the config; what it does not set is as in `pix2pix_socofing.py`."""
    config = pix2pix_socofing.get_config()
    config.data.interpolation = "area"
    config.data.jitter = 30  # --scale_size 286, CROP_SIZE 256
    # As in TensorFlow, whose momentum means the same as Flax's; that code never reads these statistics.
    config.generator.norm_momentum = 0.1
    config.generator.bottleneck_norm = True
    config.generator.conv_bias = "always"
    config.generator.dropout_outputs = (2, 4, 8)
    config.discriminator.norm_momentum = 0.1
    config.discriminator.conv_bias = "always"
    # Its graph runs D once a step and G's gradients after D's update: TensorFlow 1's variables, updated in place,
    # give that backward pass the new weights.
    config.update_order = "old_activations"
    config.discriminator_loss_weight = 1.0
    return config
