r"""Measure whether more prints help to train a recognizer, tested on fingers and a sensor that it never saw.

python -m launch.measure_recognition --real=lindex=prints/lindex@500 --num_fingers=20 --num_impressions=2 \
    --more_impressions=enlarged=runs/enlarged@238.7 --more_fingers=new=runs/new@238.7 --together=enlarged+new \
    --tests=uareu=prints/uareu@512,crossmatch=prints/crossmatch@500 --out_dir=runs/recognition

A set is NAME=FOLDER@PPI: a folder of <finger>_<impression>.png and its pixels per inch, or ACROSSxDOWN if they differ,
as in SOCOFing's prints at 128x128. Commas separate sets. A small network is trained for equal numbers of steps on
the few real prints, with classical augmentation, with each set, and on all real prints of the folder. Writes
recognition.txt, .md, .csv, .tex and .png, the differences as recognition_differences.*, and results.csv with one row
per arm, seed, test set and finger. An interrupted experiment resumes with the same command.
"""

from absl import flags

from fpgan_jax.errors import UserError
from launch import cli

_REAL = flags.DEFINE_string("real", None, "Real prints to train on, NAME=FOLDER@PPI.", required=True)
_TESTS = flags.DEFINE_multi_string(
    "tests", None, "Test sets, of fingers and sensors that are not trained on.", required=True
)
_NUM_FINGERS = flags.DEFINE_integer("num_fingers", 20, "Real fingers to train on.", lower_bound=2)
_NUM_IMPRESSIONS = flags.DEFINE_integer(
    "num_impressions", 2, "Maximum impressions per real finger.", lower_bound=1
)
_MORE_IMPRESSIONS = flags.DEFINE_multi_string(
    "more_impressions", [], "Sets of further prints of these fingers, with the same finger numbers."
)
_MORE_FINGERS = flags.DEFINE_multi_string("more_fingers", [], "Sets of other fingers.")
_TOGETHER = flags.DEFINE_multi_string(
    "together", [], "Sets to also train on together, their names joined with +."
)
_NUM_PROCEDURAL = flags.DEFINE_integer(
    "num_procedural", 150, "Fingers of an additional set of procedural prints; 0 for none.", lower_bound=0
)
_PROCEDURAL_IMPRESSIONS = flags.DEFINE_integer(
    "procedural_impressions", 4, "Impressions per procedural finger.", lower_bound=1
)
_NUM_STEPS = flags.DEFINE_integer("num_steps", 400, "Training steps of every recognizer.", lower_bound=1)
_BATCH_SIZE = flags.DEFINE_integer("batch_size", 48, "Prints per step.", lower_bound=1)
_LEARNING_RATE = flags.DEFINE_float("learning_rate", 2e-3, "Initial learning rate.", lower_bound=0.0)
_SEEDS = cli.define_seeds_flag("seeds", "0,1,2,3,4", "Seeds of the recognizer; use at least five.")
_OUT_DIR = cli.define_path_flag("out_dir", "Folder of this experiment; created if missing.", required=True)


def main() -> None:
    """Measure and print."""
    from fpgan_jax.evaluation.recognition import experiment
    from fpgan_jax.evaluation.recognition.print_sets import parse_places
    from fpgan_jax.evaluation.recognition.training import Settings

    if len(real := parse_places([_REAL.value], "real")) != 1:
        raise UserError(f"--real={_REAL.value}: takes one set; use --more_fingers for others")
    request = experiment.Request(
        real=real[0],
        tests=parse_places(_TESTS.value, "tests"),
        num_fingers=_NUM_FINGERS.value,
        num_impressions=_NUM_IMPRESSIONS.value,
        more_impressions=parse_places(_MORE_IMPRESSIONS.value, "more_impressions"),
        more_fingers=parse_places(_MORE_FINGERS.value, "more_fingers"),
        together=[names.split("+") for text in _TOGETHER.value for names in text.split(",")],
        num_procedural=_NUM_PROCEDURAL.value,
        procedural_impressions=_PROCEDURAL_IMPRESSIONS.value,
        seeds=_SEEDS.value,
    )
    settings = Settings(
        num_steps=_NUM_STEPS.value, batch_size=_BATCH_SIZE.value, learning_rate=_LEARNING_RATE.value
    )
    print(experiment.measure_recognition(request, _OUT_DIR.value, settings))


if __name__ == "__main__":
    cli.run(main, cache_near=_OUT_DIR)
