"""Owns synthesis: from a GAN's checkpoint to a folder of image files with a manifest.

Does not judge the images (`scoring/similarity.py`). Needs prints where ridge maps are drawn from; noise is a function
of its seed.
"""

import contextlib
import dataclasses
import json
import os
from collections.abc import Callable, Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from absl import logging
from ml_collections import ConfigDict

from fpgan_jax.config import files
from fpgan_jax.config.checks import validate_config
from fpgan_jax.config.derived import image_shape, resolve_seed
from fpgan_jax.config.fields import flatten_config, is_at_later_default
from fpgan_jax.data import pairs, print_loading
from fpgan_jax.data.impression_folder import MANIFEST_FILENAME
from fpgan_jax.data.noise import create_noise_image
from fpgan_jax.data.preprocessing import to_uint8
from fpgan_jax.data.ridges import ridge_pairs
from fpgan_jax.errors import UserError
from fpgan_jax.host.file_managers import is_leftover
from fpgan_jax.host.folder_lock import LOCK_FILENAME, hold_folder
from fpgan_jax.host.json_file import read_json
from fpgan_jax.host.progress import create_progress
from fpgan_jax.host.whole_file import TEMPORARY_ENDING, write_whole
from fpgan_jax.models import factory
from fpgan_jax.tables.csv_rows import read_rows, write_rows
from fpgan_jax.training.checkpoints.checksums import hash_variables
from fpgan_jax.training.checkpoints.restore import check_variables, restore_for_evaluation
from fpgan_jax.training.reporting import save_png
from fpgan_jax.training.sampling import create_generate

# What a manifest says instead of a kind of noise where ridge maps are drawn from.
GIVEN_PRINT, NEW_FINGER = "given_print", "new_finger"
SETTINGS_FILENAME = "synthesis.json"
_WEIGHTS_HASH = "weights_hash"
# Differences that a message lists.
_NUM_NAMED = 5


