"""Owns making any config small enough for a test, so that it still differs from the others in what it is about."""


def shrink(config):
    """Make a config small: 128 pixels, few prints, few steps, thin networks. Returns it."""
    data, generator, discriminator = config.data, config.generator, config.discriminator
    data.image_size = 128
    data.num_held_out_persons = min(data.num_held_out_persons, 1)
    data.num_replicas = min(data.num_replicas, 2)
    data.num_persons = min(data.num_persons, 2) or 3
    generator.num_features = discriminator.num_features = 2
    generator.dropout_outputs = generator.dropout_outputs and (4, 8)
    discriminator.receptive_field = 16
    config.num_epochs, config.num_decay_epochs = 2, min(config.num_decay_epochs, 1)
    config.sample_epochs, config.num_samples = (1, 2), 2
    config.global_batch_size = min(config.global_batch_size, 2)
    config.log_every_steps, config.checkpoint_every_steps = 2, 4
    classifier = config.classifier
    classifier.width, classifier.num_middle_blocks = 0.05, 0
    classifier.global_batch_size, classifier.num_steps = 2, 4
    classifier.log_every_steps, classifier.checkpoint_every_steps = 2, 2
    config.evaluation.num_test_persons, config.evaluation.num_unseen_persons = 2, 1
    config.evaluation.batch_size = config.synthesis.batch_size = 4
    return config
