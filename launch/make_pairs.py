r"""Write the training set as PNG files of [noise | print], or the prints of all persons as one .npz file, or both.

python -m launch.make_pairs --config=configs/pix2pix_socofing.py \
    --config.data.socofing_dir=SOCOFING_FOLDER --out_dir=pairs --npz=prints.npz

--out_dir gets train/PERSON_REPLICA.png, in the format of pix2pix's "aligned" loader. --npz gets the preprocessed prints
of the configured finger, real and altered, of all persons in the folder or of the first --npz_num_persons. With
config.data.source=npz and config.data.npz_file=prints.npz everything runs without the folder and without TensorFlow.
"""

from absl import flags

from launch import cli

_CONFIG = cli.define_config_flag()
_OUT_DIR = cli.define_path_flag("out_dir", "Folder for the files of the pairs; created if missing.")
_NPZ = cli.define_path_flag("npz", "File for the prints of all persons; an existing one is replaced.")
_NPZ_NUM_PERSONS = flags.DEFINE_integer(
    "npz_num_persons", None, "For --npz: number of persons, those with the lowest ids.", lower_bound=1
)


def main() -> None:
    """Write the pairs, the prints, or both."""
    from fpgan_jax.config.checks import validate_config
    from fpgan_jax.data import pair_writing, print_loading
    from fpgan_jax.errors import UserError

    if not (_OUT_DIR.value or _NPZ.value):
        raise UserError("--out_dir, --npz: neither is given; name a folder for pairs or a file for prints")
    if _NPZ_NUM_PERSONS.value and not _NPZ.value:
        raise UserError("--npz_num_persons: limits the persons of --npz, which is not given")
    validate_config(_CONFIG.value)
    if _NPZ.value:
        num_prints = print_loading.write_archive(
            _CONFIG.value, _NPZ.value, num_persons=_NPZ_NUM_PERSONS.value
        )
        print(f"{num_prints} prints in {_NPZ.value}")
    if _OUT_DIR.value:
        config = print_loading.resolve_num_channels(_CONFIG.value)
        pair_writing.write_pairs(print_loading.create_pairs(config), _OUT_DIR.value)


if __name__ == "__main__":
    cli.run(main)
