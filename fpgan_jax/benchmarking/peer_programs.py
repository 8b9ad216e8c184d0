"""Owns the programs of PyTorch's side: each binds a network or step of `peers.py` to random inputs.

Does not time them (`peer_worker.py`). Imports PyTorch only when a program is created.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from fpgan_jax.benchmarking import peers


def create_call(program: dict[str, Any], variant: str, device: str) -> Callable[[], Any]:
    """Create the function that runs a program once in PyTorch.

    "eager" is what users write. "compile" is torch.compile, with networks and images in the channels-last memory
    format. bfloat16 is automatic mixed precision.

    Args:
      program: from `peer_worker.describe_program`.
      variant: one of `peer_worker.VARIANTS`.
      device: "cpu" or "cuda".

    Returns:
      A function without arguments. Its images are floats that are already on the device, so it does not include the
      conversion from bytes and the augmentation, which are part of our programs.
    """
    creator = _Creator(program, variant, device)
    return {
        "generator_inference": lambda: creator.create_inference(creator.create_generator().train()),
        "discriminator": creator.create_discriminator_gradient,
        "gan_step": creator.create_gan_step,
        "xception_inference": lambda: creator.create_inference(creator.create_classifier().eval()),
        "xception_step": creator.create_classifier_step,
    }[program["name"]]()


class _Creator:
    """Creates the networks and inputs of one program from fixed seeds."""

    def __init__(self, program: dict[str, Any], variant: str, device: str):
        import torch

        self._program, self._device, self._is_compiled = program, device, variant == "compile"
        self._torch = torch
        self._memory_format = torch.channels_last if self._is_compiled else torch.contiguous_format
        self._autocast_dtype = torch.bfloat16 if program["dtype"] == "bfloat16" else None
        torch.manual_seed(0)
        self._random = np.random.default_rng(0)
        self._shape = (
            *(program["batch_size"], program["num_channels"]),
            *(program["image_size"], program["image_size"]),
        )

    def _place(self, network: Any) -> Any:
        network = network.to(self._device, memory_format=self._memory_format)
        return self._torch.compile(network) if self._is_compiled else network

    def _draw_images(self) -> Any:
        images = self._torch.tensor(self._random.integers(0, 256, self._shape, np.uint8)).float() / 127.5 - 1
        return images.to(self._device, memory_format=self._memory_format)

    def create_generator(self) -> Any:
        return self._place(peers.UNet(self._shape[-1], self._program["num_features"], self._shape[1]))

    def create_discriminator(self) -> Any:
        fields = self._program["num_features"], self._shape[1], self._program["num_strided"]
        return self._place(peers.PatchDiscriminator(*fields))

    def create_classifier(self) -> Any:
        fields = {name: self._program[name] for name in ("width", "num_middle_blocks")}
        return self._place(peers.Xception(self._program["num_classes"], self._shape[1], **fields))

    def create_inference(self, network: Any) -> Callable[[], Any]:
        torch, dtype = self._torch, self._autocast_dtype
        images = self._draw_images()

        def infer() -> Any:
            with torch.inference_mode(), torch.autocast(self._device, dtype, enabled=bool(dtype)):
                return network(images)

        return infer

    def create_gan_step(self) -> Callable[[], Any]:
        step = peers.GanStep(self.create_generator(), self.create_discriminator(), self._autocast_dtype)
        images = self._draw_images(), self._draw_images()
        return lambda: step(*images)

    def create_discriminator_gradient(self) -> Callable[[], Any]:
        step = peers.DiscriminatorGradient(self.create_discriminator(), self._autocast_dtype)
        images = self._draw_images(), self._draw_images(), self._draw_images()
        return lambda: step(*images)

    def create_classifier_step(self) -> Callable[[], Any]:
        step = peers.ClassifierStep(self.create_classifier(), self._autocast_dtype)
        labels = self._random.integers(0, self._program["num_classes"], self._shape[0])
        labels = self._torch.tensor(labels).to(self._device)
        images = self._draw_images()
        return lambda: step(images, labels)
