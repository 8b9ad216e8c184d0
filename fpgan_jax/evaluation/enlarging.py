"""Owns the enlargement of a database: impressions of given prints or of new fingers, from a checkpoint to image files.

An image is a function of its manifest's row, the prints that the row names and the checkpoint; its row is one of the
checkpoint, the seed, the finger and the impression alone. Does not make conditions (`data/impressions.py`), find fingers
(`finger_sources.py`) or write shards (`sharded_synthesis.py`).
"""

import contextlib
import dataclasses
import functools
import itertools
import os
from collections.abc import Iterator, Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from fpgan_jax import configuration, parallel
from fpgan_jax.data import impressions, preprocessing, print_loading, ridge_map, ridge_pairs
from fpgan_jax.data.appearance import Appearance, measure_appearance
from fpgan_jax.data.distortion import Pose
from fpgan_jax.data.impressions import Variation
from fpgan_jax.data.noise import create_noise_image
from fpgan_jax.data.print_scale import PERIOD_AT_500_PPI, find_sensor_period, find_stretch
from fpgan_jax.data.prints import PrintSet
from fpgan_jax.data.ridge_map import RidgeMap
from fpgan_jax.errors import UserError
from fpgan_jax.evaluation import figures, finger_sources, nist_tools, sharded_synthesis, synthesis
from fpgan_jax.evaluation.finger_sources import Finger, FingerSource
from fpgan_jax.evaluation.matcher import refusal
from fpgan_jax.evaluation.matching import Matcher
from fpgan_jax.evaluation.resolution import scale_images
from fpgan_jax.evaluation.rows import read_rows, write_rows
from fpgan_jax.evaluation.sharded_synthesis import IMAGES_PER_CALL, DevicePrograms, list_dropout_seeds
from fpgan_jax.folder_lock import hold_folder
from fpgan_jax.progress import create_progress
from fpgan_jax.whole_file import write_whole

FINGERS_FILENAME = "fingers.csv"
NUM_IMPRESSIONS = 6  # by default
GIVEN_PRINT, NEW_FINGER = "given_print", "new_finger"
_IMPRESSIONS_PER_CALL = 16
_MAX_FIGURE_ROWS = 8


@dataclasses.dataclass(frozen=True)
class ImpressionRow(synthesis.ManifestRow):
    """What is known of one synthetic impression, and all that decides it beside the prints and the checkpoint it names.

    Of what every synthetic print has, `person` is the finger's number, `replica` the impression's, `noise` is "given_print"
    or "new_finger", and `noise_seed` -1.

    Attributes:
      source: file of the finger's print, or `new:SEED:NUMBER`.
      rotation: radians, counter-clockwise.
      shift_down: pixels.
      shift_right: pixels.
      stretch_down: factor.
      stretch_right: factor.
      field_seed: of the skin's distortion and of the noise plane.
      contact: file of the training print whose contact was taken.
      contact_down: pixels by which that contact was shifted.
      contact_right: pixels.
      appearance: file of the training print whose appearance was taken.
    """

    source: str
    rotation: float
    shift_down: float
    shift_right: float
    stretch_down: float
    stretch_right: float
    field_seed: int
    contact: str
    contact_down: float
    contact_right: float
    appearance: str

    @property
    def variation(self) -> Variation:
        """What was drawn for the impression, but for the choices of prints."""
        pose = Pose(
            np.float32(self.rotation),
            np.array([self.shift_down, self.shift_right], np.float32),
            np.array([self.stretch_down, self.stretch_right], np.float32),
        )
        contact_shift = np.array([self.contact_down, self.contact_right], np.float32)
        return Variation(pose, contact_shift, np.uint32(self.field_seed), np.uint32(0), np.uint32(0))


