"""Owns the programs of PyTorch's side: each binds a network or step of `peers.py` to random inputs."""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from fpgan_jax.benchmarking import peers


def create_call(program: dict[str, Any], variant: str, device: str) -> Callable[[], Any]:
    """Create the function that runs a program of `cases.describe_program` once in PyTorch, on "cpu" or "cuda".

    "eager" is what users write. "compile" is torch.compile, with networks and images in the channels-last memory
    format. bfloat16 is automatic mixed precision. The images are floats that are already on the device, so the function
    does not include the conversion from bytes and the augmentation, which are part of our programs.
    """
    torch.manual_seed(0)
    random = np.random.default_rng(0)
    is_compiled, is_bfloat16 = variant == "compile", program["dtype"] == "bfloat16"
    memory_format = torch.channels_last if is_compiled else torch.contiguous_format
    dtype = torch.bfloat16 if is_bfloat16 else None
    autocast = functools.partial(torch.autocast, device, dtype, enabled=is_bfloat16)
    batch_size, num_channels, size = (program[name] for name in ("batch_size", "num_channels", "image_size"))
    num_features, num_classes = program["num_features"], program["num_classes"]

    def place(network: torch.nn.Module) -> Any:
        network = network.to(device, memory_format=memory_format)
        return torch.compile(network) if is_compiled else network

    def create_generator() -> Any:
        return place(peers.UNet(size, num_features, num_channels))

    def create_discriminator() -> Any:
        return place(peers.PatchDiscriminator(num_features, num_channels, program["num_strided"]))

    def create_classifier() -> Any:
        fields = {name: program[name] for name in ("width", "num_middle_blocks")}
        return place(peers.Xception(num_classes, num_channels, **fields))

    def draw_images() -> torch.Tensor:
        images = random.integers(0, 256, (batch_size, num_channels, size, size), np.uint8)
        return (torch.tensor(images).float() / 127.5 - 1).to(device, memory_format=memory_format)

    def draw_labels() -> torch.Tensor:
        return torch.tensor(random.integers(0, num_classes, batch_size)).to(device)

    call: Callable
    match program["name"]:
        case "generator_inference":
            call, inputs = peers.create_inference(create_generator().train(), autocast), [draw_images()]
        case "xception_inference":
            call, inputs = peers.create_inference(create_classifier().eval(), autocast), [draw_images()]
        case "discriminator":
            call = peers.create_discriminator_gradient(create_discriminator(), autocast)
            inputs = [draw_images(), draw_images(), draw_images()]
        case "gan_step":
            call = peers.create_gan_step(create_generator(), create_discriminator(), autocast)
            inputs = [draw_images(), draw_images()]
        case "xception_step":
            call = peers.create_classifier_step(create_classifier(), autocast)
            inputs = [draw_images(), draw_labels()]
        case name:
            raise KeyError(name)
    return lambda: call(*inputs)
