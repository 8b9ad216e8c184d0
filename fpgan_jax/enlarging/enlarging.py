"""Owns the enlargement of a database: impressions of given prints or of new fingers, as files with a manifest.

Does not draw an impression (`impression_drawing.py`), find fingers (`finger_sources.py`) or write shards
(`sharded.py`).
"""

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
from fpgan_jax.scoring import figures
from fpgan_jax.synthesis import drawing, image_folder, manifest, sharded
from fpgan_jax.synthesis.sharded import IMAGES_PER_CALL
from fpgan_jax.tables.csv_rows import read_rows, write_rows

FINGERS_FILENAME = "fingers.csv"
NUM_IMPRESSIONS = 6  # by default
_MAX_FIGURE_ROWS = 8


@dataclasses.dataclass(frozen=True)
class Request:
    """What is drawn.

    Attributes:
      identities: as in `finger_sources.open_source`.
      num_fingers: None is all given prints.
      sensor_ppi: of the prints in a folder.
      is_checked: whether new fingers that match another print are refused.
      is_square: whether images get square pixels, not the generator's own, which SOCOFing's enlargement squeezes.
      division: into shards, its number of images unused; None is one folder without shards.
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
    """Restore a generator and read the prints that it draws from; new fingers are not checked yet.

    The arguments are those of `drawing.synthesize` without `out_dir`; `request` is what is drawn.

    Raises:
      UserError: there is no such checkpoint, it does not draw from ridge maps, or the prints are missing.
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
    drawing.check_data(config, metadata, ridge_pairs.create_pairs(training_prints, config.data).data_hash)
    source = finger_sources.open_source(
        request.identities,
        request.num_fingers,
        config,
        training_prints,
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
    """Draw impressions of given prints or of new fingers; images that exist are kept.

    The arguments are those of `open_enlargement`, and:

    Args:
      out_dir: folder for `<finger>_<impression>.png` and `manifest.csv`, or for shards; created if missing. For new
        fingers it also gets `fingers.csv`, which says which were refused.
      matcher: checks new fingers; None is NIST's.
      figure: a PNG to draw, with the first fingers in one row each.

    Returns:
      A one-line summary.

    Raises:
      UserError: as in `open_enlargement`, out_dir holds something else or another process uses it, or no matcher is
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
        num_columns = min(request.num_impressions, NUM_IMPRESSIONS)
        figures.draw_columns(draw_tiles(enlargement, fingers[:_MAX_FIGURE_ROWS], num_columns), figure)
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
    """Write `FINGERS_FILENAME`, continuing from the fingers that were checked before."""
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
            f"{error}; or give --nocheck_fingers, which leaves open whether they are new"
        ) from error
    write_rows(path, found)


def _list_fingers(out_dir: str, enlargement: Enlargement, request: Request) -> tuple[Sequence[Finger], str]:
    """Return the fingers to draw, and a description of them."""
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
    # Whole calls, so that an image has the same neighbors when a stopped folder is completed.
    missing = [
        row
        for call, count in drawing.list_calls(rows, IMAGES_PER_CALL)
        if not all(os.path.exists(os.path.join(out_dir, row.file)) for row in call)
        for row in call[:count]
    ]
    if missing:
        sharded.write_images(out_dir, missing, create_drawer())
    write_rows(os.path.join(out_dir, manifest.MANIFEST_FILENAME), rows)


def draw_tiles(
    enlargement: Enlargement, fingers: Sequence[Finger], num_impressions: int
) -> dict[str, list[np.ndarray]]:
    """Draw the tiles of a figure of fingers.

    Returns:
      Title -> one uint8 [height, width] per finger: the print, its ridge map and the impressions. All have one size,
      unless the impressions have the generator's own pixels.
    """
    source = enlargement.source
    size = dataclasses.replace(enlargement, is_square=True).image_shape

    def make_square(image: np.ndarray) -> np.ndarray:
        scaled = scale_images(image[None], 1.0, source.stretch, margin=0)[0]
        return preprocessing.place_centrally(scaled[..., None], size)[..., 0]

    tiles: dict[str, list[np.ndarray]] = {"print": [], "ridge map": []}
    for finger in fingers:
        image = source.load_print(finger.source)
        maps = ridge_map.map_ridges(image, source.period, source.window, enlargement.config.data.ridge_filter)
        tiles["print"].append(make_square(image))
        tiles["ridge map"].append(make_square(ridge_map.draw_maps(maps)))
    rows = [row for finger in fingers for row in enlargement.create_rows(finger, num_impressions)]
    images = [image[..., 0] for image in draw_rows(enlargement, rows)]
    return tiles | {
        f"impression {number + 1}": images[number::num_impressions] for number in range(num_impressions)
    }
