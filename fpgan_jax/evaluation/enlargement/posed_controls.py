"""Owns the controls that stand in the pose of a synthetic impression: the print warped, and the map itself.

Does not choose poses (they are the manifest's) or measure.
"""

import os
from collections.abc import Mapping

import jax
import numpy as np

from fpgan_jax.data.ridges import distortion, ridge_pairs
from fpgan_jax.data.ridges.print_scale import find_stretch
from fpgan_jax.enlarging import enlarging
from fpgan_jax.enlarging.finger_sources import FingerSource
from fpgan_jax.enlarging.impression_drawing import Enlargement, ImpressionDrawer, ImpressionRow
from fpgan_jax.errors import UserError
from fpgan_jax.evaluation.enlargement.print_folders import Posed, scale_to_window
from fpgan_jax.evaluation.recognition.print_sets import SetPlace
from fpgan_jax.evaluation.study import print_collection
from fpgan_jax.evaluation.study.print_collection import PrintCollection
from fpgan_jax.synthesis.manifest import GIVEN_PRINT, MANIFEST_FILENAME
from fpgan_jax.synthesis.sharded import IMAGES_PER_CALL
from fpgan_jax.tables.csv_rows import read_rows

WARPED, MAP = "control_classical_warp", "control_ridge_map"
_DESCRIPTIONS = {
    WARPED: "the finger's own print, moved and distorted as the synthetic impression, nothing else changed",
    MAP: "the ridge map that the synthetic impression was drawn from, as a picture",
}


def create_posed_controls(
    gan_workdir: str,
    posed: Mapping[str, tuple[Posed, SetPlace]],
    drawn: PrintCollection,
    window: tuple[int, int],
    data_overrides: Mapping,
) -> list[PrintCollection]:
    """Create the controls of impressions that a generator drew of given prints.

    Args:
      gan_workdir: of the generator, which is not run.
      posed: name of a real set -> (its impressions' folder, the set's).
      drawn: the collection of all of them, whose files' names begin with the set's.
      window: (height, width) at 500 ppi.
      data_overrides: fields of `config.data`, for training prints that have moved.

    Returns:
      `WARPED` and `MAP`, with drawn's files and persons.

    Raises:
      UserError: a folder has no manifest of impressions of given prints, or as `enlarging.open_enlargement`.
    """
    images: dict[str, dict[str, np.ndarray]] = {WARPED: {}, MAP: {}}
    for set_name, (one, real) in posed.items():
        path = os.path.join(one.place.folder, MANIFEST_FILENAME)
        rows = read_rows(path, ImpressionRow, "synthesize --identities")
        wanted = [row for row in rows if f"{set_name}/{row.file}" in drawn.filenames]
        if not wanted or wanted[0].noise != GIVEN_PRINT:
            raise UserError(f"{path}: holds no impression of a given print; controls are made of these")
        request = enlarging.Request(real.folder, sensor_ppi=real.ppi[0])
        enlargement = enlarging.open_enlargement(
            gan_workdir, request, overrides={"seed": wanted[0].seed}, data_overrides=data_overrides
        )
        for name, made in zip((WARPED, MAP), _draw(enlargement, wanted), strict=True):
            for row, image in zip(wanted, made, strict=True):
                # Their pixels are square, whether the impressions' are or not.
                images[name][f"{set_name}/{row.file}"] = scale_to_window(
                    image[..., None], enlargement.resolution, window
                )
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


def _draw(enlargement: Enlargement, rows: list[ImpressionRow]) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Draw warped prints and maps, uint8 [height, width] each."""
    drawer = ImpressionDrawer(enlargement, rows[0])
    maps: list[np.ndarray] = []
    for start in range(0, len(rows), IMAGES_PER_CALL):
        chosen = rows[start : start + IMAGES_PER_CALL]
        filled = [*chosen, *[chosen[-1]] * (IMAGES_PER_CALL - len(chosen))]
        conditions = drawer.create_conditions(filled)[: len(chosen)]
        pictures = ridge_pairs.draw_condition(conditions, enlargement.config.data.condition)
        maps += list(pictures[..., 0])
    stretch = find_stretch(enlargement.config.data)
    warped = [warp_print(enlargement.source, row, maps[0].shape, stretch) for row in rows]
    return tuple([_make_square(image, stretch) for image in images] for images in (warped, maps))


def warp_print(
    source: FingerSource, row: ImpressionRow, shape: tuple[int, int], stretch: float
) -> np.ndarray:
    """Move and distort a finger's print as an impression of it was.

    Args:
      source: of the fingers.
      row: of the impression.
      shape: (height, width) of what the generator draws.
      stretch: width over height that a square of skin has there.

    Returns:
      uint8 of the shape; white beyond the print's edge.
    """
    image = source.load_print(row.source).astype(np.float32)
    key = jax.random.key(np.uint32(row.field_seed))
    field = distortion.sample_field(key, shape, source.period, pixel_stretch=stretch)
    places = distortion.create_places(
        row.variation.pose, field, image.shape, pixel_stretch=stretch, picture_stretch=source.stretch
    )
    inside = distortion.find_inside(places, image.shape, source.period / 2)
    moved = distortion.resample(image[..., None], places)[..., 0]
    return _to_bytes(255 + inside * (moved - 255))


def _make_square(image: np.ndarray, stretch: float) -> np.ndarray:
    return _to_bytes(distortion.make_square(image[..., None].astype(np.float32), stretch)[..., 0])


def _to_bytes(values: np.ndarray) -> np.ndarray:
    return np.rint(np.clip(values, 0, 255)).astype(np.uint8)
