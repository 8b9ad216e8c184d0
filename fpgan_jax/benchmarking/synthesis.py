"""Owns the timing of synthesis in shards: the devices alone, the PNG encoder alone, and end to end."""

import functools
import math
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from fpgan_jax.benchmarking import timing
from fpgan_jax.host.cores import count_cores
from fpgan_jax.models import factory
from fpgan_jax.synthesis import manifest, sharded
from fpgan_jax.synthesis.png import encode_pngs
from fpgan_jax.synthesis.sharded import CALLS_PER_DEVICE, IMAGES_PER_CALL

MANY_IMAGES = 100_000_000  # as many as Cao & Jain 2018 synthesized


def create_turns(config: ConfigDict, min_seconds: float) -> tuple[dict[str, timing.Turn], dict[str, Any]]:
    """Create the timed functions, with untrained weights, for the config of a case.

    Args:
      config: of the case.
      min_seconds: about how long a sample lasts at least; a short one is mostly start and end, when device and encoder
        do not overlap.

    Returns:
      (the turns "device", "encoder" and "end_to_end", whose samples are seconds per image; "images_per_sample" and
      "bytes_per_image" for the row).
    """
    config = config.copy_and_resolve_references()
    config.synthesis.noise = "new"
    variables = jax.jit(functools.partial(factory.init_generator, config))(jax.random.key(0))
    drawer = sharded.Drawer(config, jax.device_get(variables))
    create_row = manifest.bind_new_rows(config, {"pair_names": [], "config_hash": "", "data_hash": ""}, 0)
    inputs = drawer.create_inputs([create_row(image) for image in range(IMAGES_PER_CALL)])
    images = drawer.draw(*inputs)

    def draw(num_calls: int) -> None:
        with ThreadPoolExecutor(CALLS_PER_DEVICE * jax.local_device_count()) as pool:
            list(pool.map(lambda _: drawer.draw(*inputs), range(num_calls)))

    def encode(num_calls: int) -> None:
        with ThreadPoolExecutor(count_cores()) as pool:
            list(pool.map(lambda _: encode_pngs(images), range(num_calls)))

    def write(num_calls: int) -> None:
        num_images = num_calls * IMAGES_PER_CALL
        with tempfile.TemporaryDirectory() as folder:
            sharded.write_shards(folder, sharded.Request(num_images, num_images), [0], create_row, drawer)

    num_threads = count_cores() + CALLS_PER_DEVICE * jax.local_device_count()
    num_calls = 4 * num_threads
    begin = time.perf_counter()
    write(num_calls)
    num_calls *= math.ceil(min_seconds / (time.perf_counter() - begin)) or 1

    def create_turn(call: Callable[[int], None]) -> timing.Turn:
        turn = timing.create_turn(functools.partial(call, num_calls), lambda result: None)
        return lambda *minimum: [seconds / (num_calls * IMAGES_PER_CALL) for seconds in turn(*minimum)]

    turns = {
        name: create_turn(call)
        for name, call in (("device", draw), ("encoder", encode), ("end_to_end", write))
    }
    num_bytes = [len(content) for content in encode_pngs(images)]
    sizes = {
        "images_per_sample": num_calls * IMAGES_PER_CALL,
        "bytes_per_image": float(np.mean(num_bytes)),
    }
    return turns, sizes


def describe_rates(device: float, encoder: float, end_to_end: float, *, is_shared: bool) -> dict[str, Any]:
    """Compute the rates of a synthesis, its bottleneck, and the time for `MANY_IMAGES`.

    `device`, `encoder` and `end_to_end` are seconds per image: devices alone, encoder alone on all cores, everything.
    `is_shared`: drawing and encoding share the CPU's cores.

    Returns:
      "device_images_per_second", "encoder_images_per_second", "images_per_second"; "percent_of_possible": of the rate
      that device and encoder allow together; "limit": "device" or "encoder", the slower one; "days_for_many".
    """
    # On shared cores the two take turns; otherwise they overlap.
    possible = device + encoder if is_shared else max(device, encoder)
    return {
        "device_images_per_second": 1 / device,
        "encoder_images_per_second": 1 / encoder,
        "images_per_second": 1 / end_to_end,
        "percent_of_possible": 100 * possible / end_to_end,
        "limit": "device" if device > encoder else "encoder",
        "days_for_many": MANY_IMAGES * end_to_end / 86400,
    }
