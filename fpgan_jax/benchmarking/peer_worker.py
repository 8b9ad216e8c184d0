"""Owns the timing of PyTorch in a separate process, which blocks on its input while our programs are timed.

Has both sides of the pipe: `PeerWorker` in our process, and the loop of `python -m fpgan_jax.benchmarking.peer_worker`,
which does not import JAX. Each line in the pipe is one JSON object.
"""

import contextlib
import importlib.util
import json
import os
import subprocess
import sys
import time
from typing import Any

from ml_collections import ConfigDict

from fpgan_jax.benchmarking import timing
from fpgan_jax.config.fields import FIELDS, VARIANT_FIELDS, flatten_config
from fpgan_jax.errors import UserError

VARIANTS = ("eager", "compile")
# Fields for which `peers.py` has only the default.
_PLAIN_FIELDS = (
    *(
        "generator.form",
        "generator.norm",
        "generator.num_levels",
        "generator.upsampling",
        "discriminator.norm",
    ),
    *("gan_objective", "data.jitter", "ema_decay", *VARIANT_FIELDS),
)
# The threads of OpenMP spin for a while after their work; our programs must not start before they sleep.
_SETTLE_SECONDS = 0.3


def check_torch() -> None:
    """Check that PyTorch is installed, without importing it.

    Raises:
      UserError: it is not.
    """
    if importlib.util.find_spec("torch") is None:
        raise UserError("--peers: PyTorch is not installed; pip install -e '.[compare]'")


def check_comparable(config: ConfigDict) -> None:
    """Check that the config describes the networks and steps of `peers.py`.

    Raises:
      UserError: a field has another value.
    """
    flat = flatten_config(config)
    for name in _PLAIN_FIELDS:
        default = FIELDS[name].default
        if flat[name] != default:
            raise UserError(
                f"--peers: PyTorch's side has config.{name}={default!r}, not {flat[name]!r}; set it so"
            )
    if config.discriminator.receptive_field == 1:
        raise UserError("--peers: PyTorch's side has no discriminator of 1x1 patches; use larger images")


class PeerWorker(contextlib.AbstractContextManager):
    """Our side of the pipe to the worker; a context manager.

    Attributes:
      description: "torch" (version), "num_threads" and "device".
    """

    def __init__(self, *, device: str, num_threads: int):
        """Start the worker on the device "cpu" or "cuda", with this number of CPU threads.

        Raises:
          UserError: PyTorch is not installed, or cannot use the device.
        """
        check_torch()
        self._start_request = {"command": "start", "device": device, "num_threads": num_threads}
        self._start()

    def _start(self) -> None:
        command, pipe = [sys.executable, "-m", "fpgan_jax.benchmarking.peer_worker"], subprocess.PIPE
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)
        assert self._process.stdin is not None and self._process.stdout is not None
        self._requests, self._answers = self._process.stdin, self._process.stdout
        self.description = self._ask(self._start_request)

    def __exit__(self, *exception: object) -> None:
        """End the process."""
        with contextlib.suppress(BrokenPipeError):
            self._requests.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()

    def build(self, variant: str, program: dict[str, Any]) -> dict[str, Any]:
        """Build and compile a program, and return the "seconds" that it took; restart the worker if it has ended.

        Raises:
          UserError: PyTorch cannot build or run the program.
        """
        if self._process.poll() is not None:
            self._start()
        return self._ask({"command": "build", "variant": variant, "program": program})

    def create_turn(self, variant: str) -> timing.Turn:
        """Create the turn that times the built program; see `timing.create_turn`."""

        def take_turn(min_repeats: int, min_seconds: float) -> list[float]:
            request = {"min_repeats": min_repeats, "min_seconds": min_seconds}
            return self._ask({"command": "turn", "variant": variant} | request)["samples"]

        return take_turn

    def read_peak(self) -> int | None:
        """Return the peak GPU memory in bytes since the last release; None on a CPU or without a process."""
        return self._ask({"command": "peak"})["bytes"] if self._process.poll() is None else None

    def release(self) -> None:
        """Free all programs."""
        if self._process.poll() is None:
            self._ask({"command": "release"})

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        with contextlib.suppress(BrokenPipeError):
            self._requests.write(json.dumps(request) + "\n")
            self._requests.flush()
        line = self._answers.readline()
        if not line:
            raise UserError(f"--peers: PyTorch's process ended with exit code {self._process.wait()}")
        answer = json.loads(line)
        if "error" in answer:
            raise UserError(f"--peers: PyTorch: {answer['error']}")
        return answer


class _Server:
    """The worker's side of the pipe."""

    def __init__(self) -> None:
        self._device = "cpu"
        self._turns: dict[str, timing.Turn] = {}

    def answer(self, command: str, **arguments: Any) -> dict[str, Any]:
        return getattr(self, f"_{command}")(**arguments)

    def _start(self, device: str, num_threads: int) -> dict[str, Any]:
        import torch

        if device == "cuda" and not torch.cuda.is_available():
            raise RuntimeError("no CUDA device that this PyTorch can use")
        self._device, self._torch = device, torch
        torch.set_num_threads(num_threads)
        torch.backends.cudnn.benchmark = True
        # As JAX by default: tf32 where the device has it.
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
        return {"torch": torch.__version__, "num_threads": torch.get_num_threads(), "device": device}

    def _build(self, variant: str, program: dict[str, Any]) -> dict[str, Any]:
        from fpgan_jax.benchmarking import peer_programs

        begin = time.perf_counter()
        call = peer_programs.create_call(program, variant, self._device)
        for _ in range(3):
            self._block(call())
        self._turns[variant] = timing.create_turn(call, self._block)
        return {"seconds": time.perf_counter() - begin}

    def _turn(self, variant: str, min_repeats: int, min_seconds: float) -> dict[str, Any]:
        samples = self._turns[variant](min_repeats, min_seconds)
        time.sleep(_SETTLE_SECONDS)
        return {"samples": samples}

    def _peak(self) -> dict[str, Any]:
        return {"bytes": self._torch.cuda.max_memory_allocated() if self._device == "cuda" else None}

    def _release(self) -> dict[str, Any]:
        self._turns.clear()
        self._torch.compiler.reset()
        if self._device == "cuda":
            self._torch.cuda.empty_cache()
            self._torch.cuda.reset_peak_memory_stats()
        return {}

    def _block(self, result: Any) -> None:
        if self._device == "cuda":
            self._torch.cuda.synchronize()


def _serve() -> None:
    # Standard output is the pipe; whatever a library prints goes to standard error.
    pipe = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    server = _Server()
    for line in sys.stdin:
        try:
            answer = server.answer(**json.loads(line))
        except Exception as error:
            # Any error is passed to our process, where it becomes the error of this case.
            answer = {"error": f"{type(error).__name__}: {' '.join(str(error).split())[:500]}"}
        pipe.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    _serve()
