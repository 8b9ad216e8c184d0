"""Synthesis by the million: image i of a checkpoint and a seed, drawn on all devices, written in shards.

An image does not depend on how the work is divided: every call of the program draws the same `IMAGES_PER_CALL`
neighbors, on any number of devices and processes. In a larger or smaller batch convolutions are summed in another
order, which changes about one pixel in 100,000 by one gray level. So may another kind of device, another version of
XLA, and on a CPU another number of threads.
"""

import contextlib
import dataclasses
import functools
import importlib.util
import os
import queue
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

import jax
import numpy as np
from ml_collections import ConfigDict

from fpgan_jax import parallel
from fpgan_jax.config.derived import condition_shape
from fpgan_jax.errors import UserError
from fpgan_jax.host.cores import count_cores
from fpgan_jax.host.folder_lock import hold_folder
from fpgan_jax.host.progress import create_progress
from fpgan_jax.host.thread_pool import map_ahead
from fpgan_jax.host.user_paths import is_utf8
from fpgan_jax.host.whole_file import write_whole
from fpgan_jax.synthesis import drawing, image_folder, manifest, shards
from fpgan_jax.synthesis.png import encode_pngs
from fpgan_jax.tables.csv_rows import write_rows

IMAGES_PER_CALL = 16
MAX_IMAGES = 2**31  # seeds of noise without a person; see `manifest.bind_noise`
# One is computed while the inputs of the next go to the device.
CALLS_PER_DEVICE = 2


