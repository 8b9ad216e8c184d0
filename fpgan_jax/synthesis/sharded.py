"""Owns synthesis by the million: image i of a checkpoint and a seed, drawn on all devices, written in shards.

Does not know how a shard is written (`shards.py`), nor what one image is (`drawing.py`): image i is nobody's image
number i of new noise there.

What an image is does not depend on how the work is divided: every program call draws the same `IMAGES_PER_CALL`
neighbours, whatever there is of devices and processes, since in a larger or smaller batch convolutions are summed in
another order, which turns about one pixel in 100,000 by one grey. So may another kind of device, another version of
XLA, and on a CPU another number of threads.
"""

import collections
import contextlib
import dataclasses
import functools
import importlib.util
import os
import queue
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol

import jax
import numpy as np
from ml_collections import ConfigDict

from fpgan_jax import parallel
from fpgan_jax.config.derived import condition_shape
from fpgan_jax.data import pairs
from fpgan_jax.errors import UserError
from fpgan_jax.host.folder_lock import hold_folder
from fpgan_jax.host.progress import create_progress
from fpgan_jax.host.user_paths import is_utf8
from fpgan_jax.host.whole_file import write_whole
from fpgan_jax.synthesis import drawing, shards
from fpgan_jax.tables.csv_rows import write_rows

IMAGES_PER_CALL = 16
# Noise of nobody's images has as many seeds; see `drawing.create_noise_of_row`.
MAX_IMAGES = 2**31
# One is computed while the inputs of the next go to the device.
CALLS_PER_DEVICE = 2


