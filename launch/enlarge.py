r"""Enlarge a database: train a generator from ridge maps, draw impressions and new fingers, and judge them.

python -m launch.enlarge --config=configs/enlarge_demo.py --workdir=runs/enlarge_demo \
    --config.data.socofing_dir=SOCOFING_FOLDER

Without a folder it makes procedural prints. Without NIST's programs (bash launch/setup_biometrics.sh) new fingers are
not checked, and little is judged. Ends with the picture enlarged.png and the protocol's table. An
interrupted chain resumes with the same command, and skips the stages that are done.
"""

from launch import cli

_CONFIG = cli.define_config_flag()
_WORKDIR = cli.define_path_flag("workdir", "Folder of this experiment; made if missing.", required=True)


def main() -> None:
    """Run the chain."""
    from fpgan_jax.reproduction.enlarging import enlarge_database

    print(enlarge_database(_CONFIG.value, _WORKDIR.value))


if __name__ == "__main__":
    cli.run(main, cache_near=_WORKDIR)
