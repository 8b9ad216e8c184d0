"""Make table 2 with our numbers and the paper's, from the scores of one or several sets.

python -m launch.make_table --scores=runs/p50/scores.csv,runs/p100/scores.csv --out_dir=runs/tables

Writes table2 and controls as .txt, .md, .csv and .tex, and prints both.
"""

from absl import flags

from launch import cli

_SCORES = cli.define_paths_flag("scores", "CSV files of launch.score_similarity, one per set.", required=True)
_OUT_DIR = cli.define_path_flag("out_dir", "Folder for the tables; created if missing.", required=True)
_STD_OVER = flags.DEFINE_enum(
    "std_over",
    "persons",
    ["persons", "images"],
    "Standard deviation over the means of the persons, or over all images. The paper does not say which.",
)
_STD_DDOF = flags.DEFINE_integer(
    "std_ddof", 0, "0 divides the squared deviations by n, 1 by n - 1.", lower_bound=0, upper_bound=1
)


def main() -> None:
    """Make the table."""
    from fpgan_jax.scoring import table2

    print(
        table2.write_tables(_SCORES.value, _OUT_DIR.value, std_over=_STD_OVER.value, std_ddof=_STD_DDOF.value)
    )


if __name__ == "__main__":
    cli.run(main)