@dataclasses.dataclass(frozen=True)
class Request:
    """What is to be drawn and how it is divided into files.

    Attributes:
      num_images: how many images.
      shard_size: images a shard; a multiple of `IMAGES_PER_CALL`.
      file_format: one of `shards.FORMATS`.
    """

    num_images: int
    shard_size: int = 10_000
    file_format: str = "tar"

    @property
    def num_shards(self) -> int:
        """How many shards the images make; the last one may be smaller."""
        return -(-self.num_images // self.shard_size)

    def list_images(self, shard: int) -> range:
        """Return the numbers of a shard's images."""
        return range(shard * self.shard_size, min((shard + 1) * self.shard_size, self.num_images))


def synthesize_shards(
    gan_workdir: str,
    out_dir: str,
    request: Request,
    *,
    overrides: Mapping | None = None,
    step: int | str | None = None,
) -> int:
    """Draw any number of prints from new noise, over all devices of all processes.

    Image i is a function of the checkpoint, the seed and i alone. Shards that are there are left as they are, so that
    an interrupted folder is completed, and a finished one can be given more images, or asked for its first ones.

    Args:
      gan_workdir: the workdir of `launch.train_gan`.
      out_dir: folder for the shards and `synthesis.json`; made if missing.
      request: how many, and how they are divided.
      overrides: fields of `config.synthesis` to use in place of the checkpoint's, but for the noise, which is new, and
        the batch size, which is `IMAGES_PER_CALL` on every device.
      step: which checkpoint; the last one by default, "best" by the run's own metric.

    Returns:
      The checkpoint's step.

    Raises:
      UserError: no such checkpoint, the request is not as it must be, or out_dir holds something else or is another
        process's.
      OSError: the disk is full; the shard in progress is lost, the others stay.
    """
    overrides = dict(overrides or {})
    _check_request(request, out_dir, overrides)
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
            settings = drawing.describe_settings(config, metadata, step, variables)
            claim_folder(out_dir, settings, request, may_hold_more=True)
        parallel.wait_for_all("the folder is claimed")
        request = limit_request(out_dir, request)

        def create_row(image: int) -> drawing.ManifestRow:
            return drawing.create_row(
                config, metadata, step, file=f"{image:010d}.png", person=pairs.UNKNOWN, replica=image
            )

        fill_folder(out_dir, request, create_row, lambda: Drawer(config, variables))
    return step


class ImageDrawer(Protocol):
    """Draws `IMAGES_PER_CALL` images at a time; any thread may call."""

    def create_inputs(self, rows: Sequence[Any]) -> tuple:
        """Create what the images of these rows are drawn from."""
        ...

    def draw(self, *inputs: Any) -> np.ndarray:
        """Draw them: uint8 [images, height, width, channels]."""
        ...


def fill_folder(
    out_dir: str,
    request: Request,
    create_row: Callable[[int], drawing.ManifestRow],
    create_drawer: Callable[[], ImageDrawer],
) -> None:
    """Write the shards that a claimed folder lacks, each process its own.

    Args:
      out_dir: the folder of all.
      request: how the images are divided.
      create_row: as of `write_shards`.
      create_drawer: called if there is anything to draw.
    """
    own = range(jax.process_index(), request.num_shards, jax.process_count())
    missing = [
        shard for shard in own if not os.path.exists(shards.locate_shard(out_dir, shard, request.file_format))
    ]
    if missing:
        total, left = (_count_images(request, chosen) for chosen in (own, missing))
        with create_progress(
            total, "synthesis", "images", initial=total - left, is_shown=parallel.is_main_process()
        ) as progress:
            write_shards(out_dir, request, missing, create_row, create_drawer(), progress.update)
    parallel.wait_for_all("all shards are written")


class DevicePrograms:
    """A function compiled for each of the process's devices, which runs on whichever is free; any thread may call."""

    def __init__(self, function: Callable, constants: Any, arguments: Sequence[Any]):
        """Put the constants on every device and compile.

        Args:
          function: of (constants, *arguments).
          constants: arrays.
          arguments: arrays, or trees of them, of the shapes that all calls have.
        """
        self._free: queue.Queue[tuple[Any, Any, Callable]] = queue.Queue()
        for device in jax.local_devices():
            placed = jax.device_put(constants, device)
            program = jax.jit(function).lower(placed, *jax.device_put(tuple(arguments), device)).compile()
            for _ in range(CALLS_PER_DEVICE):
                self._free.put((device, placed, program))

    def __call__(self, *arguments: Any) -> np.ndarray:
        """Compute on a free device; wait for one, and for the result."""
        device, placed, program = slot = self._free.get()
        try:
            return np.asarray(program(placed, *jax.device_put(arguments, device)))
        finally:
            self._free.put(slot)


class Drawer:
    """Draws from noise, `IMAGES_PER_CALL` images at a time; any thread may call."""

    def __init__(self, config: ConfigDict, variables: Mapping):
        """Put the weights on every device and compile.

        Args:
          config: the checkpoint's config with `synthesis` as wanted.
          variables: the checkpoint's "generator" or "generator_ema".

        Raises:
          UserError: the weights do not fit the config.
        """
        self._config = config
        draw, variables = drawing.bind_draw(config, variables)
        shape = (IMAGES_PER_CALL, *condition_shape(config.data))
        self._programs = DevicePrograms(
            draw, variables, (np.zeros(shape, np.uint8), np.zeros((IMAGES_PER_CALL, 3), np.uint32))
        )

    def create_inputs(self, rows: Sequence[Any]) -> tuple[np.ndarray, np.ndarray]:
        """Create what a call draws from.

        Args:
          rows: of `IMAGES_PER_CALL` images.

        Returns:
          (noise images uint8 [images, height, width, channels], dropout seeds uint32 [images, 3]).
        """
        noise_image = np.stack([drawing.create_noise_of_row(self._config, row) for row in rows])
        return noise_image, list_dropout_seeds(rows)

    def draw(self, noise_image: np.ndarray, dropout_seed: np.ndarray) -> np.ndarray:
        """Draw on a free device; wait for one, and for the images.

        Args:
          noise_image: as of `create_inputs`, like the other argument.
          dropout_seed: uint32 [images, 3].

        Returns:
          uint8 [images, height, width, channels].
        """
        return self._programs(noise_image, dropout_seed)


def list_dropout_seeds(rows: Sequence[Any]) -> np.ndarray:
    """Return uint32 [images, 3] of rows, as of `drawing.create_dropout_keys`."""
    return np.array([(row.seed, row.person, row.replica) for row in rows]).astype(np.uint32)


def write_shards(
    out_dir: str,
    request: Request,
    wanted: Iterable[int],
    create_row: Callable[[int], drawing.ManifestRow],
    drawer: ImageDrawer,
    report: Callable[[int], Any] = lambda count: None,
) -> None:
    """Draw, encode and write shards, each of the three while the others go on.

    A thread makes the noise of a call, has it drawn and encodes the images; this one writes what comes out, in order.
    There are never more images in memory than the threads work on and as many that wait to be written.

    Args:
      out_dir: the folder of all.
      request: how the images are divided.
      wanted: the numbers of the shards.
      create_row: image's number -> its manifest's row.
      drawer: draws.
      report: is told how many images were written since it was last told.
    """
    wanted = list(wanted)
    calls = (call for shard in wanted for call in _divide(request.list_images(shard)))
    # The last call draws on beyond the last image, so that all have the neighbours that they always have.
    rows_of_calls = ([create_row(call.start + place) for place in range(IMAGES_PER_CALL)] for call in calls)
    with contextlib.closing(draw_ahead(rows_of_calls, drawer)) as results:
        for shard in wanted:
            images = request.list_images(shard)
            rows = [create_row(image) for image in images]
            with shards.write_shard(
                out_dir, shard, request.file_format, functools.partial(write_rows, rows=rows)
            ) as add:
                for call in _divide(images):
                    for image, content in zip(call, next(results), strict=False):
                        add(rows[image - images.start].file, content)
                    report(len(call))


def draw_ahead(
    rows_of_calls: Iterable[Sequence[Any]], drawer: ImageDrawer
) -> Generator[list[bytes], None, None]:
    """Draw and encode images in threads while the caller writes those before.

    Args:
      rows_of_calls: `IMAGES_PER_CALL` rows a call.
      drawer: draws.

    Yields:
      The PNG files of each call.
    """
    num_threads = parallel.count_cores() + CALLS_PER_DEVICE * jax.local_device_count()

    def make_images(rows: Sequence[drawing.ManifestRow]) -> list[bytes]:
        return [shards.encode_png(image) for image in drawer.draw(*drawer.create_inputs(rows))]

    with ThreadPoolExecutor(num_threads) as pool:
        try:
            yield from _map_ahead(pool, make_images, rows_of_calls, max_ahead=2 * num_threads)
        finally:
            pool.shutdown(cancel_futures=True)


def write_images(out_dir: str, rows: Sequence[Any], drawer: ImageDrawer) -> None:
    """Draw images to files of their own, `IMAGES_PER_CALL` at a time; those that are there are left as they are.

    Args:
      out_dir: folder of the files.
      rows: an image each; `file` is its name.
      drawer: draws.
    """
    calls = [rows[start : start + IMAGES_PER_CALL] for start in range(0, len(rows), IMAGES_PER_CALL)]
    # The last call is filled up, so that all run the same program.
    filled = ([*call, *[call[-1]] * (IMAGES_PER_CALL - len(call))] for call in calls)
    with (
        create_progress(len(rows), "synthesis", "images", is_shown=parallel.is_main_process()) as progress,
        contextlib.closing(draw_ahead(filled, drawer)) as results,
    ):
        for call, contents in zip(calls, results, strict=True):
            for row, content in zip(call, contents, strict=False):
                path = os.path.join(out_dir, row.file)
                if not os.path.exists(path):
                    with write_whole(path, "wb") as file:
                        file.write(content)
            progress.update(len(call))


def _divide(images: range) -> Iterator[range]:
    return (images[start : start + IMAGES_PER_CALL] for start in range(0, len(images), IMAGES_PER_CALL))


def _map_ahead(
    pool: ThreadPoolExecutor, function: Callable, items: Iterable, *, max_ahead: int
) -> Iterator[Any]:
    """Yield the results in the items' order, with at most `max_ahead` of them begun and not yet taken."""
    begun: collections.deque[Future] = collections.deque()
    for item in items:
        begun.append(pool.submit(function, item))
        if len(begun) == max_ahead:
            yield begun.popleft().result()
    while begun:
        yield begun.popleft().result()


def _count_images(request: Request, chosen: Iterable[int]) -> int:
    return sum(len(request.list_images(shard)) for shard in chosen)


def _check_request(request: Request, out_dir: str, overrides: Mapping) -> None:
    check_division(request, out_dir)
    if overrides.get("noise") == "training":
        raise UserError(
            "--noise=training: there is one for each training pair; leave --num_images out, or this"
        )
    check_batch_size(overrides)


def check_division(request: Request, out_dir: str) -> None:
    """Refuse a request that cannot be written.

    Raises:
      UserError: the message names the flag.
    """
    if not 1 <= request.num_images <= MAX_IMAGES:
        raise UserError(f"--num_images={request.num_images}: must be from 1 to {MAX_IMAGES}")
    if request.shard_size < 1 or request.shard_size % IMAGES_PER_CALL:
        raise UserError(
            f"--shard_size={request.shard_size}: must be a multiple of {IMAGES_PER_CALL}, which are drawn at a time"
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
    """Refuse a batch size, which would change nothing."""
    if "batch_size" in overrides:
        raise UserError(
            "--batch_size: does nothing beside --num_images, --identities or --condition_dir, which draw "
            f"{IMAGES_PER_CALL} at a time on every device; leave it out"
        )


def claim_folder(out_dir: str, settings: dict, request: Request, *, may_hold_more: bool = False) -> None:
    """Claim an empty folder, one of the same images, or one of the first of them.

    Args:
      out_dir: the folder.
      settings: as of `drawing.describe_settings`.
      request: how many images, and how they are divided.
      may_hold_more: whether a folder of more of the same images is taken too; see `limit_request`.

    Raises:
      UserError: it holds something else.
    """
    settings = settings | dataclasses.asdict(request)
    if os.path.exists(os.path.join(out_dir, drawing.SETTINGS_FILENAME)):
        old = drawing.read_settings(out_dir)
        num_before = old.get("num_images", 0)
        if drawing.find_differences(old | {"num_images": request.num_images}, settings):
            # Another number alone would have been no hindrance, and is not named.
            settings["num_images"] = num_before
        else:
            if num_before > request.num_images and may_hold_more:
                return
            if num_before < request.num_images:
                if num_before % request.shard_size:
                    shards.remove_shard(out_dir, num_before // request.shard_size, request.file_format)
                drawing.write_settings(out_dir, settings)
    drawing.claim_folder(out_dir, settings)


def limit_request(out_dir: str, request: Request) -> Request:
    """Find what of a claimed folder's images a request for fewer of them means: the whole shards that they are in."""
    num_held = drawing.read_settings(out_dir)["num_images"]
    wanted = min(num_held, request.num_shards * request.shard_size)
    return dataclasses.replace(request, num_images=max(request.num_images, wanted))
