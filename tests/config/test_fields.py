"""That the declarations of config fields hold together, and agree with the modules that know the same names."""

from fpgan_jax import losses
from fpgan_jax.config.fields import FIELDS, Field, flatten_config
from fpgan_jax.config.files import create_config
from fpgan_jax.data import noise, preprocessing
from fpgan_jax.data.socofing import filenames
from fpgan_jax.models import layers, norms, patchgan, unet
from fpgan_jax.training import gan_step, gan_trainer, gan_watch


def test_the_modules_know_the_same_choices():
    # Each list stays beside the code that does what it names: a choice that is only declared fails here.
    known = {
        "gan_objective": losses.GAN_OBJECTIVES,
        "update_order": gan_step.UPDATE_ORDERS,
        "generator.norm": norms.NORMS,
        "discriminator.norm": norms.NORMS,
        "generator.conv_bias": layers.CONV_BIASES,
        "discriminator.conv_bias": layers.CONV_BIASES,
        "generator.skip": unet.SKIPS,
        "generator.upsampling": unet.UPSAMPLINGS,
        "discriminator.receptive_field": tuple(patchgan.NUM_STRIDED_CONVS),
        "data.noise_distribution": noise.DISTRIBUTIONS,
        "data.interpolation": (*preprocessing.INTERPOLATIONS, "area"),
        "data.hand": (*filenames.HANDS, "both"),
        "data.finger": (*filenames.FINGERS, "all"),
    }
    assert {name: FIELDS[name].choices for name in known} == known


def test_every_metric_that_makes_a_checkpoint_best_is_computed():
    assert set(FIELDS["best_metric"].choices) <= set(gan_trainer.METRIC_NAMES)


def test_every_objective_has_the_loss_of_a_blind_discriminator():
    assert set(gan_watch._BLIND_LOSSES) == set(FIELDS["gan_objective"].choices)


def test_every_default_is_within_its_range():
    faults = {name: field.find_fault(field.default) for name, field in FIELDS.items()}
    assert {name: fault for name, fault in faults.items() if fault} == {}


def test_every_meaning_is_one_line_without_a_full_stop():
    meanings = [field.meaning for field in FIELDS.values()]
    assert [
        text for text in meanings if not text or text != " ".join(text.split()) or text.endswith(".")
    ] == []


def test_a_seed_of_minus_one_falls_back_on_a_seed_that_comes_before_it():
    names = list(FIELDS)
    seeds = {name: field.fallback for name, field in FIELDS.items() if field.low == -1}
    assert {"weights_seed", "classifier.dropout_seed", "synthesis.noise_seed"} <= seeds.keys()
    assert all(names.index(fallback) < names.index(name) for name, fallback in seeds.items())


def test_a_config_holds_every_field_at_its_default():
    config = flatten_config(create_config())
    assert config == {name: field.default for name, field in FIELDS.items()}


def test_a_config_is_created_with_overrides():
    config = create_config(["data.source=paired_folder", "sample_epochs=1,2"])
    assert (config.data.source, config.sample_epochs) == ("paired_folder", (1, 2))


def test_a_type_is_named_with_that_of_its_items():
    assert (Field(1.0, "").type_name, Field((), "", item_type=int).type_name) == ("float", "tuple of int")
