"""Owns the timing of PyTorch: a process of its own that waits, blocked on its input, while ours is timed.

Does not own the networks (`peers.py`) nor statistics. Both sides of the pipe are here: `PeerWorker` in our process,
and the loop that `python -m fpgan_jax.benchmarking.peer_worker` runs. A line is one JSON object.
"""

import contextlib
import importlib.util
import json
import os
import subprocess
import sys
import time
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from fpgan_jax.benchmarking import timing
from fpgan_jax.config.fields import FIELDS, VARIANT_FIELDS
from fpgan_jax.errors import UserError

VARIANTS = ("eager", "compile")
# OpenMP's threads spin a while for more work; ours must not begin before they sleep.
_SETTLE_SECONDS = 0.3


def check_torch() -> None:
    """Check that PyTorch is installed, without importing it.

    Raises:
      UserError: it is not.
    """
    if importlib.util.find_spec("torch") is None:
        raise UserError("--peers: PyTorch is not installed; pip install -e .[compare]")


def check_comparable(config: ConfigDict) -> None:
    """Check that the config's networks are those that `peers.py` has.

    Args:
      config: the whole config.

    Raises:
      UserError: they are not.
    """
    wanted = {
        "generator.form": "isola",
        "generator.norm": "batch",
        "discriminator.norm": "batch",
        "gan_objective": "vanilla",
        "data.jitter": 0,
        "ema_decay": 0.0,
        "generator.num_levels": 0,
        "generator.upsampling": "transposed",
    } | {name: FIELDS[name].default for name in VARIANT_FIELDS}
    for name, value in wanted.items():
        found = config
        for part in name.split("."):
            found = found[part]
        if found != value:
            raise UserError(f"--peers: PyTorch's side has config.{name}={value!r}, not {found!r}; set it so")
    if config.discriminator.receptive_field == 1:
        raise UserError("--peers: PyTorch's side has no discriminator of 1x1 patches; use larger images")


def describe_program(name: str, config: ConfigDict, *, num_strided: int, dtype: str) -> dict[str, Any]:
    """Describe a program to the worker.

    Args:
      name: one of `cases.PROGRAM_CASES`.
      config: of the case, as of `cases.create_config`.
      num_strided: strided convolutions of the discriminator.
      dtype: of the computation.

    Returns:
      What `create_call` takes.
    """
    return {
        "name": name,
        "dtype": dtype,
        "image_size": config.data.image_size,
        "num_channels": config.data.num_channels,
        "num_features": config.generator.num_features,
        "num_strided": num_strided,
        "batch_size": config.global_batch_size,
        "num_classes": config.data.num_persons,
        "width": config.classifier.width,
        "num_middle_blocks": config.classifier.num_middle_blocks,
    }


