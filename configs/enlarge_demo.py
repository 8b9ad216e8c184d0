r"""More impressions of fingers: a generator from ridge maps, small enough for two cores.

Reproduces: nothing of the paper. It draws a print from its ridges, its contact and its coarse look; persons may be
ones that it never saw.
Takes: for 1,900 prints 20 minutes on 2 cores without a GPU, 14:27 of it for the training (measured).
Command: python -m launch.enlarge --config=configs/enlarge_demo.py --config.data.socofing_dir=SOCOFING_FOLDER \
    --workdir=runs/enlarge_demo
"""

from ml_collections import ConfigDict

from configs import pix2pix_socofing


def get_config() -> ConfigDict:
    """Return the config; what it does not set is as in `pix2pix_socofing.py`."""
    config = pix2pix_socofing.get_config()
    config.set_name = "enlarge_demo"
    data = config.data
    data.condition = "ridges"
    # Narrow filters lose what another matcher than NIST's knows the finger by.
    data.ridge_filter = "wide"
    data.warp_strength = 1.0
    # All fingers of everybody except ten persons, who judge the result.
    data.hand = "both"
    data.finger = "all"
    data.num_persons = 0
    data.num_held_out_persons = 10
    # Each print five times, with another noise plane each time: a repeated one would be learned by heart.
    data.num_replicas = 5
    # The scanner's frame must not contribute to a score.
    data.frame = "crop"
    data.image_size = 128
    config.generator.num_features = 32
    # Ten images at a time use the machine well; each has its own statistics, as when it is drawn.
    config.generator.norm = "batch_per_example"
    # The noise plane makes the variety.
    config.generator.dropout_outputs = ()
    config.discriminator.num_features = 32
    config.discriminator.norm = "batch_per_example"
    config.discriminator.receptive_field = 34  # eight ridge periods of 4.3 pixels
    config.gan_objective = "lsgan"
    # The ridge loss keeps the finger. With an L1 weight of 100, or of every pixel, pores and breaks are hardly drawn.
    config.lambda_l1 = 20.0
    config.l1_blur = 1.0
    config.ridge_loss_weight = 5.0
    config.global_batch_size = 10
    config.num_epochs = 2
    config.sample_epochs = (1, 2)
    config.log_every_steps = 10
    config.checkpoint_every_steps = 200
    return config
