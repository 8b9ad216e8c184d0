"""Draw synthetic prints with a trained generator: image files and their manifest.

python -m launch.synthesize --gan_workdir=runs/gan --out_dir=runs/synthetic --noise=new
python -m launch.synthesize --gan_workdir=runs/gan --out_dir=runs/million --num_images=1000000
python -m launch.synthesize --gan_workdir=runs/pairs --out_dir=runs/drawn --condition_dir=FOLDER
python -m launch.synthesize --gan_workdir=runs/enlarge_demo --out_dir=runs/fingers --identities=new --num_identities=24

One print for every training pair; any number from new noise in shards, over all devices; one for every image of a
folder of conditions, under its name; or, of a generator from ridge maps, several impressions of given prints or of new
fingers. The architecture and all that is not set here are read from
the checkpoint. An interrupted folder is completed by the same command.
"""

from absl import flags

from launch import cli

_GAN_WORKDIR = cli.define_path_flag("gan_workdir", "The workdir of launch.train_gan.", required=True)
_OUT_DIR = cli.define_path_flag("out_dir", "Folder for the images; made if missing.", required=True)
_STEP = cli.define_step_flag()
_PAIRED_DIR = cli.define_path_flag("paired_dir", "The folder of pairs, if it has moved since the training.")
_NOISE = flags.DEFINE_enum(
    "noise", None, ["training", "new"], "The noise of the training pairs, or noise never seen."
)
_DETERMINISTIC = flags.DEFINE_bool(
    "deterministic", None, "Without dropout. The paper keeps it, as Isola et al. do."
)
_USE_RUNNING_AVERAGE = flags.DEFINE_bool(
    "use_running_average", None, "Normalise by running statistics. The paper uses each image's own."
)
_USE_EMA = flags.DEFINE_bool("use_ema", None, "Draw with the moving average of the weights.")
_BATCH_SIZE = flags.DEFINE_integer(
    "batch_size", None, "Images at a time; changes a pixel in some 10,000 by one grey at most.", lower_bound=1
)
_SEED = flags.DEFINE_integer("seed", None, "Seed of dropout, and of new noise.", lower_bound=0)
_NOISE_SEED = flags.DEFINE_integer("noise_seed", None, "Seed of new noise; by default --seed.", lower_bound=0)
_IDENTITIES = flags.DEFINE_string(
    "identities",
    None,
    "Whose impressions: new (fingers that nobody has), training, a folder of <finger>_<impression>.png, or a file of "
    "launch.make_pairs --npz.",
)
_IDENTITIES_PPI = flags.DEFINE_float(
    "identities_ppi", 0.0, "Of a folder in --identities: pixels per inch of its prints.", lower_bound=0.0
)
_NUM_IDENTITIES = flags.DEFINE_integer(
    "num_identities", None, "Fingers; all of given prints by default.", lower_bound=1
)
_NUM_IMPRESSIONS = flags.DEFINE_integer(
    "num_impressions", None, "Of --identities: impressions of each finger, 6 by default.", lower_bound=1
)
_CHECK_FINGERS = flags.DEFINE_bool(
    "check_fingers", True, "Refuse new fingers that match another, a training print or its mirror image."
)
_FIGURE = cli.define_path_flag("figure", "Of --identities: a PNG to draw of up to eight fingers, a row each.")
_NUM_IMAGES = flags.DEFINE_integer("num_images", None, "Draw so many from new noise, in shards; more later.")
_SHARD_SIZE = flags.DEFINE_integer("shard_size", None, "Images a shard, a multiple of 16; 10,000 by default.")
_CONDITION_DIR = cli.define_path_flag(
    "condition_dir", "Draw from each image of this folder, which needs no targets, to a PNG of its name."
)
_CONDITION_PART = flags.DEFINE_enum(
    "condition_part",
    None,
    ["whole", "left", "right"],
    "Of --condition_dir: which part of each file is the condition; by default the whole, if it is not like a pair.",
)
_FORMAT = flags.DEFINE_string(
    "format",
    None,
    "Of --num_images and --identities, for shards: tar (webdataset), array_record (grain, TFDS), png (folders). tar is "
    "the default of --num_images, one folder that of --identities.",
)


