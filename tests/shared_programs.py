"""Owns how trainings of one file share their programs: tracing and compiling one takes longer than its few steps."""

from collections.abc import Callable
from typing import Any

import jax
import pytest
from ml_collections import ConfigDict

from fpgan_jax import parallel
from fpgan_jax.training import gan_trainer


def share_programs(patch: pytest.MonkeyPatch) -> None:
    """Have trainings of equal configs share first states and steps.

    Only for tests that change a step by its config, and not by a patch of what it calls.
    """
    for name in ("create_gan_optimizer", "create_gan_state", "bind_train_step"):
        patch.setattr(gan_trainer, name, _remember(getattr(gan_trainer, name)))
    patch.setattr(parallel, "create_dispatch", _remember(parallel.create_dispatch))


def _remember(function: Callable) -> Callable:
    results: dict = {}

    def call(*args: Any, **kwargs: Any) -> Any:
        key = (*map(_identify, args), *((name, _identify(value)) for name, value in kwargs.items()))
        try:
            hash(key)
        except TypeError:  # examples that lie on the devices
            return function(*args, **kwargs)
        if key not in results:
            results[key] = function(*args, **kwargs)
        return results[key]

    return call


def _identify(value: Any) -> Any:
    if isinstance(value, ConfigDict):
        return value.to_json_best_effort(sort_keys=True)
    return jax.random.key_data(value).tobytes() if isinstance(value, jax.Array) else value
