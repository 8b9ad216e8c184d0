"""Every stream of random numbers has a seed of its own: one that changes leaves all others as they were."""

import contextlib
import functools
import tempfile

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from fpgan_jax.config.derived import resolve_seed
from fpgan_jax.data import feeding
from fpgan_jax.models import factory
from fpgan_jax.synthesis import manifest
from fpgan_jax.training import classifier_trainer, gan_trainer, random_streams
from tests.training import tiny

GAN_STREAMS = {
    "weights_seed": "weights",
    "dropout_seed": "dropout",
    "augmentation_seed": "augmentation",
    "data.noise_seed": "noise",
    "data.shuffle_seed": "order",
}
CLASSIFIER_STREAMS = {
    "classifier.weights_seed": "weights",
    "classifier.dropout_seed": "dropout",
    "classifier.augmentation_seed": "augmentation",
    "data.shuffle_seed": "order",
}


def create_config(changes):
    config = tiny.create_config()
    config.classifier.global_batch_size = 3
    config.update_from_flattened_dict(changes)
    return config


@contextlib.contextmanager
def build(trainer, config, source):
    """Yield what a trainer would run, on networks of one weight or three: (training, state at step 0, keys)."""
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as workdir:
        patch.setattr(factory, "create_generator", lambda config: DrawingNetwork())
        patch.setattr(factory, "create_discriminator", lambda config: DrawingNetwork())
        patch.setattr(factory, "create_classifier", lambda config, num_classes: DrawingNetwork(num_classes))
        patch.setattr(trainer, "run_training", lambda *arguments, **options: arguments)
        yield trainer.train_and_evaluate(config, workdir, source)


def record_prepared(prepare_batch, prepared):
    def prepare(key, batch, first_index):
        images = prepare_batch(key, batch, first_index=first_index)
        prepared.append(np.asarray(jax.tree.leaves(images)[0]))
        return images

    return prepare


def take_step(training, state, keys, batch):
    """Take a step without compiling it; return (state, the images as they were prepared)."""
    prepared = []
    prepare_batch = record_prepared(training.step.keywords["prepare_batch"], prepared)
    step = functools.partial(training.step, prepare_batch=prepare_batch, axis_name=None)
    return step(state, batch, keys)[0], prepared


class DrawingNetwork(nn.Module):
    """y = w * x + b, and keeps a number drawn as dropout draws its own, which depends on neither."""

    num_outputs: int | None = None

    @nn.compact
    def __call__(self, x, image=None, *, num_passes=1, deterministic=False, use_running_average=False):
        drawn = self.variable("batch_stats", "drawn", lambda: jnp.zeros(()))
        if not self.is_initializing() and self.has_rng("dropout"):
            drawn.value = jax.random.uniform(self.make_rng("dropout"))
        weights = self.param("w", nn.initializers.normal(), (self.num_outputs or 1,))
        return x.mean((1, 2, 3))[:, None] * weights if self.num_outputs else weights * x


IMAGE = np.random.default_rng(0).integers(0, 256, (1, 16, 16, 1), np.uint8)


@functools.cache
def observe_gan(**changes):
    """Return stream -> what it decides in a GAN: an epoch's batches, and one step."""
    config = create_config(changes)
    with build(gan_trainer, config, tiny.create_source(config)) as (training, state, keys):
        batches = list(training.feed.create_batches(0, 3))
        after, prepared = take_step(training, state, keys, {"noise_image": IMAGE, "real_image": IMAGE})
    ids = [tuple(pair) for batch in batches for pair in zip(batch["person"], batch["replica"], strict=True)]
    noise = dict(zip(ids, (image for batch in batches for image in batch["noise_image"]), strict=True))
    return {
        "weights": [state.generator.params, state.discriminator.params],
        "dropout": after.generator.batch_stats["drawn"],
        "augmentation": prepared,
        "noise": [noise[pair] for pair in sorted(noise)],
        "order": np.array(ids),
    }


