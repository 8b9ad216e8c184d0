"""Owns the step after which all processes of a training stop, once one of them has been asked to."""

import time

import numpy as np

from fpgan_jax import parallel
from fpgan_jax.host.signals import StopRequest

# Longest time until the other processes learn of a signal to one of them.
_SECONDS_BETWEEN_QUESTIONS = 2.0


class StopAgreement:
    """Says after which step to stop, the same in every process.

    Several processes ask one another every few seconds only, since asking makes them wait. They also agree on how many
    steps that is.
    """

    def __init__(self, stop: StopRequest, step: int):
        self._stop = stop
        self._last = (step, time.monotonic())
        self._next_step = step + 1

    def is_reached(self, step: int) -> bool:
        """Say whether to stop after `step`; to be asked after every dispatch, in all processes."""
        is_asked = self._stop.signal_name is not None
        if parallel.is_single_process():
            return is_asked
        if step < self._next_step:
            return False
        last_step, last_time = self._last
        seconds = (time.monotonic() - last_time) / (step - last_step)
        is_any_asked, seconds = parallel.compute_maximum(np.array([is_asked, seconds], np.float32))
        self._last = (step, time.monotonic())
        self._next_step = step + max(1, int(_SECONDS_BETWEEN_QUESTIONS / max(seconds, 1e-6)))
        return bool(is_any_asked)
