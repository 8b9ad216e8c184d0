r"""Start a run from the weights of another project.

python -m launch.import_weights --from=pytorch_pix2pix --generator=latest_net_G.pth --discriminator=latest_net_D.pth \
    --config=configs/pairs.py --config.data.paired_dir=FOLDER --workdir=runs/imported
python -m launch.import_weights --from=keras_xception --classifier=xception.weights.h5 \
    --config=configs/pix2pix_socofing.py --config.data.socofing_dir=SOCOFING_FOLDER --workdir=runs/classifier

The workdir becomes one of launch.train_gan or launch.train_classifier at step 0, which can continue from it;
launch.synthesize can draw with it. Without --discriminator, D is initialized at random.
"""

from absl import flags

from launch import cli

_FROM = flags.DEFINE_enum(
    "from", None, ["pytorch_pix2pix", "keras_xception"], "Project that the files come from.", required=True
)
_GENERATOR = cli.define_path_flag("generator", "pytorch_pix2pix: file of G, latest_net_G.pth.")
_DISCRIMINATOR = cli.define_path_flag("discriminator", "pytorch_pix2pix: file of D, latest_net_D.pth.")
_CLASSIFIER = cli.define_path_flag(
    "classifier", "keras_xception: file of the classifier, .weights.h5, .h5 or .keras."
)
_CONFIG = cli.define_config_flag()
_WORKDIR = cli.define_path_flag("workdir", "Folder of the run; created if missing.", required=True)


def main() -> None:
    """Import the weights."""
    if _FROM.value == "pytorch_pix2pix":
        cli.require_flag(_GENERATOR)
        from third_party.pytorch_pix2pix import runs as pix2pix_runs

        pix2pix_runs.import_run(_CONFIG.value, _WORKDIR.value, _GENERATOR.value, _DISCRIMINATOR.value)
    else:
        cli.require_flag(_CLASSIFIER)
        from third_party.keras_xception import runs as keras_runs

        keras_runs.import_run(_CONFIG.value, _WORKDIR.value, _CLASSIFIER.value)
    print(f"{_WORKDIR.value}: a run at step 0 with these weights")


if __name__ == "__main__":
    cli.run(main, cache_near=_WORKDIR)
