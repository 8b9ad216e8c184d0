"""The PyTorch networks are ours: same weights, same images, same values."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fpgan_jax.benchmarking import peer_worker
from fpgan_jax.errors import UserError
from fpgan_jax.models.patchgan import PatchDiscriminator
from fpgan_jax.models.unet import UNetGenerator
from fpgan_jax.models.xception import Xception


def test_the_worker_imports_neither_torch_nor_jax():
    program = (
        "import sys; sys.modules['torch'] = sys.modules['jax'] = None\n"
        "from fpgan_jax.benchmarking import peer_worker; print(peer_worker.VARIANTS)"
    )
    result = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True)
    assert result.stdout.strip() == "('eager', 'compile')", result.stderr


def draw_images(seed, *shape):
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)


def draw_params(init):
    """Draw weights that keep the size of what passes through them, and norms of any scale and offset."""
    random = np.random.default_rng(0)

    def draw(path, leaf):
        if "kernel" in path[-1].key:
            fan_in = max(1, leaf.size // max(leaf.shape[-2:]))
            return np.float32(random.normal(0, np.sqrt(2 / fan_in), leaf.shape))
        low, high = (0.5, 1.5) if path[-1].key == "scale" else (-0.2, 0.2)
        return np.float32(random.uniform(low, high, leaf.shape))

    return jax.tree_util.tree_map_with_path(draw, jax.eval_shape(init)["params"])


def copy(module, ours):
    """Copy a layer's weights into PyTorch's form of it."""
    import torch

    values = {name: np.asarray(value) for name, value in ours.items()}
    weight = values.get("kernel", values.get("scale"))
    if weight.ndim == 4:
        weight = weight.transpose(3, 2, 0, 1)
    if weight.ndim == 2:
        weight = weight.T
    assert module.weight.shape == weight.shape
    assert (module.bias is None) == ("bias" not in values)
    with torch.no_grad():
        module.weight.copy_(torch.tensor(weight))
        if module.bias is not None:
            module.bias.copy_(torch.tensor(values["bias"]))


def layers_of(module):
    import torch

    kinds = (torch.nn.Conv2d, torch.nn.ConvTranspose2d, torch.nn.BatchNorm2d, torch.nn.Linear)
    return [layer for layer in module.modules() if isinstance(layer, kinds)]


def copy_all(module, params, names):
    layers = layers_of(module)
    assert len(layers) == len(names)
    assert {name.split("/")[0] for name in names} == set(params)
    for layer, name in zip(layers, names, strict=True):
        group, _, part = name.partition("/")
        copy(layer, {"kernel": params[group][part]} if part else params[group])


def assert_as_exact_as_torch(ours, module, *images):
    """Hold our error to a few times that of PyTorch in float32, both against PyTorch in float64."""
    import torch

    def run(dtype):
        tensors = [torch.tensor(image.transpose(0, 3, 1, 2)).to(dtype) for image in images]
        with torch.no_grad():
            return module.to(dtype).train()(torch.cat(tensors, 1)).double().numpy()

    for layer in module.modules():
        if isinstance(layer, torch.nn.Dropout):
            layer.p = 0.0
    exact, single = run(torch.float64), run(torch.float32)
    ours = np.asarray(ours, np.float64)
    ours = ours.transpose(0, 3, 1, 2) if ours.ndim == 4 else ours
    assert exact.std() > 0.05
    assert np.abs(ours - exact).max() < 8 * np.abs(single - exact).max()


@pytest.mark.compare
def test_the_generator_is_ours():
    from fpgan_jax.benchmarking import peers

    model = UNetGenerator(num_features=4, dropout_outputs=())
    noise = draw_images(0, 2, 64, 64, 1)
    call = {"deterministic": True, "use_running_average": False}
    params = draw_params(lambda: model.init(jax.random.key(0), jnp.asarray(noise), **call))
    peer = peers.UNet(64, 4)
    names = []
    for direction, levels in (("down", range(6)), ("up", range(6))):
        for level in levels:
            names.append(f"{direction}{level}_conv")
            names += [f"{direction}{level}_norm"] * (f"{direction}{level}_norm" in params)
    copy_all(peer, params, names)
    ours = model.apply({"params": params, "batch_stats": stats_of(params)}, noise, **call)
    assert_as_exact_as_torch(ours, peer, noise)


def stats_of(params):
    return {
        name: {"mean": np.zeros_like(group["scale"]), "var": np.ones_like(group["scale"])}
        for name, group in params.items()
        if "scale" in group
    }


@pytest.mark.compare
@pytest.mark.parametrize(("receptive_field", "num_strided"), [(70, 3), (34, 2)])
def test_the_discriminator_is_ours(receptive_field, num_strided):
    from fpgan_jax.benchmarking import peers

    model = PatchDiscriminator(receptive_field=receptive_field, num_features=4)
    noise, image = draw_images(0, 2, 32, 32, 1), draw_images(1, 2, 32, 32, 1)
    params = draw_params(
        lambda: model.init(
            jax.random.key(0), jnp.asarray(noise), jnp.asarray(image), use_running_average=False
        )
    )
    names = ["conv0"]
    for i in range(1, num_strided + 1):
        names += [f"conv{i}", f"norm{i}"]
    peer = peers.PatchDiscriminator(4, 1, num_strided)
    copy_all(peer, params, [*names, f"conv{num_strided + 1}"])
    variables = {"params": params, "batch_stats": stats_of(params)}
    ours = model.apply(variables, noise, image, use_running_average=False)
    assert_as_exact_as_torch(ours, peer, noise, image)


@pytest.mark.compare
def test_xception_is_ours():
    from fpgan_jax.benchmarking import peers

    model = Xception(5, width=0.1, num_middle_blocks=1)
    images = draw_images(0, 2, 96, 96, 1)
    call = {"deterministic": True, "use_running_average": False}
    params = draw_params(lambda: model.init(jax.random.key(0), jnp.asarray(images), **call))

    def separable(name):
        return [f"{name}/depthwise_kernel", f"{name}/pointwise_kernel", f"{name}_bn"]

    names = ["block1_conv1", "block1_conv1_bn", "block1_conv2", "block1_conv2_bn"]
    for block, count in ((2, 2), (3, 2), (4, 2), (5, 3), (6, 2)):
        names += [part for i in range(1, count + 1) for part in separable(f"block{block}_sepconv{i}")]
        names += [f"block{block}_shortcut_{part}" for part in ("conv", "bn")] * (count == 2)
    names += [*separable("block7_sepconv1"), *separable("block7_sepconv2"), "predictions"]
    peer = peers.Xception(5, width=0.1, num_middle_blocks=1)
    copy_all(peer, params, names)
    ours = model.apply({"params": params, "batch_stats": stats_of(params)}, images, **call)
    assert_as_exact_as_torch(ours, peer, images)


PROGRAM = {
    "dtype": "float32",
    "image_size": 16,
    "num_channels": 1,
    "num_features": 2,
    "num_strided": 2,
    "batch_size": 2,
    "num_classes": 3,
    "width": 0.05,
    "num_middle_blocks": 0,
}


@pytest.mark.compare
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", ["generator_inference", "discriminator", "gan_step", "xception_step"])
def test_every_program_runs_in_torch(name, dtype):
    from fpgan_jax.benchmarking import peer_programs

    size = 71 if name.startswith("xception") else 16
    call = peer_programs.create_call(
        PROGRAM | {"name": name, "dtype": dtype, "image_size": size}, "eager", "cpu"
    )
    assert call().isfinite().all() and call().isfinite().all()


@pytest.mark.compare
def test_the_worker_times_in_a_process_of_its_own():
    with peer_worker.PeerWorker(device="cpu", num_threads=1) as worker:
        assert worker.description["num_threads"] == 1
        assert worker.build("eager", PROGRAM | {"name": "discriminator"})["seconds"] > 0
        samples = worker.create_turn("eager")(3, 0.0)
        assert len(samples) == 3 and min(samples) > 0
        with pytest.raises(UserError, match="KeyError"):
            worker.build("eager", PROGRAM | {"name": "no such program"})
        worker.release()


# In the worker's place, without PyTorch: it answers to everything, and ends at a turn.
MORTAL = """
import json, sys
for line in sys.stdin:
    if json.loads(line)["command"] == "turn":
        sys.exit(3)
    print(json.dumps({"seconds": 1.0, "bytes": 7}), flush=True)
"""


def test_a_process_that_ended_is_started_again_for_the_next_program(monkeypatch):
    start = subprocess.Popen
    monkeypatch.setattr(
        peer_worker.subprocess, "Popen", lambda command, **pipes: start([command[0], "-c", MORTAL], **pipes)
    )
    monkeypatch.setattr(peer_worker, "check_torch", lambda: None)
    with peer_worker.PeerWorker(device="cpu", num_threads=1) as worker:
        worker.build("eager", PROGRAM)
        assert worker.read_peak() == 7
        with pytest.raises(UserError, match="exit code 3"):
            worker.create_turn("eager")(1, 0.0)
        assert worker.read_peak() is None
        worker.release()
        assert worker.build("eager", PROGRAM) == {"seconds": 1.0, "bytes": 7}
