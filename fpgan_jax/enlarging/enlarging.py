"""Owns the enlargement of a database: impressions of given prints or of new fingers, as files with their manifest.

Does not draw an impression (`impression_drawing.py`), find fingers (`finger_sources.py`) or write shards
(`sharded.py`).
"""

import contextlib
import dataclasses
import functools
import itertools
import os
from collections.abc import Mapping, Sequence

import numpy as np

from fpgan_jax import parallel
from fpgan_jax.data import preprocessing, print_loading
from fpgan_jax.data.ridges import ridge_map, ridge_pairs
from fpgan_jax.data.ridges.print_scale import PERIOD_AT_500_PPI, find_stretch, scale_images, write_resolution
from fpgan_jax.enlarging import finger_sources, refusal
from fpgan_jax.enlarging.finger_sources import Finger
from fpgan_jax.enlarging.impression_drawing import Enlargement, ImpressionDrawer, ImpressionRow, draw_rows
from fpgan_jax.errors import UserError
from fpgan_jax.evaluation.matcher import nist_tools
from fpgan_jax.evaluation.matcher.matching import Matcher
from fpgan_jax.host.folder_lock import hold_folder
from fpgan_jax.host.progress import create_progress
from fpgan_jax.host.whole_file import write_whole
from fpgan_jax.scoring import figures
from fpgan_jax.synthesis import drawing, image_folder, sharded
from fpgan_jax.synthesis.sharded import IMAGES_PER_CALL
from fpgan_jax.tables.csv_rows import read_rows, write_rows

FINGERS_FILENAME = "fingers.csv"
NUM_IMPRESSIONS = 6  # by default
_MAX_FIGURE_ROWS = 8


@dataclasses.dataclass(frozen=True)
class Request:
    """What is to be drawn.

    Attributes:
      identities: as of `finger_sources.open_source`.
      num_fingers: how many; None is all of given prints.
      num_impressions: of each finger.
      sensor_ppi: of a folder's prints.
      is_checked: whether new fingers are refused that match another print.
      is_square: whether images get square pixels; else the generator's own, which SOCOFing's enlargement squeezes.
      division: into shards; None is one folder. Its number of images does not count.
    """

    identities: str
    num_fingers: int | None = None
    num_impressions: int = NUM_IMPRESSIONS
    sensor_ppi: float = 0.0
    is_checked: bool = True
    is_square: bool = True
    division: sharded.Request | None = None


def open_enlargement(
    gan_workdir: str,
    request: Request,
    *,
    overrides: Mapping | None = None,
    data_overrides: Mapping | None = None,
    step: int | str | None = None,
) -> Enlargement:
    """Restore a generator, and read the prints that are drawn from.

    Args:
      gan_workdir: the workdir of `launch.train_gan`.
      request: what is to be drawn.
      overrides: fields of `config.synthesis` to use in place of the checkpoint's.
      data_overrides: fields of `config.data`, for training prints that have moved.
      step: which checkpoint; the last one by default, "best" by the run's own metric.

    Returns:
      All of it; new fingers are not checked yet.

    Raises:
      UserError: no such checkpoint, it is not one of a generator from ridge maps, or there are not these prints.
    """
    config, step, metadata = drawing.restore_config(
        gan_workdir, step=step, overrides=overrides, data_overrides=data_overrides
    )
    if config.data.condition == "noise":
        raise UserError(
            f"--identities: {gan_workdir} draws from noise; train with config.data.condition=ridges, as "
            "configs/enlarge_demo.py does"
        )
    training_prints = print_loading.load_prints(config)
    if ridge_pairs.create_pairs(training_prints, config.data).data_hash != metadata["data_hash"]:
        raise UserError(
            f"{print_loading.describe_origin(config.data)}: holds other prints than the generator was trained on"
        )
    source = finger_sources.open_source(
        request.identities,
        request.num_fingers,
        config,
        seed=config.synthesis.seed,
        sensor_ppi=request.sensor_ppi,
    )
    variables = drawing.restore_variables(gan_workdir, config, step)
    return Enlargement(config, step, metadata, variables, source, training_prints, request.is_square)


