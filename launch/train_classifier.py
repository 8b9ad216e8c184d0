r"""Train Xception (experiment 2) on the real prints of the set; resumes from the last checkpoint.

python -m launch.train_classifier --config=configs/twin_p50.py \
    --config.data.socofing_dir=SOCOFING_FOLDER --workdir=runs/classifier

The same workdir with a larger config.classifier.num_steps, another learning rate, or other intervals is trained on;
--init_from=runs/other starts a new run from the weights of another one (docs/training.md).

Writes into the workdir: config.json, metrics.csv, events/ (TensorBoard), checkpoints/, and config_history.json where
the config was changed.
"""

from launch import cli

_CONFIG = cli.define_config_flag()
_WORKDIR = cli.define_path_flag("workdir", "Folder of this run; created if missing.", required=True)
_INIT_FROM = cli.define_path_flag("init_from", "Workdir of a run from whose weights a new run starts.")
_MAY_START_ANEW = cli.define_start_anew_flag()


def main() -> None:
    """Train the classifier."""
    from fpgan_jax.training import classifier_trainer

    classifier_trainer.train_and_evaluate(
        _CONFIG.value, _WORKDIR.value, may_start_anew=_MAY_START_ANEW.value, init_from=_INIT_FROM.value
    )


if __name__ == "__main__":
    cli.run(main, cache_near=_WORKDIR, joins_processes=True)