@dataclasses.dataclass(frozen=True)
class Enlargement:
    """A checkpoint, the fingers and the training prints that impressions are drawn from.

    Attributes:
      config: the checkpoint's config with `synthesis` as wanted.
      step: the checkpoint's step.
      metadata: the checkpoint's.
      variables: the checkpoint's "generator" or "generator_ema".
      source: the fingers.
      training_prints: whose contacts and appearances are taken.
    """

    config: ConfigDict
    step: int
    metadata: dict
    variables: dict
    source: FingerSource
    training_prints: PrintSet

    def describe_settings(self) -> dict:
        """Describe what decides an image of a finger and an impression, in what JSON can hold."""
        settings = synthesis.describe_settings(self.config, self.metadata, self.step, self.variables)
        return settings | {
            "fingers": self.source.content_hash,
            "training_prints": self.training_prints.data_hash,
        }

    def create_rows(self, finger: Finger, num_impressions: int) -> list[ImpressionRow]:
        """Create the rows of a finger's impressions 1 to `num_impressions`."""
        others = np.flatnonzero(self.training_prints.persons != finger.number)
        if not len(others):
            raise UserError(
                "the generator was trained on this finger alone; no other gives its contact and appearance"
            )
        rows = []
        for first in range(1, num_impressions + 1, _IMPRESSIONS_PER_CALL):
            variations = jax.device_get(
                _sample_variations(self.config.synthesis.seed, finger.number, first, self.source.period)
            )
            for place in range(min(_IMPRESSIONS_PER_CALL, num_impressions + 1 - first)):
                variation = jax.tree.map(lambda leaf, place=place: leaf[place], variations)
                rows.append(self._create_row(finger, first + place, variation, others))
        return rows

    def _create_row(
        self, finger: Finger, impression: int, variation: Variation, others: np.ndarray
    ) -> ImpressionRow:
        row = synthesis.create_row(
            self.config,
            self.metadata,
            self.step,
            file=f"{finger.name}_{impression:02d}.png",
            person=finger.number,
            replica=impression,
        )
        pose = variation.pose
        contact, appearance = (
            self.training_prints.filenames[others[int(choice) % len(others)]]
            for choice in (variation.contact_choice, variation.appearance_choice)
        )
        is_new = isinstance(self.source, finger_sources.NewFingers)
        return ImpressionRow(
            **dataclasses.asdict(row) | {"noise": NEW_FINGER if is_new else GIVEN_PRINT, "noise_seed": -1},
            source=finger.source,
            rotation=float(pose.rotation),
            shift_down=float(pose.shift[0]),
            shift_right=float(pose.shift[1]),
            stretch_down=float(pose.stretch[0]),
            stretch_right=float(pose.stretch[1]),
            field_seed=int(variation.field_seed),
            contact=contact,
            contact_down=float(variation.contact_shift[0]),
            contact_right=float(variation.contact_shift[1]),
            appearance=appearance,
        )


@functools.partial(jax.jit, static_argnames="period")
def _sample_variations(seed, number, first, period: float) -> Variation:
    # As many whatever is asked for: another program may round otherwise.
    numbers = first + jnp.arange(_IMPRESSIONS_PER_CALL)
    return jax.vmap(lambda impression: impressions.sample_variation(seed, number, impression, period))(
        numbers
    )


