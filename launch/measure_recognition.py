r"""Measure whether more prints help to train a recogniser of fingers and a sensor that it never saw.

python -m launch.measure_recognition --real=lindex=prints/lindex@500 --num_fingers=20 --num_impressions=2 \
    --more_impressions=enlarged=runs/enlarged@238.7 --more_fingers=new=runs/new@238.7 --together=enlarged+new \
    --tests=uareu=prints/uareu@512,crossmatch=prints/crossmatch@500 --out_dir=runs/recognition

A set is NAME=FOLDER@PPI, a folder of <finger>_<impression>.png and its pixels per inch, or ACROSSxDOWN where they
differ; several have commas between them. A small network is trained for the same number of
steps on the few real prints as they are, with classical augmentation, with each set, and on all real prints of the
folder. Writes recognition.txt, .md, .csv, .tex and .png, the differences as recognition_differences.*, and results.csv
with a row an arm, seed, test set and finger. Stop it at will: the same command goes on where it stopped.
"""

from absl import flags

from fpgan_jax.errors import UserError
from launch import cli

_REAL = flags.DEFINE_string("real", None, "The real prints that train, NAME=FOLDER@PPI.", required=True)
_TESTS = flags.DEFINE_multi_string(
    "tests", None, "Sets of fingers and sensors that nothing trains on.", required=True
)
_NUM_FINGERS = flags.DEFINE_integer("num_fingers", 20, "Real fingers that train.", lower_bound=2)
_NUM_IMPRESSIONS = flags.DEFINE_integer("num_impressions", 2, "Of each, at most.", lower_bound=1)
_MORE_IMPRESSIONS = flags.DEFINE_multi_string(
    "more_impressions", [], "Sets of further prints of these fingers, under their own numbers."
)
_MORE_FINGERS = flags.DEFINE_multi_string("more_fingers", [], "Sets of other fingers.")
_TOGETHER = flags.DEFINE_multi_string(
    "together", [], "Sets that also train together, their names with + between."
)
_NUM_PROCEDURAL = flags.DEFINE_integer(
    "num_procedural", 150, "Fingers of the procedural renderer, as one more set; 0 for none.", lower_bound=0
)
_PROCEDURAL_IMPRESSIONS = flags.DEFINE_integer(
    "procedural_impressions", 4, "Impressions of each of these.", lower_bound=1
)
_NUM_STEPS = flags.DEFINE_integer("num_steps", 400, "Training steps of every recogniser.", lower_bound=1)
_BATCH_SIZE = flags.DEFINE_integer("batch_size", 48, "Prints a step.", lower_bound=1)
_LEARNING_RATE = flags.DEFINE_float("learning_rate", 2e-3, "At the start of a training.", lower_bound=0.0)
_SEEDS = cli.define_seeds_flag("seeds", "0,1,2,3,4", "Seeds of the recogniser; five say something.")
_OUT_DIR = cli.define_path_flag("out_dir", "Folder of this experiment; made if missing.", required=True)


def main(argv: list[str]) -> None:
    """Measure and print."""
    del argv
    from fpgan_jax.evaluation.recognition import experiment
    from fpgan_jax.evaluation.recognition.print_sets import parse_places
    from fpgan_jax.evaluation.recognition.training import Settings

    if len(real := parse_places([_REAL.value], "real")) != 1:
        raise UserError(f"--real={_REAL.value}: one set trains; name others under --more_fingers")
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
