r"""The paper's set P50, trained as Isola's own Torch code does by default (phillipi/pix2pix).

Reproduces: that code's networks, losses, order of updates and rate, with `input_nc=1 output_nc=1 flip=0`. It has
    biases and sets them to zero before each gradient: here they are left out. Not reproduced: the generator's
    pass sees the biases of one update (about the rate each) before they are zeroed; Adam's epsilon is added
    before the bias correction there; its linear enlargement is its own, and goes to 286 pixels at once.
Takes: 10,000 steps of the GAN (5 persons x 10 x 200 epochs, batch 1); meant for a GPU; not measured here.
Command: python -m launch.reproduce --config=configs/pix2pix_torch.py \
    --config.data.socofing_dir=SOCOFING_FOLDER --workdir=runs/pix2pix_torch
"""

from ml_collections import ConfigDict

from configs import pix2pix_socofing


def get_config() -> ConfigDict:
    """Return the config; what it does not set is as in `pix2pix_socofing.py`."""
    config = pix2pix_socofing.get_config()
    config.data.interpolation = "bilinear"  # the default of image.scale
    config.data.jitter = 30  # loadSize=286 fineSize=256
    config.generator.conv_bias = "never"
    config.generator.dropout_outputs = (2, 4, 8)
    config.discriminator.conv_bias = "never"
    config.update_order = "old_activations"
    config.discriminator_loss_weight = 1.0  # the gradients are added; only the printed errD is halved
    config.num_epochs = 200  # niter=200
    return config