def enlarge(
    gan_workdir: str,
    out_dir: str,
    request: Request,
    *,
    overrides: Mapping | None = None,
    data_overrides: Mapping | None = None,
    step: int | str | None = None,
    matcher: Matcher | None = None,
    figure: str | None = None,
) -> str:
    """Draw impressions of given prints or of new fingers.

    What is there of an interrupted folder is left as it is.

    Args:
      gan_workdir: as of `open_enlargement`, like the keywords but for the last.
      out_dir: folder for `<finger>_<impression>.png` and `manifest.csv`, or for shards; made if missing. Of new fingers
        `fingers.csv` says which were refused.
      request: what is to be drawn.
      overrides: fields of `config.synthesis`.
      data_overrides: fields of `config.data`.
      step: which checkpoint.
      matcher: that new fingers are checked with; None is NIST's.
      figure: a PNG to draw of the first fingers, a row each.

    Returns:
      What was drawn, in a line.

    Raises:
      UserError: as `open_enlargement`, out_dir holds something else or is another process's, or no matcher is
        installed.
      OSError: the disk is full.
    """
    sharded.check_batch_size(overrides or {})
    for name in {"noise", "noise_seed"} & set(overrides or {}):
        raise UserError(f"--{name}: does nothing beside --identities; leave it out")
    if request.division:
        sharded.check_division(request.division, out_dir)
    elif not parallel.is_single_process():
        raise UserError("several processes draw together in shards only; give --format, or start one process")
    enlargement = open_enlargement(
        gan_workdir, request, overrides=overrides, data_overrides=data_overrides, step=step
    )
    with hold_folder(out_dir, is_holder=parallel.is_main_process()):
        if parallel.is_main_process():
            _claim_folder(out_dir, enlargement, request)
            if request.is_checked and request.identities == finger_sources.NEW:
                _check_new_fingers(out_dir, enlargement, matcher)
        parallel.wait_for_all("the folder is claimed and the fingers are checked")
        fingers, line = _list_fingers(out_dir, enlargement, request)
        _draw_fingers(out_dir, enlargement, request, fingers)
    if figure and parallel.is_main_process():
        draw_figure(
            enlargement, fingers[:_MAX_FIGURE_ROWS], min(request.num_impressions, NUM_IMPRESSIONS), figure
        )
    height, width = enlargement.image_shape
    return (
        f"{len(fingers) * request.num_impressions} impressions of {line}, step {enlargement.step}, "
        f"{width}x{height} pixels, {write_resolution(enlargement.resolution)} pixels per inch"
    )


def _claim_folder(out_dir: str, enlargement: Enlargement, request: Request) -> None:
    settings = enlargement.describe_settings() | {
        "num_impressions": request.num_impressions,
        "is_checked": request.is_checked,
    }
    num_fingers = len(enlargement.source.fingers)
    if request.division is None:
        image_folder.claim_folder(out_dir, settings | {"num_fingers": num_fingers})
        return
    num_images = num_fingers * request.num_impressions
    sharded.claim_folder(out_dir, settings, dataclasses.replace(request.division, num_images=num_images))


def _check_new_fingers(out_dir: str, enlargement: Enlargement, matcher: Matcher | None) -> None:
    """Write which new fingers are refused, going on from what is there."""
    path = os.path.join(out_dir, FINGERS_FILENAME)
    known = read_rows(path, refusal.FingerRow, "synthesize") if os.path.exists(path) else []
    source, prints, data = enlargement.source, enlargement.training_prints, enlargement.config.data
    assert isinstance(source, finger_sources.NewFingers)
    rows, columns = preprocessing.find_window(data)
    factor = PERIOD_AT_500_PPI / source.period
    try:
        found = refusal.choose_fingers(
            source.list_candidates(),
            len(source.fingers),
            load_print=source.load_whole_print,
            training_images=scale_images(prints.images[:, rows, columns, 0], factor, find_stretch(data)),
            training_names=prints.filenames,
            matcher=matcher or Matcher(nist_tools.find_matching_tool()),
            known=known,
        )
    except nist_tools.ToolError as error:
        raise UserError(
            f"{error}; or give --nocheck_fingers, and nobody knows whether they are new"
        ) from error
    write_rows(path, found)


