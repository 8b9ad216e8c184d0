"""Draw synthetic prints with a trained generator: image files and a manifest.

python -m launch.synthesize --gan_workdir=runs/gan --out_dir=runs/synthetic --noise=new
python -m launch.synthesize --gan_workdir=runs/gan --out_dir=runs/million --num_images=1000000
python -m launch.synthesize --gan_workdir=runs/pairs --out_dir=runs/drawn --condition_dir=FOLDER
python -m launch.synthesize --gan_workdir=runs/enlarge_demo/gan --out_dir=runs/new --identities=new --num_identities=24

Draws one print per training pair; or with --num_images any number from new noise, in shards and on all devices; or with
--condition_dir one print per image of a folder, under its name; or with --identities several impressions of given
prints or new fingers, for a generator conditioned on ridge maps. The architecture and all settings without a flag come
from the checkpoint. The same command completes an interrupted folder.
"""

from collections.abc import Sequence
from typing import Any

from absl import flags

from launch import cli

_GAN_WORKDIR = cli.define_path_flag("gan_workdir", "Workdir of launch.train_gan.", required=True)
_OUT_DIR = cli.define_path_flag("out_dir", "Folder for the images; created if missing.", required=True)
_STEP = cli.define_step_flag()
_PAIRED_DIR = cli.define_path_flag("paired_dir", "Folder of pairs, if it has moved since the training.")
_NOISE = flags.DEFINE_enum(
    "noise", None, ["training", "new"], "Noise of the training pairs, or noise not seen in training."
)
_DETERMINISTIC = flags.DEFINE_bool(
    "deterministic", None, "Draw without dropout. The paper keeps it, as Isola et al. do."
)
_USE_RUNNING_AVERAGE = flags.DEFINE_bool(
    "use_running_average", None, "Normalize with running statistics. The paper uses those of each image."
)
_USE_EMA = flags.DEFINE_bool("use_ema", None, "Draw with the moving average of the weights.")
_BATCH_SIZE = flags.DEFINE_integer(
    "batch_size",
    None,
    "Images at a time; changes about one pixel in 10,000 by at most one gray level.",
    lower_bound=1,
)
_SEED = flags.DEFINE_integer("seed", None, "Seed of dropout and of new noise.", lower_bound=0)
_NOISE_SEED = flags.DEFINE_integer("noise_seed", None, "Seed of new noise; --seed by default.", lower_bound=0)
_IDENTITIES = flags.DEFINE_string(
    "identities",
    None,
    "Fingers to draw: new (nobody's), training, held_out (persons kept from the training), a folder of "
    "<finger>_<impression>.png, or a file of launch.make_pairs --npz.",
)
_IDENTITIES_PPI = flags.DEFINE_float(
    "identities_ppi", 0.0, "For a folder in --identities: pixels per inch of its prints.", lower_bound=0.0
)
_NUM_IDENTITIES = flags.DEFINE_integer(
    "num_identities", None, "Number of fingers; by default all of the given ones.", lower_bound=1
)
_NUM_IMPRESSIONS = flags.DEFINE_integer(
    "num_impressions", None, "For --identities: impressions per finger, 6 by default.", lower_bound=1
)
_CHECK_FINGERS = flags.DEFINE_bool(
    "check_fingers", True, "Reject new fingers that match another one, a training print or its mirror image."
)
_SQUARE_PIXELS = flags.DEFINE_bool(
    "square_pixels",
    True,
    "For --identities: draw square pixels, not those of the generator, which SOCOFing's scale squeezes.",
)
_FIGURE = cli.define_path_flag(
    "figure", "For --identities: PNG to draw, with up to eight fingers in one row each."
)
_NUM_IMAGES = flags.DEFINE_integer(
    "num_images", None, "Number of images from new noise, in shards; can be raised later."
)
_SHARD_SIZE = flags.DEFINE_integer(
    "shard_size", None, "Images per shard, a multiple of 16; 10,000 by default."
)
_CONDITION_DIR = cli.define_path_flag(
    "condition_dir", "Folder of conditions, without targets; each one is drawn to a PNG of the same name."
)
_CONDITION_PART = flags.DEFINE_enum(
    "condition_part",
    None,
    ["whole", "left", "right"],
    "For --condition_dir: the part of each file that is the condition; by default the whole, if it is not like a pair.",
)
_FORMAT = flags.DEFINE_string(
    "format",
    None,
    "Format of the shards of --num_images and --identities: tar (webdataset), array_record (grain, TFDS) or png "
    "(folders). By default --num_images writes tar, and --identities one folder without shards.",
)


