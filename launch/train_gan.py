r"""Train the GAN (experiment 1); resumes from the last checkpoint in the workdir.

python -m launch.train_gan --config=configs/twin_p50.py --config.data.socofing_dir=SOCOFING_FOLDER \
    --workdir=runs/gan --config.lambda_l1=50
python -m launch.train_gan --config=configs/pairs.py --config.data.paired_dir=FOLDER --workdir=runs/pairs

The same workdir with a larger config.num_epochs, another learning rate, or other intervals is trained on;
--init_from=runs/other starts a new run from the weights of another one (docs/training.md).

Writes into the workdir: config.json, metrics.csv, events/ (TensorBoard), samples/epoch_NNNN.png
(condition, generated, real), checkpoints/, and config_history.json where the config was changed; of a folder of pairs
with val/ or test/ also validation.csv and samples/validation_epoch_NNNN.png.
"""

from launch import cli

_CONFIG = cli.define_config_flag()
_WORKDIR = cli.define_path_flag("workdir", "Folder of this run; created if missing.", required=True)
_INIT_FROM = cli.define_path_flag("init_from", "Workdir of a run from whose weights a new run starts.")
_MAY_START_ANEW = cli.define_start_anew_flag()


def main() -> None:
    """Train the GAN."""
    from fpgan_jax.training import gan_trainer

    gan_trainer.train_and_evaluate(
        _CONFIG.value, _WORKDIR.value, may_start_anew=_MAY_START_ANEW.value, init_from=_INIT_FROM.value
    )


if __name__ == "__main__":
    cli.run(main, cache_near=_WORKDIR, joins_processes=True)
