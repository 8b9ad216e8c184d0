r"""The paper's set P50, trained as TensorFlow's pix2pix tutorial does.

Reproduces: the tutorial's networks, losses, order of updates and rate, for one channel instead of three and without
    mirroring. Not reproduced: its norms' scales start at 1, ours from N(1, 0.02); Adam's epsilon is added before
    the bias correction there; its jitter enlarges to 286 pixels at once, by nearest neighbors, ours from 256 pixels,
    bicubically; D's running statistics, which nothing reads, see fake and real in the other order.
Takes: 40,000 steps of the GAN (5 persons x 10 x 800 epochs, batch 1); meant for a GPU; not measured here.
Command: python -m launch.reproduce --config=configs/pix2pix_tf_tutorial.py \
    --config.data.socofing_dir=SOCOFING_FOLDER --workdir=runs/pix2pix_tf_tutorial
"""

from ml_collections import ConfigDict

from configs import pix2pix_socofing


def get_config() -> ConfigDict:
    """Return the config; what it does not set is as in `pix2pix_socofing.py`."""
    config = pix2pix_socofing.get_config()
    config.data.interpolation = "nearest"
    config.data.jitter = 30  # resized to 286, cropped to 256
    for network in (config.generator, config.discriminator):
        network.norm_epsilon = 1e-3  # the default of Keras's BatchNormalization
        network.norm_momentum = 0.99
        network.conv_bias = "last"
        network.leaky_slope = 0.3  # the default of Keras's LeakyReLU
    config.generator.bottleneck_norm = True
    config.generator.skip = "after_activation"
    config.generator.dropout_outputs = (2, 4, 8)
    config.update_order = "simultaneous"
    config.discriminator_loss_weight = 1.0
    config.adam_eps = 1e-7
    config.num_epochs = 800  # steps=40000; earlier versions of the tutorial had EPOCHS = 150 or 200
    return config