def main() -> None:
    """Draw and print a summary."""
    given = {"shard_size": _SHARD_SIZE.value, "file_format": _FORMAT.value}
    division = {name: value for name, value in given.items() if value is not None}
    holders = (_NOISE, _DETERMINISTIC, _USE_RUNNING_AVERAGE, _USE_EMA, _BATCH_SIZE, _SEED, _NOISE_SEED)
    overrides = {holder.name: holder.value for holder in holders if holder.value is not None}
    if _IDENTITIES.value is not None:
        _check_absent(
            (_NUM_IMAGES, _CONDITION_DIR, _CONDITION_PART), "does nothing beside --identities; leave it out"
        )
        print(_draw_identities(_IDENTITIES.value, overrides, division))
        return
    _check_absent(
        (_NUM_IDENTITIES, _NUM_IMPRESSIONS, _FIGURE), "needs --identities, which selects the fingers"
    )
    if _CONDITION_DIR.value is not None:
        print(_draw_conditions(overrides))
        return
    _check_absent((_CONDITION_PART,), "needs --condition_dir, the folder of conditions")
    if _NUM_IMAGES.value is not None:
        print(_draw_shards(_NUM_IMAGES.value, overrides, division))
        return
    print(_draw_pairs(overrides, division))


def _check_absent(holders: Sequence[flags.FlagHolder], reason: str) -> None:
    from fpgan_jax.errors import UserError

    for holder in holders:
        if holder.value is not None:
            raise UserError(f"--{holder.name}: {reason}")


def _list_moved() -> dict[str, str]:
    return {"paired_dir": _PAIRED_DIR.value} if _PAIRED_DIR.value else {}


def _draw_identities(identities: str, overrides: dict[str, Any], division: dict[str, Any]) -> str:
    from fpgan_jax.enlarging import enlarging, finger_sources
    from fpgan_jax.errors import UserError
    from fpgan_jax.synthesis import sharded

    if _IDENTITIES_PPI.value and identities in finger_sources.WORDS:
        raise UserError(
            f"--identities_ppi: is for the prints of a folder, not for --identities={identities}; leave it out"
        )
    request = enlarging.Request(
        identities,
        _NUM_IDENTITIES.value,
        _NUM_IMPRESSIONS.value or enlarging.NUM_IMPRESSIONS,
        _IDENTITIES_PPI.value,
        _CHECK_FINGERS.value,
        _SQUARE_PIXELS.value,
        sharded.Request(1, **division) if division else None,
    )
    line = enlarging.enlarge(
        _GAN_WORKDIR.value,
        _OUT_DIR.value,
        request,
        overrides=overrides,
        data_overrides=_list_moved(),
        step=_STEP.value,
        figure=_FIGURE.value,
    )
    return f"{line}, in {_OUT_DIR.value}"


def _draw_conditions(overrides: dict[str, Any]) -> str:
    from fpgan_jax.synthesis import conditions

    _check_absent(
        (_NUM_IMAGES, _SHARD_SIZE, _FORMAT, _PAIRED_DIR), "does nothing beside --condition_dir; leave it out"
    )
    rows = conditions.synthesize_conditions(
        _GAN_WORKDIR.value,
        _OUT_DIR.value,
        _CONDITION_DIR.value,
        part=_CONDITION_PART.value,
        overrides=overrides,
        step=_STEP.value,
    )
    return f"{len(rows)} images of step {rows[0].checkpoint_step} in {_OUT_DIR.value}"


def _draw_shards(num_images: int, overrides: dict[str, Any], division: dict[str, Any]) -> str:
    from fpgan_jax.synthesis import sharded

    request = sharded.Request(num_images, **division)
    step = sharded.synthesize_shards(
        _GAN_WORKDIR.value, _OUT_DIR.value, request, overrides=overrides, step=_STEP.value
    )
    num_shards = f"{request.num_shards} shard{'s' * (request.num_shards != 1)}"
    return f"{request.num_images} prints of step {step} in {num_shards} in {_OUT_DIR.value}"


def _draw_pairs(overrides: dict[str, Any], division: dict[str, Any]) -> str:
    from fpgan_jax import parallel
    from fpgan_jax.errors import UserError
    from fpgan_jax.synthesis import drawing

    if division:
        raise UserError("--shard_size, --format: apply to --num_images or --identities; give one of them")
    if not parallel.is_single_process():
        raise UserError(
            "several processes can draw together only with --num_images or --condition_dir; give one, or start one "
            "process"
        )
    rows = drawing.synthesize(
        _GAN_WORKDIR.value,
        _OUT_DIR.value,
        overrides=overrides,
        data_overrides=_list_moved(),
        step=_STEP.value,
    )
    return f"{len(rows)} prints of step {rows[0].checkpoint_step} in {_OUT_DIR.value}"


if __name__ == "__main__":
    cli.run(main, cache_near=_GAN_WORKDIR, joins_processes=True)