@functools.cache
def observe_classifier(**changes):
    """Return the same for the classifier."""
    config = create_config(changes)
    source = feeding.create_classifier_source_from_prints(config, tiny.create_prints())
    with build(classifier_trainer, config, source) as (training, state, keys):
        labels = [batch["label"] for batch in training.feed.create_batches(0, 8)]
        after, prepared = take_step(training, state, keys, {"image": IMAGE, "label": np.zeros(1, np.int32)})
    return {
        "weights": state.classifier.params,
        "dropout": after.classifier.batch_stats["drawn"],
        "augmentation": prepared,
        "order": np.array(labels),
    }


def find_changed(before, after):
    def is_same(old, new):
        return all(map(np.array_equal, jax.tree.leaves(old), jax.tree.leaves(new)))

    return {stream for stream in before if not is_same(before[stream], after[stream])}


@pytest.mark.parametrize("field", GAN_STREAMS)
def test_a_seed_of_the_gan_changes_its_own_stream_only(field):
    assert find_changed(observe_gan(), observe_gan(**{field: 5})) == {GAN_STREAMS[field]}


@pytest.mark.parametrize("field", CLASSIFIER_STREAMS)
def test_a_seed_of_the_classifier_changes_its_own_stream_only(field):
    assert find_changed(observe_classifier(), observe_classifier(**{field: 5})) == {CLASSIFIER_STREAMS[field]}


TRAINING_STREAMS = {"weights", "dropout", "augmentation"}


@pytest.mark.parametrize(
    ("changes", "gan", "classifier"),
    [
        ({"seed": 5}, TRAINING_STREAMS, TRAINING_STREAMS),
        ({"classifier.seed": 5}, set(), TRAINING_STREAMS),
        ({"weights_seed": 5, "dropout_seed": 5, "augmentation_seed": 5}, TRAINING_STREAMS, set()),
        ({"seed": 5, "classifier.seed": 0}, TRAINING_STREAMS, set()),
        # What a seed of 0 says already.
        ({"weights_seed": 0, "dropout_seed": 0, "augmentation_seed": 0, "classifier.seed": 0}, set(), set()),
        ({"synthesis.seed": 5, "synthesis.noise_seed": 6}, set(), set()),
    ],
)
def test_the_seed_of_an_experiment_is_that_of_the_streams_without_their_own(changes, gan, classifier):
    for observe, expected in ((observe_gan, gan), (observe_classifier, classifier)):
        assert find_changed(observe(), observe(**changes)) == expected


def test_the_streams_are_those_that_one_seed_has_always_had():
    config = create_config({"seed": 7})
    weights_key, base_keys = random_streams.create_keys(config)
    expected_weights_key, base_key = jax.random.split(jax.random.key(7))
    step_keys = jax.random.split(jax.random.fold_in(base_key, 3))
    found = (weights_key, *random_streams.fold_in_step(base_keys, 3))
    for key, expected in zip(found, (expected_weights_key, *step_keys), strict=True):
        np.testing.assert_array_equal(jax.random.key_data(key), jax.random.key_data(expected))


@pytest.mark.parametrize(
    ("changes", "changed"),
    [
        ({"seed": 5}, {"seed", "noise_seed"}),
        ({"noise_seed": 5}, {"noise_seed"}),
        ({"seed": 5, "noise_seed": 0}, {"seed"}),
    ],
)
def test_the_seeds_of_a_synthesis_change_its_dropout_and_its_noise(changes, changed):
    def plan(**changes):
        config = create_config(
            {"synthesis.noise": "new"} | {f"synthesis.{name}": n for name, n in changes.items()}
        )
        metadata = {"pairs": [[1, 0]], "pair_names": [], "config_hash": "", "data_hash": ""}
        (row,) = manifest.plan_rows(config, metadata, 0)
        return vars(row)

    before, after = plan(), plan(**changes)
    assert {name for name in before if before[name] != after[name]} == changed


def test_a_field_of_minus_one_is_the_seed_above_it():
    config = create_config({"seed": 3, "classifier.seed": 4, "classifier.dropout_seed": 5})
    names = ("weights_seed", "classifier.weights_seed", "classifier.dropout_seed", "synthesis.noise_seed")
    assert [resolve_seed(config, name) for name in names] == [3, 4, 5, 0]
