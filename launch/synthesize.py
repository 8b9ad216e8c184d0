"""Draw synthetic prints with a trained generator: image files and their manifest.

python -m launch.synthesize --gan_workdir=runs/gan --out_dir=runs/synthetic --noise=new
python -m launch.synthesize --gan_workdir=runs/gan --out_dir=runs/million --num_images=1000000

One print for every training pair, or any number from new noise in shards, over all devices. The architecture and all
that is not set here are read from the checkpoint. An interrupted folder is completed by the same command.
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
_NUM_IMAGES = flags.DEFINE_integer("num_images", None, "Draw so many from new noise, in shards; more later.")
_SHARD_SIZE = flags.DEFINE_integer("shard_size", None, "Of --num_images: images a shard, 10,000 by default.")
_FORMAT = flags.DEFINE_string(
    "format",
    None,
    "Of --num_images: tar (the default; webdataset), array_record (grain, TFDS), png (folders).",
)


def main(argv):
    """Draw."""
    del argv
    from fpgan_jax import parallel
    from fpgan_jax.errors import UserError
    from fpgan_jax.evaluation import sharded_synthesis, synthesis

    holders = (_NOISE, _DETERMINISTIC, _USE_RUNNING_AVERAGE, _USE_EMA, _BATCH_SIZE, _SEED, _NOISE_SEED)
    chosen = {holder.name: holder.value for holder in holders if holder.value is not None}
    division = {"shard_size": _SHARD_SIZE.value, "file_format": _FORMAT.value}
    division = {name: value for name, value in division.items() if value is not None}
    if _NUM_IMAGES.value is not None:
        request = sharded_synthesis.Request(_NUM_IMAGES.value, **division)
        step = sharded_synthesis.synthesize_shards(
            _GAN_WORKDIR.value, _OUT_DIR.value, request, overrides=chosen, step=_STEP.value
        )
        print(
            f"{request.num_images} prints of step {step} in {request.num_shards} shards in {_OUT_DIR.value}"
        )
        return
    if division:
        raise UserError("--shard_size, --format: divide the images of --num_images, which is not given")
    if not parallel.is_single_process():
        raise UserError(
            "several processes draw together with --num_images only; give it, or start one process"
        )
    data = {"paired_dir": _PAIRED_DIR.value} if _PAIRED_DIR.value else {}
    rows = synthesis.synthesize(
        _GAN_WORKDIR.value, _OUT_DIR.value, overrides=chosen, data_overrides=data, step=_STEP.value
    )
    print(f"{len(rows)} prints of step {rows[0].checkpoint_step} in {_OUT_DIR.value}")


if __name__ == "__main__":
    cli.run(main, cache_near=_GAN_WORKDIR, joins_processes=True)
