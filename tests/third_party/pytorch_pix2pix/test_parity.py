"""Our networks and training step against the PyTorch pix2pix's: the same weights in, the same numbers out.

What PyTorch answered is stored, and one test asks it again. How far an answer of ours may be from PyTorch's float64 one
is told by how far PyTorch's own float32 answers are: eight times as far. A tensor of one or two numbers may have come
out right by chance, so that the worst of its layer counts, which sums the same terms, and the median of its like (the
gradients of one network, say), relative to the largest number of the tensor.
"""

import collections
import functools
import re

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import pix2pix_socofing
from fpgan_jax.models import factory
from fpgan_jax.models.patchgan import NUM_STRIDED_CONVS
from fpgan_jax.training import gan_step
from fpgan_jax.training.optimizers import create_gan_optimizer
from fpgan_jax.training.random_streams import StepKeys
from fpgan_jax.training.state import GanTrainState, create_network_state
from third_party.pytorch_pix2pix import names, parity_cases

CASES = {case.name: case for case in parity_cases.CASES}
FACTOR = 8


def create_config(case):
    config = pix2pix_socofing.get_config()
    config.data.image_size = case.image_size
    config.data.num_channels = case.num_channels
    config.generator.dropout_outputs = case.dropout_outputs
    config.discriminator.receptive_field = {n: f for f, n in NUM_STRIDED_CONVS.items()}[case.num_strided]
    for network in (config.generator, config.discriminator):
        network.norm = case.norm
        network.num_features = case.num_features
    return config


def list_entries(case):
    return {
        "generator": names.list_generator_entries(case.num_levels, case.norm),
        "discriminator": names.list_discriminator_entries(case.num_strided, case.norm),
    }


def draw_variables(config, case):
    """Draw the case's weights in PyTorch's layout, and lay them out as ours."""
    shapes = {
        "generator": factory.shape_generator(config),
        "discriminator": factory.shape_discriminator(config),
    }
    variables = {}
    for seed, (name, entries) in enumerate(list_entries(case).items(), start=1):
        theirs = {
            entry.key: names.to_theirs(entry, np.zeros(_get(shapes[name], entry).shape)).shape
            for entry in entries
        }
        drawn = parity_cases.draw_state(theirs, seed)
        variables[name] = {"params": {}, "batch_stats": {}}
        for entry in entries:
            collection, layer, leaf = entry.path
            variables[name][collection].setdefault(layer, {})[leaf] = names.to_ours(entry, drawn[entry.key])
    return variables


def _get(tree, entry):
    return functools.reduce(lambda node, part: node[part], entry.path, tree)


def to_theirs(case, name, tree):
    """Lay a tree of ours out as PyTorch's, what it has of it."""
    return {
        entry.key: names.to_theirs(entry, np.asarray(_get(tree, entry)))
        for entry in list_entries(case)[name]
        if entry.path[0] in tree
    }


def pass_through(apply, variables, inputs):
    """Return the outputs in evaluation and training mode, and the gradients of <output, cotangent>."""
    evaluated = apply(variables, *inputs, use_running_average=True)

    def run(params, *inputs):
        return apply(variables | {"params": params}, *inputs, use_running_average=False)

    y, pull = jax.vjp(run, variables["params"], *inputs)
    cotangent = jnp.float32(np.random.default_rng(9).normal(size=y.shape))
    params_gradient, *input_gradients = pull(cotangent)
    return evaluated, y, params_gradient, jnp.concatenate(input_gradients, -1)


def compute_answers(case):
    """Compute what `make_reference.compute_answers` does, by our networks."""
    config = create_config(case)
    generator, discriminator = factory.create_generator(config), factory.create_discriminator(config)
    variables = draw_variables(config, case)
    images = [jnp.float32(parity_cases.draw_images(case, seed)) for seed in range(2)]
    applies = {
        "generator": (functools.partial(generator.apply, deterministic=True), images[:1]),
        "discriminator": (discriminator.apply, images),
    }
    answers = {}
    for name, (apply, inputs) in applies.items():
        run = jax.jit(functools.partial(pass_through, apply))
        evaluated, y, params_gradient, input_gradient = run(variables[name], inputs)
        answers |= {
            f"{name}/evaluation": evaluated,
            f"{name}/training": y,
            f"{name}/input_gradient": input_gradient,
        }
        gradients = to_theirs(case, name, {"params": params_gradient})
        answers |= {f"{name}/gradient/{key}": value for key, value in gradients.items()}
    if case.dropout_outputs:
        answers["generator/dropout"] = compute_with_dropout(generator, variables["generator"], images[0])
    return answers | train(case, config, generator, discriminator, variables)


def compute_with_dropout(generator, variables, image):
    def multiply(next_call, args, kwargs, context):
        is_dropout = isinstance(context.module, nn.Dropout)
        return parity_cases.DROPOUT_FACTOR * args[0] if is_dropout else next_call(*args, **kwargs)

    with nn.intercept_methods(multiply):
        return generator.apply(variables, image, deterministic=False, use_running_average=False)