class ImpressionDrawer:
    """Draws the impressions that rows describe, `IMAGES_PER_CALL` at a time; any thread may call."""

    def __init__(self, enlargement: Enlargement, first_row: ImpressionRow):
        """Put the weights on every device and compile.

        Args:
          enlargement: what is drawn from.
          first_row: any row.

        Raises:
          UserError: the weights do not fit the config.
        """
        self._config, self._source = enlargement.config, enlargement.source
        self._prints = dict(
            zip(enlargement.training_prints.filenames, enlargement.training_prints.images, strict=True)
        )
        self._period = find_sensor_period(self._config.data)
        self._window = preprocessing.find_window(self._config.data)
        # Fingers come one after the other, the other prints in any order.
        self._map_finger = functools.lru_cache(maxsize=256)(self._map_finger_anew)
        self._map_training_print = functools.lru_cache(maxsize=4096)(self._map_training_print_anew)
        draw, variables = synthesis.bind_draw(self._config, enlargement.variables)
        create = functools.partial(impressions.create_condition, period=self._period)

        def draw_impressions(variables, dropout_seed, *inputs):
            return draw(variables, jax.vmap(create)(*inputs), dropout_seed)

        self._create_conditions = jax.jit(jax.vmap(create))
        self._programs = DevicePrograms(
            draw_impressions, variables, self.create_inputs([first_row] * IMAGES_PER_CALL)
        )

    def create_inputs(self, rows: Sequence[ImpressionRow]) -> tuple:
        """Create what a call draws from: dropout seeds, and what `impressions.create_condition` takes, stacked."""
        shape = (*configuration.image_shape(self._config.data)[:2], 1)
        examples = []
        for row in rows:
            maps = self._map_finger(row.source)
            contact, look = (
                self._map_training_print(row.contact)[0],
                self._map_training_print(row.appearance)[1],
            )
            noise = create_noise_image(
                row.field_seed,
                row.person,
                row.replica,
                shape=shape,
                distribution=self._config.data.noise_distribution,
            )
            examples.append((maps.ridges, maps.contact, contact, look, noise, row.variation))
        return list_dropout_seeds(rows), *jax.tree.map(lambda *leaves: np.stack(leaves), *examples)

    def draw(self, *inputs) -> np.ndarray:
        """Draw images, uint8 [images, height, width, channels], from `create_inputs`."""
        return self._programs(*inputs)

    def create_conditions(self, rows: Sequence[ImpressionRow]) -> np.ndarray:
        """Create what the generator is given for any number of rows, uint8 [rows, height, width, condition channels]."""
        return np.asarray(self._create_conditions(*self.create_inputs(rows)[1:]))

    def _map_finger_anew(self, source: str) -> RidgeMap:
        maps = ridge_map.map_ridges(self._source.load_print(source), self._source.period, self._source.window)
        return RidgeMap(_to_bytes(127.5 + 127.5 * maps.ridges), _to_bytes(255 * maps.contact))

    def _map_training_print_anew(self, filename: str) -> tuple[np.ndarray, Appearance]:
        image = self._prints[filename][..., 0]
        contact = ridge_map.map_contact(image, self._period, self._window)
        return _to_bytes(255 * contact), measure_appearance(image, contact)


def _to_bytes(values: np.ndarray) -> np.ndarray:
    return np.rint(values).astype(np.uint8)


def draw_rows(enlargement: Enlargement, rows: Sequence[ImpressionRow]) -> Iterator[np.ndarray]:
    """Draw the impressions that rows describe, which may be a manifest's.

    Args:
      enlargement: of the checkpoint and the prints that the rows name.
      rows: any.

    Yields:
      uint8 [height, width, channels] of each row.
    """
    drawer = ImpressionDrawer(enlargement, rows[0])
    for start in range(0, len(rows), IMAGES_PER_CALL):
        chosen = rows[start : start + IMAGES_PER_CALL]
        # The last call is filled up, so that all run the same program.
        filled = [*chosen, *chosen[:1] * (IMAGES_PER_CALL - len(chosen))]
        yield from drawer.draw(*drawer.create_inputs(filled))[: len(chosen)]