@dataclasses.dataclass(frozen=True)
class Request:
    """How many images, and how they are divided into files."""

    num_images: int
    shard_size: int = 10_000  # images per shard; a multiple of `IMAGES_PER_CALL`
    file_format: str = "tar"  # one of `shards.FORMATS`

    @property
    def num_shards(self) -> int:
        """Number of shards; the last one may be smaller."""
        return -(-self.num_images // self.shard_size)

    def list_images(self, shard: int) -> range:
        """Return the numbers of a shard's images."""
        return range(shard * self.shard_size, min((shard + 1) * self.shard_size, self.num_images))

    def count_images(self, chosen: Iterable[int]) -> int:
        """Return how many images are in some shards."""
        return sum(len(self.list_images(shard)) for shard in chosen)


def synthesize_shards(
    gan_workdir: str,
    out_dir: str,
    request: Request,
    *,
    overrides: Mapping | None = None,
    step: int | str | None = None,
) -> int:
    """Draw any number of prints from new noise, over all devices of all processes.

    Image i is a function of the checkpoint, the seed and i alone. Existing shards are kept, so that an interrupted
    folder is completed, and a finished one can get more images, or be asked for its first ones. The arguments are those
    of `drawing.synthesize`; `overrides` may not hold the noise, which is new, or the batch size, which is
    `IMAGES_PER_CALL` on every device.

    Returns:
      The checkpoint's step.

    Raises:
      UserError: no such checkpoint, a bad request, or out_dir holds something else or is in use by another process.
      OSError: the disk is full; the shard in progress is lost, the others stay.
    """
    overrides = dict(overrides or {})
    check_division(request, out_dir)
    if overrides.get("noise") == "training":
        raise UserError(
            "--noise=training: there is one for each training pair; leave --num_images out, or this"
        )
    check_batch_size(overrides)
    config, step, metadata = drawing.restore_config(
        gan_workdir, step=step, overrides=overrides | {"noise": "new"}
    )
    if config.data.condition != "noise":
        raise UserError(
            f"--num_images: {gan_workdir} draws from maps of prints, not from noise alone; give --identities"
        )
    variables = drawing.restore_variables(gan_workdir, config, step)
    with hold_folder(out_dir, is_holder=parallel.is_main_process()):
        if parallel.is_main_process():
            settings = image_folder.describe_settings(config, metadata, step, variables)
            claim_folder(out_dir, settings, request, may_hold_more=True)
        parallel.wait_for_all("the folder is claimed")
        request = _limit_request(out_dir, request)
        create_row = manifest.bind_new_rows(config, metadata, step)
        fill_folder(out_dir, request, create_row, lambda: Drawer(config, variables))
    return step


class ImageDrawer(Protocol):
    """Draws `IMAGES_PER_CALL` images at a time; any thread may call."""

    def create_inputs(self, rows: Sequence[Any]) -> tuple:
        """Create what the images of these rows are drawn from."""

    def draw(self, *inputs: Any) -> np.ndarray:
        """Draw them: uint8 [images, height, width, channels]."""


def fill_folder(
    out_dir: str,
    request: Request,
    create_row: Callable[[int], manifest.ManifestRow],
    create_drawer: Callable[[], ImageDrawer],
) -> None:
    """Write this process's share of the shards that a claimed folder lacks; arguments as `write_shards`."""
    own = range(jax.process_index(), request.num_shards, jax.process_count())
    missing = [
        shard for shard in own if not os.path.exists(shards.locate_shard(out_dir, shard, request.file_format))
    ]
    if missing:
        total, left = request.count_images(own), request.count_images(missing)
        with create_progress(
            total, "synthesis", "images", initial=total - left, is_shown=parallel.is_main_process()
        ) as progress:
            write_shards(out_dir, request, missing, create_row, create_drawer(), progress.update)
    parallel.wait_for_all("all shards are written")


class DevicePrograms:
    """A function compiled for each of the process's devices, run on whichever is free; any thread may call."""

    def __init__(self, function: Callable, constants: Any, arguments: Sequence[Any]):
        """Put the constants on every device and compile.

        Args:
          function: of (constants, *arguments).
          constants: arrays.
          arguments: arrays, or trees of them, with the shapes of all calls.
        """
        self._free: queue.Queue[tuple[Any, Any, Callable]] = queue.Queue()
        for device in jax.local_devices():
            placed = jax.device_put(constants, device)
            program = jax.jit(function).lower(placed, *jax.device_put(tuple(arguments), device)).compile()
            for _ in range(CALLS_PER_DEVICE):
                self._free.put((device, placed, program))

    def __call__(self, *arguments: Any) -> np.ndarray:
        """Wait for a free device, and for the result."""
        device, placed, program = slot = self._free.get()
        try:
            return np.asarray(program(placed, *jax.device_put(arguments, device)))
        finally:
            self._free.put(slot)


class Drawer:
    """Draws from noise, `IMAGES_PER_CALL` images at a time; any thread may call."""

    def __init__(self, config: ConfigDict, variables: Mapping):
        """Put the weights on every device and compile; arguments as `drawing.bind_draw`.

        Raises:
          UserError: the weights do not fit the config.
        """
        self._config = config
        self._create_noise = manifest.bind_noise(config)
        draw, variables = drawing.bind_draw(config, variables)
        shape = (IMAGES_PER_CALL, *condition_shape(config.data))
        self._programs = DevicePrograms(
            draw, variables, (np.zeros(shape, np.uint8), np.zeros((IMAGES_PER_CALL, 3), np.uint32))
        )

    def create_inputs(self, rows: Sequence[Any]) -> tuple[np.ndarray, np.ndarray]:
        """Create (noise images uint8 [images, height, width, channels], dropout seeds uint32 [images, 3])."""
        noise_image = np.stack([self._create_noise(row) for row in rows])
        return noise_image, drawing.list_dropout_seeds(rows)

    def draw(self, noise_image: np.ndarray, dropout_seed: np.ndarray) -> np.ndarray:
        """Draw on a free device: uint8 [images, height, width, channels]."""
        return self._programs(noise_image, dropout_seed)


def write_shards(
    out_dir: str,
    request: Request,
    wanted: Iterable[int],
    create_row: Callable[[int], manifest.ManifestRow],
    drawer: ImageDrawer,
    report: Callable[[int], Any] = lambda count: None,
) -> None:
    """Draw, encode and write shards, all three at the same time.

    Threads make the noise, have it drawn and encode the images; this one writes them in order. At most twice as many
    calls are in memory as there are threads.

    Args:
      out_dir: the folder of all shards.
      request: how the images are divided.
      wanted: the numbers of the shards.
      create_row: image's number -> its row of the manifest.
      drawer: draws the images.
      report: called with the number of images written since the last call.
    """
    wanted = list(wanted)
    calls = (call for shard in wanted for call in _divide(request.list_images(shard)))
    # The last call draws on beyond the last image, so that every image has its usual neighbors.
    rows_of_calls = ([create_row(call.start + place) for place in range(IMAGES_PER_CALL)] for call in calls)
    with contextlib.closing(draw_ahead(rows_of_calls, drawer)) as results:
        for shard in wanted:
            rows: list[manifest.ManifestRow] = []
            with shards.write_shard(
                out_dir, shard, request.file_format, functools.partial(write_rows, rows=rows)
            ) as add:
                for call in _divide(request.list_images(shard)):
                    drawn = next(results)[: len(call)]
                    for row, content in drawn:
                        add(row.file, content)
                    rows.extend(row for row, _ in drawn)
                    report(len(call))


def draw_ahead(
    rows_of_calls: Iterable[Sequence[Any]], drawer: ImageDrawer
) -> Generator[list[tuple[Any, bytes]], None, None]:
    """Draw and encode `IMAGES_PER_CALL` images per call in threads; yield each call's rows and PNG files in order."""
    num_threads = count_cores() + CALLS_PER_DEVICE * jax.local_device_count()

    def make_images(rows: Sequence[Any]) -> list[tuple[Any, bytes]]:
        images = drawer.draw(*drawer.create_inputs(rows))
        return list(zip(rows, encode_pngs(images), strict=True))

    with ThreadPoolExecutor(num_threads) as pool:
        try:
            yield from map_ahead(pool, make_images, rows_of_calls, max_ahead=2 * num_threads)
        finally:
            pool.shutdown(cancel_futures=True)


def write_images(out_dir: str, rows: Sequence[Any], drawer: ImageDrawer) -> None:
    """Draw images to one file each, named `file` in its row; existing files are kept."""
    calls = list(drawing.list_calls(rows, IMAGES_PER_CALL))
    with (
        create_progress(len(rows), "synthesis", "images", is_shown=parallel.is_main_process()) as progress,
        contextlib.closing(draw_ahead((call for call, _ in calls), drawer)) as results,
    ):
        for (_, count), drawn in zip(calls, results, strict=True):
            for row, content in drawn[:count]:
                path = os.path.join(out_dir, row.file)
                if not os.path.exists(path):
                    with write_whole(path, "wb") as file:
                        file.write(content)
            progress.update(count)


def _divide(images: range) -> Iterator[range]:
    return (images[start : start + IMAGES_PER_CALL] for start in range(0, len(images), IMAGES_PER_CALL))


def check_division(request: Request, out_dir: str) -> None:
    """Check that a request can be written.

    Raises:
      UserError: it cannot; the message names the flag.
    """
    if not 1 <= request.num_images <= MAX_IMAGES:
        raise UserError(f"--num_images={request.num_images}: must be from 1 to {MAX_IMAGES}")
    if request.shard_size < 1 or request.shard_size % IMAGES_PER_CALL:
        raise UserError(
            f"--shard_size={request.shard_size}: must be a multiple of {IMAGES_PER_CALL}, which are drawn together"
        )
    if request.file_format not in shards.FORMATS:
        raise UserError(f"--format={request.file_format}: use one of {', '.join(shards.FORMATS)}")
    if request.file_format == "array_record" and importlib.util.find_spec("array_record") is None:
        raise UserError("--format=array_record: the package array_record is not installed; use tar or png")
    if request.file_format == "array_record" and not is_utf8(out_dir):
        raise UserError(
            f"--out_dir={out_dir}: array_record needs a path in UTF-8; use tar or png, or another folder"
        )


def check_batch_size(overrides: Mapping) -> None:
    """Refuse a batch size, which would have no effect."""
    if "batch_size" in overrides:
        raise UserError(
            "--batch_size: does nothing beside --num_images, --identities or --condition_dir, which draw "
            f"{IMAGES_PER_CALL} at a time on every device; leave it out"
        )


def claim_folder(out_dir: str, settings: dict, request: Request, *, may_hold_more: bool = False) -> None:
    """Claim an empty folder, or one that holds the same images, or the first of them, or if allowed more of them.

    Raises:
      UserError: it holds something else.
    """
    settings = settings | dataclasses.asdict(request)
    if os.path.exists(os.path.join(out_dir, image_folder.SETTINGS_FILENAME)):
        old = image_folder.read_settings(out_dir)
        num_before = old.get("num_images", 0)
        if image_folder.find_differences(old | {"num_images": request.num_images}, settings):
            # Another number is allowed, and not listed among the differences.
            settings["num_images"] = num_before
        else:
            if num_before > request.num_images and may_hold_more:
                return
            if num_before < request.num_images:
                if num_before % request.shard_size:
                    shards.remove_shard(out_dir, num_before // request.shard_size, request.file_format)
                image_folder.write_settings(out_dir, settings)
    image_folder.claim_folder(out_dir, settings)


def _limit_request(out_dir: str, request: Request) -> Request:
    """Extend a request for fewer images than a claimed folder holds to whole shards."""
    num_held = image_folder.read_settings(out_dir)["num_images"]
    wanted = min(num_held, request.num_shards * request.shard_size)
    return dataclasses.replace(request, num_images=max(request.num_images, wanted))
