"""Export a trained network as files that other programs run without this package.

python -m launch.export_model --workdir=runs/gan --out=runs/served_gan --format=stablehlo

The folder --out gets the model with its weights, and model.json with its inputs and output. The input is the bytes of
images. The output is the pixels that launch.synthesize writes, or the probabilities of launch.score_similarity.
"""

from absl import flags

from launch import cli

_WORKDIR = cli.define_path_flag(
    "workdir", "Workdir of launch.train_gan or launch.train_classifier.", required=True
)
_OUT = cli.define_path_flag("out", "Folder for the model; must not exist.", required=True)
_FORMAT = flags.DEFINE_enum(
    "format",
    "stablehlo",
    ["stablehlo", "saved_model"],
    "StableHLO for jax.export, or a SavedModel for TensorFlow.",
)
_NETWORK = flags.DEFINE_enum(
    "network",
    None,
    ["generator", "generator_ema", "classifier"],
    "Network to export; by default the one that launch.synthesize or launch.score_similarity uses.",
)
_STEP = cli.define_step_flag()
_DETERMINISTIC = flags.DEFINE_bool("deterministic", None, "As in launch.synthesize.")
_USE_RUNNING_AVERAGE = flags.DEFINE_bool("use_running_average", None, "As in launch.synthesize.")


def main() -> None:
    """Export the network."""
    from fpgan_jax.serving import formats

    overrides = {
        holder.name: holder.value
        for holder in (_DETERMINISTIC, _USE_RUNNING_AVERAGE)
        if holder.value is not None
    }
    description = formats.export_model(
        _WORKDIR.value,
        _OUT.value,
        _FORMAT.value,
        network=_NETWORK.value,
        step=_STEP.value,
        overrides=overrides,
    )
    print(f"{description['network']} of step {description['checkpoint_step']} in {_OUT.value}")


if __name__ == "__main__":
    cli.run(main)
