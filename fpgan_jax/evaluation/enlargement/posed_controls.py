"""Owns the controls in the pose of a synthetic impression: the finger's print warped, and the ridge map itself."""

import os
from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from fpgan_jax.data.ridges import distortion, ridge_pairs
from fpgan_jax.data.ridges.print_scale import find_stretch
from fpgan_jax.enlarging import enlarging
from fpgan_jax.enlarging.finger_sources import FingerSource
from fpgan_jax.enlarging.impression_drawing import Enlargement, ImpressionDrawer, ImpressionRow
from fpgan_jax.errors import UserError
from fpgan_jax.evaluation.enlargement.print_folders import Request, Window, scale_to_window
from fpgan_jax.evaluation.study import print_collection
from fpgan_jax.evaluation.study.print_collection import PrintCollection
from fpgan_jax.synthesis.manifest import GIVEN_PRINT, MANIFEST_FILENAME
from fpgan_jax.tables.csv_rows import read_rows

WARPED, MAP = "control_classical_warp", "control_ridge_map"
_DESCRIPTIONS = {
    WARPED: "the finger's own print, moved and distorted as the synthetic impression, nothing else changed",
    MAP: "the ridge map that the synthetic impression was drawn from, as a picture",
}


def create_posed_controls(
    gan_workdir: str,
    request: Request,
    collections: Sequence[PrintCollection],
    window: Window,
    data_overrides: Mapping,
) -> list[PrintCollection]:
    """Create the controls for the first set of more impressions, which a generator drew of given prints.

    Args:
      gan_workdir: of the generator, which is not run.
      request: has the folders.
      collections: one of them has these impressions; filenames begin with the real set's name.
      window: of the study.
      data_overrides: fields of `config.data`, for training prints that have moved.

    Returns:
      `WARPED` and `MAP`, with the filenames and persons of the impressions.

    Raises:
      UserError: a folder has no manifest of impressions of given prints, or as in `enlarging.open_enlargement`.
    """
    first = request.more_impressions[0].place.name
    drawn = next(collection for collection in collections if collection.name == first)
    real = {place.name: place for place in request.real}
    images: dict[str, dict[str, np.ndarray]] = {WARPED: {}, MAP: {}}
    for posed in request.more_impressions:
        if posed.place.name != first:
            continue
        path = os.path.join(posed.place.folder, MANIFEST_FILENAME)
        rows = read_rows(path, ImpressionRow, "synthesize --identities")
        wanted = [row for row in rows if f"{posed.real}/{row.file}" in drawn.filenames]
        if not wanted or wanted[0].noise != GIVEN_PRINT:
            raise UserError(f"{path}: holds no impression of a given print; controls are made of these")
        given = real[posed.real]
        source = enlarging.Request(given.folder, sensor_ppi=given.ppi[0])
        enlargement = enlarging.open_enlargement(
            gan_workdir, source, overrides={"seed": wanted[0].seed}, data_overrides=data_overrides
        )
        for name, made in _draw(enlargement, wanted).items():
            for row, image in zip(wanted, made, strict=True):
                # Their pixels are square even if the impressions' are not.
                scaled = scale_to_window(image[..., None], enlargement.resolution, window)
                images[name][f"{posed.real}/{row.file}"] = scaled
    return [
        PrintCollection(
            name,
            print_collection.CONTROL,
            np.stack([found[filename] for filename in drawn.filenames]),
            drawn.persons,
            tuple(f"{name}/{filename}" for filename in drawn.filenames),
            _DESCRIPTIONS[name],
        )
        for name, found in images.items()
    ]


def _draw(enlargement: Enlargement, rows: list[ImpressionRow]) -> dict[str, list[np.ndarray]]:
    """Draw warped prints and maps, uint8 [height, width] each, in square pixels."""
    data = enlargement.config.data
    conditions = ImpressionDrawer(enlargement, rows[0]).create_conditions(rows)
    maps = ridge_pairs.draw_condition(conditions, data.condition)[..., 0]
    stretch = find_stretch(data)
    warped = [warp_print(enlargement.source, row, maps.shape[1:], stretch) for row in rows]
    return {
        name: [_make_square(image, stretch) for image in images]
        for name, images in ((WARPED, warped), (MAP, maps))
    }


def warp_print(
    source: FingerSource, row: ImpressionRow, shape: tuple[int, int], stretch: float
) -> np.ndarray:
    """Move and distort a finger's print in the same way as an impression of it.

    Args:
      source: of the fingers.
      row: of the impression.
      shape: (height, width) of what the generator draws.
      stretch: width over height of a square of skin there.

    Returns:
      uint8 of the shape; white beyond the print's edge.
    """
    image = source.load_print(row.source)
    key = jax.random.key(np.uint32(row.field_seed))
    field = distortion.sample_field(key, shape, source.period, pixel_stretch=stretch)
    places = distortion.create_places(
        row.variation.pose, field, image.shape, pixel_stretch=stretch, picture_stretch=source.stretch
    )
    inside = distortion.find_inside(places, image.shape, source.period / 2)
    moved = distortion.resample(jnp.asarray(image[..., None], jnp.float32), places)[..., 0]
    return _to_bytes(255 + inside * (moved - 255))


def _make_square(image: np.ndarray, stretch: float) -> np.ndarray:
    return _to_bytes(distortion.make_square(jnp.asarray(image[..., None], jnp.float32), stretch)[..., 0])


def _to_bytes(values: jax.Array) -> np.ndarray:
    return np.rint(np.clip(np.asarray(values), 0, 255)).astype(np.uint8)