class PeerWorker:
    """The worker, as our process sees it; a context manager."""

    def __init__(self, *, device: str, num_threads: int):
        """Start it.

        Args:
          device: "cpu" or "cuda".
          num_threads: of a CPU.

        Raises:
          UserError: PyTorch is not installed, or cannot use the device.
        """
        check_torch()
        self._start_request = {"command": "start", "device": device, "num_threads": num_threads}
        self._start()

    def _start(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "fpgan_jax.benchmarking.peer_worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.description = self._ask(self._start_request)

    def __enter__(self):
        """Return itself."""
        return self

    def __exit__(self, *exception):
        """End the process."""
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()

    def build(self, variant: str, program: dict[str, Any]) -> dict[str, Any]:
        """Build a program and run it until it is compiled, in a new process if the last one has ended.

        Args:
          variant: one of `VARIANTS`.
          program: as of `describe_program`.

        Returns:
          "seconds" that it took.

        Raises:
          UserError: PyTorch cannot.
        """
        if self._process.poll() is not None:
            self._start()
        return self._ask({"command": "build", "variant": variant, "program": program})

    def create_turn(self, variant: str) -> timing.Turn:
        """Create the function that times a program which is built; see `timing.create_turn`."""

        def take_turn(min_repeats: int, min_seconds: float) -> list[float]:
            request = {"min_repeats": min_repeats, "min_seconds": min_seconds}
            return self._ask({"command": "turn", "variant": variant} | request)["samples"]

        return take_turn

    def read_peak(self) -> int | None:
        """Return the most bytes of GPU memory since the last release, of all variants.

        None on a CPU, or if the process has ended.
        """
        return self._ask({"command": "peak"})["bytes"] if self._process.poll() is None else None

    def release(self) -> None:
        """Let go of all programs."""
        if self._process.poll() is None:
            self._ask({"command": "release"})

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise UserError(f"--peers: PyTorch's process ended with exit code {self._process.wait()}")
        answer = json.loads(line)
        if "error" in answer:
            raise UserError(f"--peers: PyTorch: {answer['error']}")
        return answer


def create_call(program: dict[str, Any], variant: str, device: str):
    """Create the function that runs a program once in PyTorch.

    "eager" is what users write. "compile" is torch.compile over networks and images whose channels lie last.
    bfloat16 is automatic mixed precision.

    Args:
      program: as of `describe_program`.
      variant: one of `VARIANTS`.
      device: "cpu" or "cuda".

    Returns:
      A function without arguments. Images are floats on the device already: their conversion from bytes and the
      augmentation, which are part of our programs, are not counted here.
    """
    import torch

    from fpgan_jax.benchmarking import peers

    memory_format = torch.channels_last if variant == "compile" else torch.contiguous_format
    autocast_dtype = torch.bfloat16 if program["dtype"] == "bfloat16" else None
    torch.manual_seed(0)
    random = np.random.default_rng(0)
    shape = (program["batch_size"], program["num_channels"], program["image_size"], program["image_size"])

    def place(network):
        network = network.to(device, memory_format=memory_format)
        return torch.compile(network) if variant == "compile" else network

    def draw_images():
        images = torch.tensor(random.integers(0, 256, shape, np.uint8)).float() / 127.5 - 1
        return images.to(device, memory_format=memory_format)

    def create_generator():
        return place(peers.UNet(shape[-1], program["num_features"], shape[1]))

    def create_discriminator():
        return place(peers.PatchDiscriminator(program["num_features"], shape[1], program["num_strided"]))

    def create_classifier():
        fields = {name: program[name] for name in ("width", "num_middle_blocks")}
        return place(peers.Xception(program["num_classes"], shape[1], **fields))

    def create_inference(network):
        images = draw_images()

        def infer():
            with torch.inference_mode(), torch.autocast(device, autocast_dtype, enabled=bool(autocast_dtype)):
                return network(images)

        return infer

    def create_gan_step():
        step = peers.GanStep(create_generator(), create_discriminator(), autocast_dtype)
        images = draw_images(), draw_images()
        return lambda: step(*images)

    def create_discriminator_gradient():
        step = peers.DiscriminatorGradient(create_discriminator(), autocast_dtype)
        images = draw_images(), draw_images(), draw_images()
        return lambda: step(*images)

    def create_classifier_step():
        step = peers.ClassifierStep(create_classifier(), autocast_dtype)
        labels = torch.tensor(random.integers(0, program["num_classes"], shape[0])).to(device)
        images = draw_images()
        return lambda: step(images, labels)

    return {
        "generator_inference": lambda: create_inference(create_generator().train()),
        "discriminator": create_discriminator_gradient,
        "gan_step": create_gan_step,
        "xception_inference": lambda: create_inference(create_classifier().eval()),
        "xception_step": create_classifier_step,
    }[program["name"]]()


class _Server:
    """The worker, as its own process sees it."""

    def __init__(self):
        self._device = "cpu"
        self._turns = {}

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        command = request.pop("command")
        return getattr(self, f"_{command}")(**request)

    def _start(self, device: str, num_threads: int):
        import torch

        if device == "cuda" and not torch.cuda.is_available():
            raise RuntimeError("no CUDA device that this PyTorch can use")
        self._device = device
        torch.set_num_threads(num_threads)
        torch.backends.cudnn.benchmark = True
        # What JAX has by default: tf32 wherever the device has it.
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
        return {"torch": torch.__version__, "num_threads": torch.get_num_threads(), "device": device}

    def _build(self, variant: str, program: dict[str, Any]):
        begin = time.perf_counter()
        call = create_call(program, variant, self._device)
        for _ in range(3):
            self._block(call())
        self._turns[variant] = timing.create_turn(call, self._block)
        return {"seconds": time.perf_counter() - begin}

    def _turn(self, variant: str, min_repeats: int, min_seconds: float):
        samples = self._turns[variant](min_repeats, min_seconds)
        time.sleep(_SETTLE_SECONDS)
        return {"samples": samples}

    def _peak(self):
        import torch

        return {"bytes": torch.cuda.max_memory_allocated() if self._device == "cuda" else None}

    def _release(self):
        import torch

        self._turns.clear()
        torch.compiler.reset()
        if self._device == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        return {}

    def _block(self, result):
        import torch

        if self._device == "cuda":
            torch.cuda.synchronize()


def _serve() -> None:
    # What a library prints goes to standard error: standard output is the pipe's.
    pipe = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    server = _Server()
    for line in sys.stdin:
        try:
            answer = server.answer(json.loads(line))
        except Exception as error:
            # Whatever fails here is told in the other process, as that case's error.
            answer = {"error": f"{type(error).__name__}: {' '.join(str(error).split())[:500]}"}
        pipe.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    _serve()
