r"""The paper's experiment 1 and 2 for its smallest set, P50, at full scale.

Reproduces: Cordeiro & Saito, table 2, row P50 (real 0.9924 +- 0.0060, synthesised 0.8794 +- 0.0990).
Takes: 8,000 steps of the GAN (5 persons x 10 x 160 epochs, batch 1); meant for a GPU; not measured here.
Command: python -m launch.reproduce --config=configs/pix2pix_socofing.py \
    --config.data.socofing_dir=SOCOFING_FOLDER --workdir=runs/p50

Every field with its meaning stands here; the other configs say only what they change. A field that
the paper leaves open says so and gives the reason for the choice.
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """Return the config; every field is documented beside it."""
    config = ConfigDict()
    config.set_name = "P50"  # the row of the paper's table 2 that the result stands beside
    # Every stream of random numbers has a seed of its own: these, the classifier's, `data.noise_seed`,
    # `data.shuffle_seed` and synthesis's. -1 is the seed above it: of the GAN's three and of `classifier.seed`
    # it is this one.
    config.seed = 0
    config.weights_seed = -1  # the GAN's first weights
    config.dropout_seed = -1  # the GAN's dropout while it trains
    config.augmentation_seed = -1  # where `data.jitter` crops

    data = config.data = ConfigDict()
    # "socofing" | "impressions" (files <finger>_<impression>.png, of any sensor) | "npz" (either's prints in one
    # file) | "paired_folder" (files of condition and target)
    data.source = "socofing"
    data.socofing_dir = ""  # folder that holds Real/ and, for the altered control, Altered/
    # For source "impressions": a finger counts as a person of its own; hand, finger and frame are not asked.
    data.impressions_dir = ""
    # For source "npz", which needs no TensorFlow: the file that `launch.make_pairs --npz=FILE` wrote.
    data.npz_file = ""
    # For source "paired_folder", which docs/data.md describes: persons, replicas, frame and noise are not asked.
    data.paired_dir = ""
    # Of its pairs, "AtoB": from the left image, or the folder A, to the right one, or B; "BtoA": the other way round.
    data.direction = "AtoB"  # "AtoB" | "BtoA"
    data.tfds_dir = ""  # where TFDS keeps the prepared set; "" is TFDS's own default place
    data.on_bad_file = "stop"  # "stop" | "skip" (name it and go on)
    data.hand = "Right"  # whose prints are taken: "Left" | "Right" | "both"
    # Which finger's prints are taken: "thumb" | "index" | "middle" | "ring" | "little" | "all". Of several fingers each
    # counts as a person of its own, whose id is 100 times the person's and the finger's number, from 1, right thumb,
    # to 10, left little finger.
    data.finger = "index"
    data.num_persons = 5  # the first n persons, by id, who have this finger; 0 is all
    # The last n persons by id never train, with all their fingers: they are kept to judge by.
    data.num_held_out_persons = 0
    data.persons = ()  # ids instead of the first n; in any order, they are taken in that of the ids
    data.num_replicas = 10  # how often a person's print is repeated (section 4)
    # Of a finger's several impressions the first n train, the others are kept to judge by; 0 trains on all.
    data.num_impressions = 0
    # Pixels per inch of the files in impressions_dir; 0 for SOCOFing, whose scale is known, and where nobody knows.
    data.sensor_ppi = 0.0
    # Pixels per inch of the images made of them, which are cut or filled with white to the size below; 0 is sensor_ppi.
    data.image_ppi = 0.0
    # "keep" leaves the scanner's constant frame in, as the paper's images have it; "crop" cuts it
    # away, so that no score is owed to the frame.
    data.frame = "keep"
    data.image_size = 256  # height of the images, in pixels; a scan is enlarged to it
    data.image_width = 0  # their width; 0 is as wide as high, as the paper's
    # 1: grey, which colored pairs become with a warning; 3: color, of prints the grey three times; 0, for files of
    # pairs: what they are
    data.num_channels = 1  # 0 | 1 | 3
    # Open in the paper; bicubic is what GIMP and the reference pix2pix code use by default.
    data.interpolation = "bicubic"  # "nearest" | "bilinear" | "bicubic" | "lanczos" | "area"
    # What the generator is given: "noise", as in the paper, or "ridges": the print's ridge map and contact, its coarse
    # mean grey and contrast, and one plane of noise (docs/ridge_map.md); for sources of prints.
    data.condition = "noise"  # "noise" | "ridges"
    # Of "ridges": map and print are moved and distorted as one, at random, as impressions of one finger differ; a
    # factor on the spread of real ones, 0 is off.
    data.warp_strength = 0.0
    # Open in the paper; uniform noise is GIMP's "RGB noise" at full strength.
    data.noise_distribution = "uniform"  # "uniform" | "gaussian" | "salt_and_pepper"
    # Open in the paper; ten equal replicas with ten equal noises would be one pair ten times.
    data.noise_per = "replica"  # "replica" | "person"
    data.noise_seed = 0  # the noise images
    data.shuffle_seed = 0  # the order of the pairs, and of the classifier's prints
    data.jitter = 0  # pixels by which a pair is enlarged before a random crop; pix2pix's own is 30
    # "tfdata" reads batches ahead on the host; "device" keeps all examples on every device as bytes, and a
    # step gathers its own. The batches are the same, to the bit.
    data.feeding = "tfdata"  # "tfdata" | "device"

    generator = config.generator = ConfigDict()
    # "isola" (the paper's figure 2) | "ronneberger" (its section 3.1, which has norm "none", no dropout)
    generator.form = "isola"
    # How often Isola's form halves the image. Its edges are mirrored up to a multiple of 2**num_levels, and the
    # print is cut back; 0 is as often as that adds at most a quarter to a side, at 256 eight times.
    generator.num_levels = 0
    # "transposed" convolutions, or "resize" (nearest neighbour) and a 3x3 convolution, against checkerboards
    generator.upsampling = "transposed"  # "transposed" | "resize"
    generator.num_features = 64  # of the outermost level; doubled from level to level, Isola's up to 8 times
    # What the features are normalised over:
    # "batch" | "batch_per_example" (each example's own statistics) | "instance" | "none"
    generator.norm = "batch"
    # These six, the discriminator's like them and `update_order` are where the well-known pix2pix codes differ;
    # docs/versions.md says which has what. Here they are the reference PyTorch code's.
    generator.norm_epsilon = 1e-5  # added to the variance
    generator.norm_momentum = 0.9  # of the running statistics: new = momentum * old + (1 - momentum) * batch
    generator.bottleneck_norm = False  # a norm on the innermost, 1x1 map; at batch 1 only its bias comes out
    # Where a convolution has a bias:
    # "auto" (where no norm brings one) | "always" | "last" (in the last convolution only) | "never"
    generator.conv_bias = "auto"
    generator.leaky_slope = 0.2  # of the encoder's LeakyReLU
    generator.skip = "before_activation"  # what a skip carries: "before_activation" | "after_activation"
    generator.dropout_rate = 0.5  # share of the features set to 0; also in synthesis, as it is set below
    # Decoder outputs that have dropout, as multiples of the innermost map's side: pixels, where that is one
    generator.dropout_outputs = (4, 8, 16)
    generator.dtype = "float32"  # in which the generator computes
    generator.param_dtype = "float32"  # in which its weights are kept

    discriminator = config.discriminator = ConfigDict()
    discriminator.receptive_field = 70  # side of the patch, in pixels, that each logit judges
    discriminator.num_features = 64  # of the first convolution; doubled from one to the next, up to 8 times
    discriminator.norm = "batch"  # as the generator's, and so down to leaky_slope
    discriminator.norm_epsilon = 1e-5  # added to the variance
    discriminator.norm_momentum = 0.9  # of the running statistics
    # As the generator's:
    discriminator.conv_bias = "auto"  # "auto" | "always" | "last" | "never"
    discriminator.leaky_slope = 0.2  # of its LeakyReLU
    discriminator.dtype = "float32"  # in which the discriminator computes
    discriminator.param_dtype = "float32"  # in which its weights are kept

    # Training of the GAN. Open in the paper; Isola's defaults are assumed.

    config.global_batch_size = 1  # pairs a step, over all devices
    config.num_epochs = 160  # passes over the set; 160 is the last of figure 3
    config.num_decay_epochs = 0  # linear decay of the rate to 0 over the last n of num_epochs
    config.gan_objective = "vanilla"  # the two networks' loss on logits: cross-entropy, squares, or the hinge
    # Whether G learns from "discriminator_first" (D as just updated), "simultaneous" (D before its update) or
    # "old_activations" (D before its update, but the gradient goes back through the new weights).
    config.update_order = "discriminator_first"
    config.lambda_l1 = 100.0  # weight of the L1 loss in the generator's, beside the adversarial one
    # Of "ridges": weight of 1 minus the correlation of the print's ridges with its map's, in the generator's loss
    config.ridge_loss_weight = 0.0
    config.discriminator_loss_weight = 0.5  # factor of D's loss; the reference PyTorch code halves it
    config.learning_rate = 2e-4  # of both networks' Adam
    config.adam_beta1 = 0.5  # decay of the mean gradient
    config.adam_beta2 = 0.999  # decay of the mean square
    config.adam_eps = 1e-8  # added to the root of the mean square
    config.ema_decay = 0.0  # moving average of the generator's weights; 0 is off
    config.steps_per_dispatch = 1  # steps that one call runs; more save a GPU's waiting and change roundings
    # True computes norms and activations again for the gradients: less memory on a GPU, a little more time
    config.remat = False
    config.log_every_steps = 50  # rows of metrics.csv
    config.checkpoint_every_steps = 2000  # 0 is at the end only
    config.keep_epochs = ()  # epochs whose checkpoints are never deleted, to draw from them later
    config.sample_epochs = (2, 28, 160)  # epochs after which a sample grid is drawn; figure 3
    config.num_samples = 5  # noise images in a sample grid
    # Of a folder of pairs that has `val` or `test`: so many of these are measured after each of sample_epochs
    config.num_validation_pairs = 100
    config.best_metric = "l1_loss"  # the checkpoint with the lowest is kept beside the last

    # Experiment 2. Open in the paper: Xception's input size, initial weights, split and schedule.
    classifier = config.classifier = ConfigDict()
    classifier.seed = -1  # of the three below; -1 is config.seed
    classifier.weights_seed = -1  # its first weights; -1 is classifier.seed, here and in the next two
    classifier.dropout_seed = -1  # its dropout while it trains
    classifier.augmentation_seed = -1  # what the augmentation below draws
    classifier.width = 1.0  # multiplies every feature count; 1 is Chollet's
    classifier.num_middle_blocks = 8  # of three separable convolutions each; 8 is Chollet's
    classifier.dropout_rate = 0.5  # before the last layer, as Chollet 2017, section 4.4
    classifier.batch_norm_momentum = 0.99  # of the running statistics
    classifier.dtype = "float32"  # in which the classifier computes
    classifier.param_dtype = "float32"  # in which its weights are kept
    classifier.global_batch_size = 10  # prints a step, over all devices
    classifier.num_steps = 1000  # of the whole training
    classifier.learning_rate = 1e-3  # Adam's at the start; cosine decay to 0
    classifier.weight_decay = 1e-4  # decoupled, as AdamW's
    classifier.label_smoothing = 0.0  # share of the target that goes to all persons alike
    classifier.steps_per_dispatch = 1  # as config.steps_per_dispatch
    classifier.remat = False  # as config.remat
    classifier.log_every_steps = 20  # rows of metrics.csv
    classifier.checkpoint_every_steps = 500  # 0 is at the end only
    classifier.best_metric = "loss"  # the checkpoint with the lowest is kept beside the last
    augmentation = classifier.augmentation = ConfigDict()  # never a mirrored print
    augmentation.rotation_degrees = 10.0  # uniform in +- this
    augmentation.translation = 0.05  # fraction of the image's side, uniform in +- this
    augmentation.scaling = 0.05  # uniform in 1 +- this
    augmentation.contrast = 0.2  # factor uniform in 1 +- this
    augmentation.brightness = 0.1  # offset uniform in +- this, on the scale [-1, 1]
    augmentation.noise_std = 0.05  # white Gaussian noise, on the scale [-1, 1]

    synthesis = config.synthesis = ConfigDict()
    # The noise images of the training pairs, or ones that the generator never saw:
    synthesis.noise = "training"  # "training" | "new"
    synthesis.deterministic = False  # False keeps dropout at test time, as Isola et al. section 3.1
    synthesis.use_running_average = False  # False keeps each image's own statistics, alike
    synthesis.use_ema = False  # True draws with the moving average of the weights
    synthesis.batch_size = 16  # changes the speed, and a pixel in some 10,000 by one grey at most
    synthesis.seed = 0  # dropout
    synthesis.noise_seed = -1  # new noise; -1 is synthesis.seed

    evaluation = config.evaluation = ConfigDict()
    evaluation.num_test_persons = 3  # open in the paper which: the set's first n by id
    # Open in the paper. Over persons: each person's ten scores are averaged first.
    evaluation.std_over = "persons"  # "persons" | "images"
    evaluation.std_ddof = 0  # the deviation divides by n minus this
    evaluation.num_unseen_persons = 5  # control: persons whom the classifier never saw
    evaluation.batch_size = 16  # changes the speed, and a score by rounding only
    # What `launch.evaluate` measures, by family
    evaluation.measures = (
        "similarity",
        "identity",
        "uniqueness",
        "leakage",
        "minutiae",
        "quality",
        "ridges",
        "checkerboard",
        "distribution",
        "pixels",
    )
    # What identity, uniqueness and leakage compare prints with; two are told apart where they disagree.
    evaluation.matchers = (
        "nbis",
    )  # "nbis" (MINDTCT and BOZORTH3) and "fingerprint_recognition" (another kind)
    evaluation.num_epoch_replicas = 3  # prints a person that are judged of each epoch in config.keep_epochs
    evaluation.num_resamples = 2000  # draws of persons behind a threshold's 95% interval
    return config
