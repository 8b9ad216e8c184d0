"""Drawing: from a GAN's checkpoint to a folder of image files with a manifest."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from absl import logging
from ml_collections import ConfigDict

from fpgan_jax.config import files
from fpgan_jax.config.checks import validate_config
from fpgan_jax.data import pair_folder, pairs, print_loading
from fpgan_jax.data.impression_folder import MANIFEST_FILENAME
from fpgan_jax.data.preprocessing import to_uint8
from fpgan_jax.data.ridges import ridge_pairs
from fpgan_jax.errors import UserError
from fpgan_jax.host.folder_lock import hold_folder
from fpgan_jax.host.progress import create_progress
from fpgan_jax.models import factory
from fpgan_jax.synthesis.image_folder import claim_folder, describe_settings
from fpgan_jax.synthesis.manifest import ManifestRow, bind_noise, plan_rows
from fpgan_jax.tables.csv_rows import write_rows
from fpgan_jax.training.checkpoints.restore import check_variables, restore_for_evaluation
from fpgan_jax.training.reporting import save_png
from fpgan_jax.training.sampling import create_generate


def synthesize(
    gan_workdir: str,
    out_dir: str,
    *,
    overrides: Mapping | None = None,
    data_overrides: Mapping | None = None,
    step: int | str | None = None,
) -> list[ManifestRow]:
    """Draw one synthetic print for every pair that a generator was trained on.

    The checkpoint's config has the architecture, the noise and how to draw. A finished folder is left as it is; an
    interrupted one is completed.

    Args:
      gan_workdir: the workdir of `launch.train_gan`.
      out_dir: folder for `NNN_RR.png` (person, replica) and `manifest.csv`; made if missing.
      overrides: fields of `config.synthesis` to use in place of the checkpoint's.
      data_overrides: fields of `config.data`, for a folder of pairs that has moved.
      step: which checkpoint; the last one by default, "best" by the run's own metric.

    Returns:
      The manifest's rows.

    Raises:
      UserError: no such checkpoint, or out_dir holds something else or is in use by another process.

    Source: Cordeiro & Saito, section 4; Isola et al. 2017, section 3.1 for test time; differs in: nothing.
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
    """Read the config that a checkpoint draws with; arguments as `synthesize`.

    Returns:
      (the checkpoint's config with the overrides, the checkpoint's step, its metadata).

    Raises:
      UserError: no such checkpoint, or a field has a bad value.
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
    """Restore the checkpoint's "generator", or "generator_ema" if config.synthesis.use_ema says so.

    Raises:
      UserError: the checkpoint lacks them, or is damaged.
    """
    name = "generator_ema" if config.synthesis.use_ema else "generator"
    _, trees, _ = restore_for_evaluation(gan_workdir, (name,), step)
    return trees[name]


def bind_generate(config: ConfigDict, variables: Mapping) -> tuple[Callable, dict]:
    """Create the generator that a config asks for, and check its weights, of `restore_variables`.

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
    """Create a generator of bytes that can be compiled.

    Args:
      config: the checkpoint's config with `synthesis` as wanted.
      variables: of `restore_variables`.
      reshape: applied to the images, float32 [batch, height, width, channels] in [-1, 1], before they become bytes.

    Returns:
      (a function of (variables, noise_image uint8 [batch, height, width, condition channels], dropout_seed of
      `create_dropout_keys`) that returns uint8 [batch, height, width, channels]; the variables that it takes, on the
      device).

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
    """Create each image's random key from seed, person and replica: uint32 [batch, 3], with -1 as 2**32 - 1."""

    def create_key(numbers):
        key = jax.random.fold_in(jax.random.key(numbers[0]), numbers[1])
        return jax.random.fold_in(key, numbers[2])

    return jax.vmap(create_key)(numbers)


def list_dropout_seeds(rows: Sequence) -> np.ndarray:
    """Return the numbers of `create_dropout_keys` for manifests' rows, uint32 [images, 3]."""
    return np.array([(row.seed, row.person, row.replica) for row in rows]).astype(np.uint32)


def warn_of_other_statistics(config: ConfigDict) -> None:
    """Warn if images are drawn with other statistics than the generator was trained with."""
    is_batch = config.generator.norm == "batch" and config.global_batch_size > 1
    if is_batch and not config.synthesis.use_running_average:
        logging.warning(
            "config.generator.norm='batch' was trained on batches of %d; each image is drawn with its own "
            "statistics, as pix2pix does at test time. --use_running_average uses the running ones",
            config.global_batch_size,
        )


def create_condition_loader(
    config: ConfigDict, metadata: Mapping
) -> Callable[[int, ManifestRow], np.ndarray]:
    """Create the function that makes a row's condition: from a folder of pairs, from its seed, or from a print.

    Returns:
      (index of the training pair, row) -> uint8 of `condition_shape`.

    Raises:
      UserError: the training prints or pairs are missing, or were changed.
    """
    pair_names = metadata["pair_names"]
    create_noise = bind_noise(config)
    if config.data.condition != "noise":
        training_pairs = print_loading.create_pairs(config)
        assert isinstance(training_pairs, ridge_pairs.MappedPairs)
        check_data(config, metadata, training_pairs.data_hash)
        return lambda index, row: training_pairs.create_condition(index, create_noise(row))
    if pair_names and config.synthesis.noise == "training":
        if metadata["data_hash"].startswith(pairs.ARRAYS_PREFIX):
            raise UserError(
                "--noise=training: this generator was trained on arrays in memory, whose conditions are not kept; draw "
                "from a folder of conditions by --condition_dir, or from arrays by inference.restore_generator"
            )
        folder = pair_folder.PairFolder(config.data.paired_dir, config.data)
        return lambda index, row: folder[folder.find(pair_names[index])]["noise_image"]
    return lambda index, row: create_noise(row)


def check_data(config: ConfigDict, metadata: Mapping, data_hash: str) -> None:
    """Check that prints, by their hash, are those that a checkpoint's generator was trained on.

    Raises:
      UserError: they are not.
    """
    if data_hash != metadata["data_hash"]:
        raise UserError(
            f"{print_loading.describe_origin(config.data)}: holds other prints than the generator was trained on"
        )


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
    with create_progress(len(wanted), "synthesis", "images") as progress:
        for indices, count in list_calls(wanted, config.synthesis.batch_size):
            noise_image = np.stack([load_condition(index, rows[index]) for index in indices])
            keys = create_dropout_keys(list_dropout_seeds([rows[index] for index in indices]))
            images = to_uint8(np.asarray(generate(variables, noise_image, keys)))
            for index, image in zip(indices[:count], images, strict=False):
                save_png(os.path.join(out_dir, rows[index].file), image)
            progress.update(count)


def list_calls(items: Sequence, size: int) -> Iterator[tuple[list, int]]:
    """Yield the `size` items of each call, and how many of them are wanted.

    The last call is filled up, so that all run the same program.
    """
    for start in range(0, len(items), size):
        chosen = list(items[start : start + size])
        yield chosen + chosen[-1:] * (size - len(chosen)), len(chosen)


def _check_metadata(gan_workdir: str, metadata: Mapping) -> None:
    """Check what files are named by, in case the checkpoint is not a GAN's, or a stranger's."""
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
