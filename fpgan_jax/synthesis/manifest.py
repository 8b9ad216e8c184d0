"""The rows of a manifest: what each synthetic print was drawn from."""

import contextlib
import dataclasses
import os
from collections.abc import Callable, Mapping

import numpy as np
from ml_collections import ConfigDict

from fpgan_jax.config.derived import image_shape, resolve_seed
from fpgan_jax.data import pairs
from fpgan_jax.data.impression_folder import MANIFEST_FILENAME
from fpgan_jax.data.noise import create_noise_image
from fpgan_jax.errors import UserError
from fpgan_jax.tables.csv_rows import read_rows

# In place of "training" or "new" noise, if ridge maps were drawn from.
GIVEN_PRINT, NEW_FINGER = "given_print", "new_finger"


@dataclasses.dataclass(frozen=True)
class ManifestRow:
    """What is known of one synthetic print.

    Attributes:
      file: its name in the manifest's folder.
      set: the config's set_name.
      person: whose training noise it was made from; for new noise, whose print it counts as; -1 if a folder of pairs
        does not say.
      replica: number of the replica, or of the pair if the person is unknown.
      noise: "training" or "new", `GIVEN_PRINT` or `NEW_FINGER`.
      noise_seed: config.data.noise_seed for training noise; 2**32 * (1 + the seed of new noise) more for new noise, so
        that it is never a training's; -1 if the noise was read from a file.
      seed: of its dropout.
      dropout: "on" or "off" (also for a generator without).
      statistics: "own" (the image's) or "running".
      weights: "last" or "ema".
      checkpoint_step: completed steps of the generator.
      config_hash: see `config.identity.hash_config`.
      data_hash: of the pairs that the generator was trained on.
    """

    file: str
    set: str
    person: int
    replica: int
    noise: str
    noise_seed: int
    seed: int
    dropout: str
    statistics: str
    weights: str
    checkpoint_step: int
    config_hash: str
    data_hash: str


def plan_rows(config: ConfigDict, metadata: Mapping, step: int) -> list[ManifestRow]:
    """List the images that a config asks for, one for each training pair."""
    return [
        create_row(
            config,
            metadata,
            step,
            file=f"{index:06d}.png" if person < 0 else f"{person:03d}_{replica:02d}.png",
            person=person,
            replica=index if person < 0 else replica,
        )
        for index, (person, replica) in enumerate(metadata["pairs"])
    ]


def create_row(
    config: ConfigDict, metadata: Mapping, step: int, *, file: str, person: int, replica: int
) -> ManifestRow:
    """Create the row of one image; `config` is the checkpoint's, with `synthesis` as wanted."""
    settings = config.synthesis
    # Noise seeds end below 2**32, so that new noise is never a training's; files have no seed.
    noise_seed = config.data.noise_seed
    if settings.noise == "new":
        noise_seed += 2**32 * (1 + resolve_seed(config, "synthesis.noise_seed"))
    elif metadata["pair_names"]:
        noise_seed = -1
    has_dropout = config.generator.form == "isola" and not settings.deterministic
    return ManifestRow(
        file=file,
        set=config.set_name,
        person=person,
        replica=replica,
        noise=settings.noise,
        noise_seed=noise_seed,
        seed=settings.seed,
        dropout="on" if has_dropout else "off",
        statistics="running" if settings.use_running_average else "own",
        weights="ema" if settings.use_ema else "last",
        checkpoint_step=step,
        config_hash=metadata["config_hash"],
        data_hash=metadata["data_hash"],
    )


def bind_new_rows(config: ConfigDict, metadata: Mapping, step: int) -> Callable[[int], ManifestRow]:
    """Create the function that creates the row of image i, of no person; arguments as `create_row`.

    What all rows have in common is looked up once, which takes thirty times as long as a row.
    """
    first = create_row(config, metadata, step, file="", person=pairs.UNKNOWN, replica=0)
    return lambda image: dataclasses.replace(first, file=f"{image:010d}.png", replica=image)


def bind_noise(config: ConfigDict) -> Callable[[ManifestRow], np.ndarray]:
    """Create the function that creates the noise that an image is drawn from, unless that was read from a file.

    Returns:
      row -> uint8 [height, width, channels]; one channel if it is a plane beside a print's map.
    """
    height, width, num_channels = image_shape(config.data)
    shape = (height, width, num_channels if config.data.condition == "noise" else 1)
    distribution, is_per_replica = config.data.noise_distribution, config.data.noise_per == "replica"

    def create_noise(row: ManifestRow) -> np.ndarray:
        is_unknown = row.person == pairs.UNKNOWN
        return create_noise_image(
            row.noise_seed,
            # Ids have at most nine digits, so an image without a person never has a person's noise.
            2**31 + row.replica if is_unknown else row.person,
            row.replica if is_per_replica and not is_unknown else 0,
            shape=shape,
            distribution=distribution,
        )

    return create_noise


def read_manifest(folder: str) -> list[ManifestRow]:
    """Read the manifest of a folder that `drawing.synthesize` wrote.

    Raises:
      UserError: there is no manifest, it is of another kind, or it names a file outside the folder.
    """
    path = os.path.join(folder, MANIFEST_FILENAME)
    with contextlib.suppress(OSError, UnicodeDecodeError), open(path, encoding="utf-8-sig") as file:
        if "condition_hash" in file.readline().strip().split(","):
            raise UserError(f"{path}: of launch.synthesize --condition_dir, whose images are of no person")
    rows = read_rows(path, ManifestRow, "synthesize")
    for row in rows:
        if os.path.basename(row.file) != row.file or row.file in ("", ".", ".."):
            raise UserError(f"{path}: names a file outside its folder, {row.file!r}")
    return rows
