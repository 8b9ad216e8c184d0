r"""The paper's set P50, trained as the reference PyTorch code does by default (junyanz/pytorch-CycleGAN-and-pix2pix).

Reproduces: that code's networks, losses, order of updates, rate and jitter of `--model pix2pix --input_nc 1
    --output_nc 1 --no_flip`. Not reproduced: its shuffling, its random numbers, and its jitter's resampling (it
    enlarges the file to 286 pixels; we enlarge it to 256 and then, also bicubically, to 286).
Takes: 10,000 steps of the GAN (5 persons x 10 x 200 epochs, batch 1); meant for a GPU; not measured here.
Command: python -m launch.reproduce --config=configs/pix2pix_pytorch.py \
    --config.data.socofing_dir=SOCOFING_FOLDER --workdir=runs/pix2pix_pytorch
"""

from ml_collections import ConfigDict

from configs import pix2pix_socofing


def get_config() -> ConfigDict:
    """Return the config; what it does not set is as in `pix2pix_socofing.py`."""
    config = pix2pix_socofing.get_config()
    config.data.jitter = 30  # --load_size 286 --crop_size 256
    config.num_epochs = 200  # --n_epochs 100, then
    config.num_decay_epochs = 100  # --n_epochs_decay 100
    return config