@dataclasses.dataclass(frozen=True)
class ManifestRow:
    """What is known of one synthetic print.

    Attributes:
      file: its name in the manifest's folder.
      set: the config's set_name.
      person: whose training noise it was made from; for new noise, whom it is counted under; -1
        where a folder of pairs does not tell.
      replica: number of the replica, or of the pair where the person is unknown.
      noise: "training" or "new".
      noise_seed: the seed of its noise image: of training noise config.data.noise_seed, of new noise that and
        2**32 * (1 + the seed of new noise), 4294967296 for 0, so that it is never a training's; -1 where the noise was
        read from a file.
      seed: the seed of its dropout.
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


def synthesize(
    gan_workdir: str,
    out_dir: str,
    *,
    overrides: Mapping | None = None,
    data_overrides: Mapping | None = None,
    step: int | str | None = None,
) -> list[ManifestRow]:
    """Draw one synthetic print for every pair that a generator was trained on.

    The architecture, the noise and how it is drawn are read from the checkpoint's config. A folder
    that is finished is left as it is; one that was interrupted is completed.

    Args:
      gan_workdir: the workdir of `launch.train_gan`.
      out_dir: folder for `NNN_RR.png` (person, replica) and `manifest.csv`; made if missing.
      overrides: fields of `config.synthesis` to use in place of the checkpoint's.
      data_overrides: fields of `config.data`, for a folder of pairs that has moved.
      step: which checkpoint; the last one by default, "best" by the run's own metric.

    Returns:
      The manifest's rows.

    Raises:
      UserError: no such checkpoint, or out_dir holds something else or is another process's.

    Source: Cordeiro & Saito, section 4; Isola et al. 2017, section 3.1 for test time; differs in:
      nothing.
    """
    config, step, metadata = restore_config(
        gan_workdir, step=step, overrides=overrides, data_overrides=data_overrides
    )
    rows = plan_rows(config, metadata, step)
    variables = restore_variables(gan_workdir, config, step)
    with hold_folder(out_dir):
        claim_folder(out_dir, describe_settings(config, metadata, step, variables))
        missing = [i for i, row in enumerate(rows) if not os.path.exists(os.path.join(out_dir, row.file))]
        if missing:
            _draw_images(config, variables, rows, missing, metadata, out_dir)
        write_rows(os.path.join(out_dir, MANIFEST_FILENAME), rows)
    return rows


def restore_config(
    gan_workdir: str,
    *,
    step: int | str | None = None,
    overrides: Mapping | None = None,
    data_overrides: Mapping | None = None,
) -> tuple[ConfigDict, int, dict]:
    """Read what a checkpoint draws with, but for its weights.

    Args:
      gan_workdir: as of `synthesize`, like the other arguments.
      step: which checkpoint.
      overrides: fields of `config.synthesis`.
      data_overrides: fields of `config.data`.

    Returns:
      (the checkpoint's config with these fields, the checkpoint's step, its metadata).

    Raises:
      UserError: no such checkpoint, or a field is not as it must be.
    """
    step, _, metadata = restore_for_evaluation(gan_workdir, (), step)
    _check_metadata(gan_workdir, metadata)
    config = files.restore_config(metadata, gan_workdir)
    config.synthesis.update(overrides or {})
    config.data.update(data_overrides or {})
    validate_config(config, needs_data=config.data.source == "paired_folder")
    warn_of_other_statistics(config)
    return config, step, metadata


def restore_variables(gan_workdir: str, config: ConfigDict, step: int) -> dict:
    """Restore the weights that a config draws with: the last ones, or their moving average.

    Args:
      gan_workdir: the workdir of `launch.train_gan`.
      config: the checkpoint's config with `synthesis` as wanted.
      step: the checkpoint's step.

    Returns:
      The checkpoint's "generator" or "generator_ema".

    Raises:
      UserError: the checkpoint holds none, or is damaged.
    """
    name = "generator_ema" if config.synthesis.use_ema else "generator"
    _, trees, _ = restore_for_evaluation(gan_workdir, (name,), step)
    return trees[name]


def plan_rows(config: ConfigDict, metadata: Mapping, step: int) -> list[ManifestRow]:
    """List the images that a config asks for, in the order of the training pairs.

    Args:
      config: the checkpoint's config with `synthesis` as wanted.
      metadata: the checkpoint's metadata; "pairs" is [[person, replica], ...].
      step: the checkpoint's step.

    Returns:
      A row an image.
    """
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
    """Create the row of one image.

    Args:
      config: the checkpoint's config with `synthesis` as wanted.
      metadata: the checkpoint's.
      step: the checkpoint's step.
      file: as of `ManifestRow`, like what follows.
      person: the person; -1 for nobody.
      replica: number of the replica, or of nobody's image.

    Returns:
      The row.
    """
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


def bind_generate(config: ConfigDict, variables: Mapping) -> tuple[Callable, dict]:
    """Put restored weights into the generator that a config asks for.

    Args:
      config: the checkpoint's config with `synthesis` as wanted.
      variables: the checkpoint's "generator" or "generator_ema".

    Returns:
      (what `create_generate` gives, the variables that it takes, on the device).

    Raises:
      UserError: the weights do not fit the config.
    """
    generator = factory.create_generator(config)
    variables = {name: tree for name, tree in variables.items() if tree}
    check_variables(variables, dict(factory.shape_generator(config)), "generator")
    generate = create_generate(
        generator,
        deterministic=config.synthesis.deterministic,
        use_running_average=config.synthesis.use_running_average,
    )
    return generate, jax.device_put(variables)


def bind_draw(
    config: ConfigDict, variables: Mapping, reshape: Callable[[jax.Array], jax.Array] = lambda images: images
) -> tuple[Callable, dict]:
    """Put restored weights into a generator of bytes.

    Args:
      config: as of `bind_generate`.
      variables: the checkpoint's "generator" or "generator_ema".
      reshape: of drawn images, float32 [batch, height, width, channels] in [-1, 1], before they become bytes.

    Returns:
      (a function of (variables, noise_image uint8 [batch, height, width, condition channels], dropout_seed uint32
      [batch, 3], as of `create_dropout_keys`) that returns uint8 [batch, height, width, channels] and can be compiled;
      the variables that it takes, on the device).

    Raises:
      UserError: the weights do not fit the config.
    """
    generate, variables = bind_generate(config, variables)

    def draw(variables, noise_image, dropout_seed):
        # As `preprocessing.to_uint8` does in NumPy.
        images = reshape(generate(variables, noise_image, create_dropout_keys(dropout_seed)))
        pixels = (images + 1) * np.float32(127.5)
        return jnp.clip(jnp.rint(pixels), 0, 255).astype(jnp.uint8)

    return draw, variables


def create_dropout_keys(numbers) -> jax.Array:
    """Create each image's own random key.

    Args:
      numbers: uint32 [batch, 3], the seed, person and replica of each image; -1 stands as 2**32 - 1.

    Returns:
      Keys [batch].
    """

    def create_key(numbers):
        key = jax.random.fold_in(jax.random.key(numbers[0]), numbers[1])
        return jax.random.fold_in(key, numbers[2])

    return jax.vmap(create_key)(numbers)


def create_noise_of_row(config: ConfigDict, row: ManifestRow) -> np.ndarray:
    """Create the noise that an image is drawn from, where it was not read from a file.

    Args:
      config: the checkpoint's config.
      row: the image's.

    Returns:
      uint8 [height, width, channels]; of one channel where it is a plane beside a print's map.
    """
    height, width, num_channels = image_shape(config.data)
    is_unknown = row.person == pairs.UNKNOWN
    return create_noise_image(
        row.noise_seed,
        # Ids have nine digits at most, so that an image of nobody's has noise of its own.
        2**31 + row.replica if is_unknown else row.person,
        row.replica if config.data.noise_per == "replica" and not is_unknown else 0,
        shape=(height, width, num_channels if config.data.condition == "noise" else 1),
        distribution=config.data.noise_distribution,
    )


def warn_of_other_statistics(config: ConfigDict) -> None:
    """Warn where images are drawn with other statistics than the generator was trained with.

    Args:
      config: the checkpoint's config with `synthesis` as wanted.
    """
    is_batch = config.generator.norm == "batch" and config.global_batch_size > 1
    if is_batch and not config.synthesis.use_running_average:
        logging.warning(
            "config.generator.norm='batch' was trained on batches of %d; each image is drawn with its own "
            "statistics, as pix2pix does at test time. --use_running_average uses the running ones",
            config.global_batch_size,
        )


def read_manifest(folder: str) -> list[ManifestRow]:
    """Read the manifest of a folder that `synthesize` wrote.

    Args:
      folder: its out_dir.

    Returns:
      The rows.

    Raises:
      UserError: there is no manifest, it is not one, or it names a file outside the folder.
    """
    path = os.path.join(folder, MANIFEST_FILENAME)
    _check_has_persons(path)
    rows = read_rows(path, ManifestRow, "synthesize")
    for row in rows:
        if os.path.basename(row.file) != row.file or row.file in ("", ".", ".."):
            raise UserError(f"{path}: names a file outside its folder, {row.file!r}")
    return rows


def _check_has_persons(path: str) -> None:
    with contextlib.suppress(OSError, UnicodeDecodeError), open(path, encoding="utf-8-sig") as file:
        if "condition_hash" in file.readline().strip().split(","):
            raise UserError(f"{path}: of launch.synthesize --condition_dir, whose images are of no person")


def _check_metadata(gan_workdir: str, metadata: Mapping) -> None:
    """Check what files are named by, in case the checkpoint is no GAN's or a stranger's."""
    pair_ids, pair_names = metadata.get("pairs"), metadata.get("pair_names")
    is_sound = (
        isinstance(pair_ids, list)
        and isinstance(pair_names, list)
        and len(pair_ids) > 0
        and len(pair_names) in (0, len(pair_ids))
        and all(
            isinstance(pair, list) and [type(number) for number in pair] == [int, int] for pair in pair_ids
        )
        and all(isinstance(name, str) for name in pair_names)
    )
    if not is_sound:
        raise UserError(
            f"{gan_workdir}: its checkpoint lists no training pairs; name the workdir of launch.train_gan"
        )


def describe_settings(config: ConfigDict, metadata: Mapping, step: int, variables: Mapping) -> dict:
    """Describe what decides every pixel of a folder of images.

    Args:
      config: the checkpoint's config with `synthesis` as wanted.
      metadata: the checkpoint's.
      step: the checkpoint's step.
      variables: as of `restore_variables`.

    Returns:
      What JSON can hold.
    """
    return {
        "checkpoint_step": step,
        _WEIGHTS_HASH: hash_variables(variables),
        "config_hash": metadata["config_hash"],
        "data_hash": metadata["data_hash"],
        "synthesis": {
            name: value
            for name, value in config.synthesis.items()
            # A folder that was begun before a field came has images of its default.
            if name != "batch_size" and not is_at_later_default(f"synthesis.{name}", value)
        },
    }


def claim_folder(out_dir: str, settings: dict) -> None:
    """Write what a folder's images are made with, if it is empty or made with the same.

    Args:
      out_dir: the folder.
      settings: what JSON can hold.

    Raises:
      UserError: it holds something else.
    """
    path = os.path.join(out_dir, SETTINGS_FILENAME)
    if os.path.exists(path):
        if differences := find_differences(read_settings(out_dir), settings):
            raise UserError(
                f"{path}: this folder holds images made otherwise ({'; '.join(differences[:_NUM_NAMED])}"
                f"{'; ...' * (len(differences) > _NUM_NAMED)}); move it away or use another --out_dir"
            )
        return
    others = set(os.listdir(out_dir)) - {LOCK_FILENAME}
    if not all(name.endswith(TEMPORARY_ENDING) or is_leftover(name) for name in others):
        raise UserError(f"--out_dir={out_dir}: holds other files; use an empty or a new folder")
    write_settings(out_dir, settings)


def find_differences(old: dict, new: dict) -> list[str]:
    """List in what a folder's settings differ from others.

    Args:
      old: the folder's; those from before the weights were among them say nothing of these.
      new: as of `describe_settings`.

    Returns:
      Lines "synthesis.seed was 0, is 1".
    """
    old, new = (flatten_config(settings) for settings in (old, new))
    return [
        f"{name} was {old.get(name, 'not set')}, is {new.get(name, 'not set')}"
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name) and (name != _WEIGHTS_HASH or name in old)
    ]


def write_settings(out_dir: str, settings: dict) -> None:
    """Write what a folder's images are made with.

    Args:
      out_dir: the folder.
      settings: what JSON can hold.
    """
    with write_whole(os.path.join(out_dir, SETTINGS_FILENAME)) as file:
        json.dump(settings, file, indent=2)


def read_settings(out_dir: str) -> dict:
    """Read what a folder's images are made with.

    Args:
      out_dir: a folder that was claimed.

    Returns:
      The settings.

    Raises:
      UserError: the file is damaged.
    """
    try:
        return read_json(os.path.join(out_dir, SETTINGS_FILENAME))
    except UserError as error:
        raise UserError(f"{error}, or use another --out_dir") from error


def _draw_images(
    config: ConfigDict,
    variables: dict,
    rows: Sequence[ManifestRow],
    wanted: Sequence[int],
    metadata: Mapping,
    out_dir: str,
) -> None:
    """Draw the rows whose indices are wanted."""
    generate, variables = bind_generate(config, variables)
    load_condition = create_condition_loader(config, metadata)
    batch_size = config.synthesis.batch_size
    with create_progress(len(wanted), "synthesis", "images") as progress:
        for start in range(0, len(wanted), batch_size):
            indices = list(wanted[start : start + batch_size])
            # The last batch is filled up, so that all run the same program.
            filled = indices + indices[-1:] * (batch_size - len(indices))
            noise_image = np.stack([load_condition(index, rows[index]) for index in filled])
            chosen = [rows[index] for index in filled]
            numbers = np.array([(row.seed, row.person, row.replica) for row in chosen])
            keys = create_dropout_keys(numbers.astype(np.uint32))
            images = to_uint8(np.asarray(generate(variables, noise_image, keys)))
            for index, image in zip(indices, images, strict=False):
                save_png(os.path.join(out_dir, rows[index].file), image)
            progress.update(len(indices))


def create_condition_loader(
    config: ConfigDict, metadata: Mapping
) -> Callable[[int, ManifestRow], np.ndarray]:
    """Create what makes the condition of each row: of a folder of pairs, from its seed, or beside a print's ridge map.

    Args:
      config: the checkpoint's config with `synthesis` as wanted.
      metadata: the checkpoint's.

    Returns:
      (index of the training pair, row) -> uint8 of `condition_shape`.

    Raises:
      UserError: the training prints or pairs are not there any more, or others are.
    """
    pair_names = metadata["pair_names"]
    if config.data.condition != "noise":
        training_pairs = print_loading.create_pairs(config)
        assert isinstance(training_pairs, ridge_pairs.MappedPairs)
        if training_pairs.data_hash != metadata["data_hash"]:
            raise UserError(
                f"{print_loading.describe_origin(config.data)}: holds other prints than the generator was trained on"
            )
        return lambda index, row: training_pairs.create_condition(index, create_noise_of_row(config, row))
    if pair_names and config.synthesis.noise == "training":
        if metadata["data_hash"].startswith(pairs.ARRAYS_PREFIX):
            raise UserError(
                "--noise=training: this generator was trained on arrays in memory, whose conditions are not kept; draw "
                "from a folder of conditions by --condition_dir, or from arrays by inference.restore_generator"
            )
        folder = pairs.PairFolder(config.data.paired_dir, config.data)
        return lambda index, row: folder[folder.find(pair_names[index])]["noise_image"]

    return lambda index, row: create_noise_of_row(config, row)
