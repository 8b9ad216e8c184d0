r"""A peer of `enlarge_demo.py`: pix2pix from minutiae maps, as Makrushin, Mannam & Dittmann 2023 draw fingerprints.

Reproduces: the kind of condition ("directed lines") and the instance norm of their "Privacy-Friendly Datasets of
Synthetic Fingerprints for Evaluation of Biometric Algorithms"; not their 512x512 pixels, Anguli's prints or 15 epochs.
Prints, steps, sizes and warps are those of `enlarge_demo.py`; the condition, norm, losses and dropout differ.
Takes: about 7 minutes on 2 cores (770 of the 950 steps took 5:25); needs NIST's MINDTCT
(bash launch/setup_biometrics.sh).
Command: python -m launch.train_gan --config=configs/peer_minutiae.py --config.data.socofing_dir=SOCOFING_FOLDER \
    --workdir=runs/peer_minutiae
"""

from ml_collections import ConfigDict

from configs import enlarge_demo, pix2pix_socofing


def get_config() -> ConfigDict:
    """Return the config; what it does not set is as in `enlarge_demo.py`."""
    plain, config = pix2pix_socofing.get_config(), enlarge_demo.get_config()
    config.set_name = "peer_minutiae"
    config.data.condition = "minutiae"
    config.data.ridge_filter = plain.data.ridge_filter  # there is no ridge map
    config.l1_blur = plain.l1_blur
    config.num_epochs = 1
    config.sample_epochs = (1,)
    # Their network is pix2pix as published, except for the norm.
    config.generator.norm = "instance"
    config.discriminator.norm = "instance"
    config.generator.dropout_outputs = plain.generator.dropout_outputs
    config.gan_objective = plain.gan_objective
    config.lambda_l1 = plain.lambda_l1
    config.ridge_loss_weight = 0.0
    return config