@dataclasses.dataclass(frozen=True)
class Request:
    """What is to be drawn.

    Attributes:
      identities: as of `finger_sources.open_source`.
      num_fingers: how many; None is all of given prints.
      num_impressions: of each finger.
      sensor_ppi: of a folder's prints.
      is_checked: whether new fingers are refused that match another print.
      division: into shards; None is one folder. Its number of images does not count.
    """

    identities: str
    num_fingers: int | None = None
    num_impressions: int = NUM_IMPRESSIONS
    sensor_ppi: float = 0.0
    is_checked: bool = True
    division: sharded_synthesis.Request | None = None


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
    config, step, metadata = synthesis.restore_config(
        gan_workdir, step=step, overrides=overrides, data_overrides=data_overrides
    )
    if config.data.condition != "ridges":
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
    variables = synthesis.restore_variables(gan_workdir, config, step)
    return Enlargement(config, step, metadata, variables, source, training_prints)


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
      UserError: as `open_enlargement`, out_dir holds something else or is another process's, or no matcher is installed.
      OSError: the disk is full.
    """
    sharded_synthesis.check_batch_size(overrides or {})
    if request.division:
        sharded_synthesis.check_division(request.division, out_dir)
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
        draw_figure(enlargement, fingers[:_MAX_FIGURE_ROWS], min(request.num_impressions, NUM_IMPRESSIONS), figure)
    return f"{len(fingers) * request.num_impressions} impressions of {line}, step {enlargement.step}"


def _claim_folder(out_dir: str, enlargement: Enlargement, request: Request) -> None:
    settings = enlargement.describe_settings() | {
        "num_impressions": request.num_impressions,
        "is_checked": request.is_checked,
    }
    num_fingers = len(enlargement.source.fingers)
    if request.division is None:
        synthesis.claim_folder(out_dir, settings | {"num_fingers": num_fingers})
        return
    sharded_synthesis.claim_folder(out_dir, settings, _divide(request, num_fingers))


def _divide(request: Request, num_fingers: int) -> sharded_synthesis.Request:
    return dataclasses.replace(request.division, num_images=num_fingers * request.num_impressions)


def _check_new_fingers(out_dir: str, enlargement: Enlargement, matcher: Matcher | None) -> None:
    """Write which new fingers are refused, going on from what is there."""
    path = os.path.join(out_dir, FINGERS_FILENAME)
    known = read_rows(path, refusal.FingerRow, "synthesize") if os.path.exists(path) else []
    source, prints, data = enlargement.source, enlargement.training_prints, enlargement.config.data
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
    fingers = enlargement.source.fingers
    if request.identities != finger_sources.NEW:
        return fingers, f"{len(fingers)} fingers of {request.identities}"
    if not request.is_checked:
        return fingers, f"{len(fingers)} new fingers, not checked"
    rows = read_rows(os.path.join(out_dir, FINGERS_FILENAME), refusal.FingerRow, "synthesize")
    accepted = {row.number for row in rows if not row.is_refused}
    candidates = itertools.islice(enlargement.source.list_candidates(), len(rows))
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

        sharded_synthesis.fill_folder(out_dir, _divide(request, len(fingers)), create_row, create_drawer)
        return
    rows = [row for finger in fingers for row in create_rows(finger)]
    calls = [rows[start : start + IMAGES_PER_CALL] for start in range(0, len(rows), IMAGES_PER_CALL)]
    missing = [
        call for call in calls if not all(os.path.exists(os.path.join(out_dir, row.file)) for row in call)
    ]
    if missing:
        _write_images(out_dir, missing, create_drawer())
    write_rows(os.path.join(out_dir, synthesis.MANIFEST_FILENAME), rows)


def _write_images(out_dir: str, calls: Sequence[Sequence[ImpressionRow]], drawer: ImpressionDrawer) -> None:
    # The last call is filled up, so that all run the same program.
    filled = ([*call, *[call[-1]] * (IMAGES_PER_CALL - len(call))] for call in calls)
    with (
        create_progress(sum(map(len, calls)), "synthesis", "images") as progress,
        contextlib.closing(sharded_synthesis.draw_ahead(filled, drawer)) as results,
    ):
        for call, contents in zip(calls, results, strict=True):
            for row, content in zip(call, contents, strict=False):
                with write_whole(os.path.join(out_dir, row.file), "wb") as file:
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
    source, data = enlargement.source, enlargement.config.data
    size = configuration.image_shape(data)[:2]
    prints = [source.load_print(finger.source) for finger in fingers]
    maps = [
        ridge_map.draw_maps(ridge_map.map_ridges(image, source.period, source.window)) for image in prints
    ]
    rows = [row for finger in fingers for row in enlargement.create_rows(finger, num_impressions)]
    images = [image[..., 0] for image in draw_rows(enlargement, rows)]
    columns = {
        name: [preprocessing.place_centrally(tile[..., None], size)[..., 0] for tile in tiles]
        for name, tiles in (("print", prints), ("ridge map", maps))
    }
    columns |= {
        f"impression {number + 1}": images[number::num_impressions] for number in range(num_impressions)
    }
    figures.draw_columns(columns, path)
