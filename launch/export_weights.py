"""Export the weights of a run to a file format of another project.

python -m launch.export_weights --to=pytorch_pix2pix --workdir=runs/gan --out_dir=checkpoints/fingerprints
python -m launch.export_weights --to=keras_xception --workdir=runs/classifier --out_dir=runs/keras

pytorch_pix2pix writes latest_net_G.pth and latest_net_D.pth, and prints the options that build these networks.
keras_xception writes xception.weights.h5.
"""

from absl import flags

from launch import cli

_TO = flags.DEFINE_enum(
    "to", None, ["pytorch_pix2pix", "keras_xception"], "Project whose code reads the files.", required=True
)
_WORKDIR = cli.define_path_flag("workdir", "Folder of the run.", required=True)
_OUT_DIR = cli.define_path_flag("out_dir", "Folder for the files; created if missing.", required=True)
_STEP = cli.define_step_flag()
_USE_EMA = flags.DEFINE_bool("use_ema", False, "pytorch_pix2pix: export the moving average of G's weights.")


def main() -> None:
    """Export the weights."""
    if _TO.value == "pytorch_pix2pix":
        from third_party.pytorch_pix2pix import runs as pix2pix_runs

        print(
            pix2pix_runs.export_run(_WORKDIR.value, _OUT_DIR.value, step=_STEP.value, use_ema=_USE_EMA.value)
        )
    else:
        from third_party.keras_xception import runs as keras_runs

        print(keras_runs.export_run(_WORKDIR.value, _OUT_DIR.value, step=_STEP.value))


if __name__ == "__main__":
    cli.run(main)