def main(argv):
    """Draw."""
    del argv
    from fpgan_jax import parallel
    from fpgan_jax.enlarging import enlarging
    from fpgan_jax.errors import UserError
    from fpgan_jax.synthesis import conditions, drawing, sharded

    holders = (_NOISE, _DETERMINISTIC, _USE_RUNNING_AVERAGE, _USE_EMA, _BATCH_SIZE, _SEED, _NOISE_SEED)
    chosen = {holder.name: holder.value for holder in holders if holder.value is not None}
    division = {"shard_size": _SHARD_SIZE.value, "file_format": _FORMAT.value}
    division = {name: value for name, value in division.items() if value is not None}
    data = {name: path for name, path in (("paired_dir", _PAIRED_DIR.value),) if path}
    if _IDENTITIES.value is not None:
        request = enlarging.Request(
            _IDENTITIES.value,
            _NUM_IDENTITIES.value,
            _NUM_IMPRESSIONS.value or enlarging.NUM_IMPRESSIONS,
            _IDENTITIES_PPI.value,
            _CHECK_FINGERS.value,
            sharded.Request(1, **division) if division else None,
        )
        line = enlarging.enlarge(
            _GAN_WORKDIR.value,
            _OUT_DIR.value,
            request,
            overrides=chosen,
            data_overrides=data,
            step=_STEP.value,
            figure=_FIGURE.value,
        )
        print(f"{line}, in {_OUT_DIR.value}")
        return
    for holder in (_NUM_IDENTITIES, _NUM_IMPRESSIONS, _FIGURE):
        if holder.value is not None:
            raise UserError(f"--{holder.name}: needs --identities, which says whose impressions are drawn")
    if _CONDITION_DIR.value is not None:
        for holder in (_NUM_IMAGES, _SHARD_SIZE, _FORMAT, _PAIRED_DIR):
            if holder.value is not None:
                raise UserError(f"--{holder.name}: does nothing beside --condition_dir; leave it out")
        rows = conditions.synthesize_conditions(
            _GAN_WORKDIR.value,
            _OUT_DIR.value,
            _CONDITION_DIR.value,
            part=_CONDITION_PART.value,
            overrides=chosen,
            step=_STEP.value,
        )
        print(f"{len(rows)} images of step {rows[0].checkpoint_step} in {_OUT_DIR.value}")
        return
    if _CONDITION_PART.value is not None:
        raise UserError("--condition_part: needs --condition_dir, the folder of conditions")
    if _NUM_IMAGES.value is not None:
        request = sharded.Request(_NUM_IMAGES.value, **division)
        step = sharded.synthesize_shards(
            _GAN_WORKDIR.value, _OUT_DIR.value, request, overrides=chosen, step=_STEP.value
        )
        print(
            f"{request.num_images} prints of step {step} in {request.num_shards} "
            f"shard{'s' * (request.num_shards != 1)} in {_OUT_DIR.value}"
        )
        return
    if division:
        raise UserError(
            "--shard_size, --format: divide the images of --num_images or --identities; give one of them"
        )
    if not parallel.is_single_process():
        raise UserError(
            "several processes draw together with --num_images or --condition_dir only; give one, or start one process"
        )
    rows = drawing.synthesize(
        _GAN_WORKDIR.value, _OUT_DIR.value, overrides=chosen, data_overrides=data, step=_STEP.value
    )
    print(f"{len(rows)} prints of step {rows[0].checkpoint_step} in {_OUT_DIR.value}")


if __name__ == "__main__":
    cli.run(main, cache_near=_GAN_WORKDIR, joins_processes=True)