def train(case, config, generator, discriminator, variables):
    tx = create_gan_optimizer(config, num_examples=case.batch_size)
    state = GanTrainState(
        jnp.int32(0),
        create_network_state(variables["generator"], tx),
        create_network_state(variables["discriminator"], tx),
    )
    step = jax.jit(
        functools.partial(
            gan_step.train_step,
            networks=gan_step.GanNetworks(generator.clone(dropout_rate=0.0), discriminator, tx, tx),
            settings=gan_step.StepSettings(
                lambda_l1=config.lambda_l1, discriminator_loss_weight=config.discriminator_loss_weight
            ),
            prepare_batch=lambda key, batch, first_index: (batch["noise_image"], batch["real_image"]),
        )
    )
    losses = []
    for index in range(parity_cases.NUM_STEPS):
        batch = {
            name: parity_cases.draw_images(case, 10 * (index + 1) + i)
            for i, name in enumerate(("noise_image", "real_image"))
        }
        state, metrics = step(state, batch, StepKeys(jax.random.key(0), jax.random.key(0)))
        shown = ("discriminator_loss", "adversarial_loss", "l1_loss")
        losses.append([float(metrics[name].total / metrics[name].count) for name in shown])
    answers = {"steps/losses": np.array(losses)}
    passes = {"generator": parity_cases.NUM_STEPS, "discriminator": 3 * parity_cases.NUM_STEPS}
    for name, network in (("generator", state.generator), ("discriminator", state.discriminator)):
        tree = {"params": network.params, "batch_stats": network.batch_stats}
        after, before = to_theirs(case, name, tree), to_theirs(case, name, variables[name])
        for entry in list_entries(case)[name]:
            value = after[entry.key]
            if entry.path[2] == "var":
                value = unbias(value, before[entry.key], passes[name], count_values(case, entry.path[1]))
            answers[f"steps/{name}/{entry.key}"] = value
    return answers


def unbias(var, initial, num_passes, count):
    """PyTorch keeps the unbiased variance: n / (n - 1) times what each pass added."""
    kept = 0.9**num_passes * np.float64(initial)
    return kept + (var - kept) * count / (count - 1)


def count_values(case, layer):
    """Count the values that a norm averages a feature over."""
    kind, index = re.match(r"(down|up|norm)(\d+)", layer).groups()
    index = int(index)
    size = case.image_size
    if kind == "down":
        size >>= index + 1
    elif kind == "up":
        size >>= index
    elif case.num_strided:
        size = size >> (index + 1) if index < case.num_strided else (size >> index) - 1
    return case.batch_size * size * size


def find_group(name):
    """Return what an answer is one of: a network's gradients, its kernels (or biases, ..) after the steps, outputs.

    Biases before instance norm stand apart: their gradients are rounding alone, of which Adam makes whole steps.
    """
    kind, *network = name.split("/")
    if kind == "steps" and len(network) == 2:
        return f"{name.rpartition('/')[0]}/{name.rpartition('.')[2]}"
    return name.rpartition("/")[0] if "/gradient/" in name else "outputs"


def find_layer(name):
    """Return the layer whose gradients an answer is one of; another answer stands for itself."""
    return name.rpartition(".")[0] if "/gradient/" in name else name


def assert_answers(ours, exact, errors):
    assert ours.keys() == exact.keys()
    sizes = {name: np.abs(value).max() for name, value in exact.items()}
    relative_errors, layer_errors = collections.defaultdict(list), collections.defaultdict(float)
    for name, size in sizes.items():
        layer = find_layer(name)
        relative_errors[find_group(name)].append(errors[name] / size if size else 0)
        layer_errors[layer] = max(layer_errors[layer], errors[name])
    far = {}
    for name, value in exact.items():
        usual = np.median(relative_errors[find_group(name)]) * sizes[name]
        tolerance = FACTOR * max(layer_errors[find_layer(name)], usual)
        difference = np.abs(np.float64(ours[name]) - np.float64(value)).max()
        if not difference <= tolerance:
            far[name] = (difference, tolerance)
    assert far == {}


@pytest.mark.parametrize(
    "name", [name if name == "basic" else pytest.param(name, marks=pytest.mark.slow) for name in CASES]
)
@pytest.mark.seconds(15)
def test_numbers_are_those_that_pytorch_gave(name):
    assert_answers(compute_answers(CASES[name]), *parity_cases.load_reference(CASES[name]))


@pytest.mark.compare
@pytest.mark.parametrize("name", CASES)
def test_numbers_are_those_that_pytorch_gives(name):
    from third_party.pytorch_pix2pix import make_reference

    exact, errors = make_reference.measure(CASES[name])
    assert_answers(compute_answers(CASES[name]), exact, errors)