def _list_fingers(out_dir: str, enlargement: Enlargement, request: Request) -> tuple[Sequence[Finger], str]:
    """Return the fingers that are drawn, and what they are in words."""
    source, fingers = enlargement.source, enlargement.source.fingers
    if not isinstance(source, finger_sources.NewFingers):
        return fingers, f"{len(fingers)} fingers of {request.identities}"
    if not request.is_checked:
        return fingers, f"{len(fingers)} new fingers, not checked"
    rows = read_rows(os.path.join(out_dir, FINGERS_FILENAME), refusal.FingerRow, "synthesize")
    accepted = {row.number for row in rows if not row.is_refused}
    candidates = itertools.islice(source.list_candidates(), len(rows))
    chosen = [finger for finger in candidates if finger.number in accepted][: len(fingers)]
    return chosen, refusal.describe_choice([row for row in rows if row.number <= chosen[-1].number])


def _draw_fingers(
    out_dir: str, enlargement: Enlargement, request: Request, fingers: Sequence[Finger]
) -> None:
    num_impressions = request.num_impressions

    @functools.lru_cache(maxsize=256)
    def create_rows(finger: Finger) -> list[ImpressionRow]:
        return enlargement.create_rows(finger, num_impressions)

    def create_drawer() -> ImpressionDrawer:
        return ImpressionDrawer(enlargement, create_rows(fingers[0])[0])

    if request.division:

        def create_row(image: int) -> ImpressionRow:
            place, number = divmod(image % (len(fingers) * num_impressions), num_impressions)
            return create_rows(fingers[place])[number]

        division = dataclasses.replace(request.division, num_images=len(fingers) * num_impressions)
        sharded.fill_folder(out_dir, division, create_row, create_drawer)
        return
    rows = [row for finger in fingers for row in create_rows(finger)]
    calls = [rows[start : start + IMAGES_PER_CALL] for start in range(0, len(rows), IMAGES_PER_CALL)]
    missing = [
        call for call in calls if not all(os.path.exists(os.path.join(out_dir, row.file)) for row in call)
    ]
    if missing:
        _write_images(out_dir, missing, create_drawer())
    write_rows(os.path.join(out_dir, drawing.MANIFEST_FILENAME), rows)


def _write_images(out_dir: str, calls: Sequence[Sequence[ImpressionRow]], drawer: ImpressionDrawer) -> None:
    # The last call is filled up, so that all run the same program.
    filled = ([*call, *[call[-1]] * (IMAGES_PER_CALL - len(call))] for call in calls)
    with (
        create_progress(sum(map(len, calls)), "synthesis", "images") as progress,
        contextlib.closing(sharded.draw_ahead(filled, drawer)) as results,
    ):
        for call, contents in zip(calls, results, strict=True):
            for row, content in zip(call, contents, strict=False):
                path = os.path.join(out_dir, row.file)
                if not os.path.exists(path):
                    with write_whole(path, "wb") as file:
                        file.write(content)
            progress.update(len(call))


def draw_figure(enlargement: Enlargement, fingers: Sequence[Finger], num_impressions: int, path: str) -> None:
    """Draw fingers, a row each: the print, its ridge map, and impressions.

    Args:
      enlargement: what is drawn from.
      fingers: of its source.
      num_impressions: of each.
      path: the PNG to write.
    """
    figures.draw_columns(draw_tiles(enlargement, fingers, num_impressions), path)


def draw_tiles(
    enlargement: Enlargement, fingers: Sequence[Finger], num_impressions: int
) -> dict[str, list[np.ndarray]]:
    """Draw what a figure of fingers shows.

    Args:
      enlargement: what is drawn from.
      fingers: of its source.
      num_impressions: of each.

    Returns:
      Title -> uint8 [height, width] of each finger: the print, its ridge map, and impressions; all of one size, but for
      the generator's own pixels.
    """
    source = enlargement.source
    size = dataclasses.replace(enlargement, is_square=True).image_shape
    prints = [source.load_print(finger.source) for finger in fingers]
    maps = [
        ridge_map.draw_maps(ridge_map.map_ridges(image, source.period, source.window)) for image in prints
    ]
    tiles = {
        title: [
            preprocessing.place_centrally(
                scale_images(image[None], 1.0, source.stretch, margin=0)[0, ..., None], size
            )[..., 0]
            for image in images
        ]
        for title, images in (("print", prints), ("ridge map", maps))
    }
    rows = [row for finger in fingers for row in enlargement.create_rows(finger, num_impressions)]
    images = [image[..., 0] for image in draw_rows(enlargement, rows)]
    return tiles | {
        f"impression {number + 1}": images[number::num_impressions] for number in range(num_impressions)
    }
