"""Make procedural prints, in SOCOFing's own folders, names, sizes and BMP format.

python -m launch.make_prints --out_dir=prints --num_persons=30

Everything that reads SOCOFing reads these too. The same command completes an interrupted folder.
"""

from absl import flags

from fpgan_jax.data.procedural.files import parse_fingers, write_prints
from fpgan_jax.data.procedural.impressions import SIZES
from launch import cli

_OUT_DIR = cli.define_path_flag(
    "out_dir",
    "Folder for Real/ and Altered/; an incomplete one of the same seed and size is completed.",
    required=True,
)
_NUM_PERSONS = flags.DEFINE_integer("num_persons", 30, "Number of persons.", lower_bound=1)
_FINGERS = flags.DEFINE_list(
    "fingers",
    ["Right_index"],
    "Fingers of each person: Left_ or Right_ and thumb, index, middle, ring or little; or all.",
)
_NUM_IMPRESSIONS = flags.DEFINE_integer(
    "num_impressions",
    1,
    "Impressions per finger; those after the first go to Impressions/Impression-2/ and so on.",
    lower_bound=1,
)
_ALTERED = flags.DEFINE_bool("altered", True, "Also write the altered prints: nine files per finger.")
_SEED = flags.DEFINE_integer("seed", 0, "Seed of the whole set.", lower_bound=0)
_SIZE = flags.DEFINE_enum("size", "96x103", list(SIZES), "Width x height of the files, pixels.")
_NUM_WORKERS = flags.DEFINE_integer("num_workers", 1, "Number of processes.", lower_bound=1)


def main() -> None:
    """Write the prints that the flags describe."""
    num_written = write_prints(
        _OUT_DIR.value,
        num_persons=_NUM_PERSONS.value,
        hands_and_fingers=parse_fingers(_FINGERS.value),
        num_impressions=_NUM_IMPRESSIONS.value,
        altered=_ALTERED.value,
        seed=_SEED.value,
        size=_SIZE.value,
        num_workers=_NUM_WORKERS.value,
    )
    print(f"{num_written} files written to {_OUT_DIR.value}")


if __name__ == "__main__":
    cli.run(main)
