r"""Ask everything of prints that enlarge a database, beside real prints, peers and controls: docs/protocol.md.

python -m launch.measure_protocol --config=configs/enlarge_demo.py --config.data.socofing_dir=SOCOFING_FOLDER \
    --real=lindex=prints/lindex@500,uareu=prints/uareu@512 --gan_workdir=runs/enlarge_demo/gan \
    --more_impressions=ours=lindex:runs/more_lindex@238,ours=uareu:runs/more_uareu@238 \
    --more_fingers=ours=runs/new@238,sfinge=prints/fvc2002_db4_sfinge@500 --out_dir=runs/protocol

A set is NAME=FOLDER@PPI, a folder of <finger>_<impression>.png and its pixels per inch (or ACROSSxDOWN); several have
commas between them. Writes protocol_more_impressions and protocol_new_fingers as .txt, .md, .csv and .tex. An
interrupted measurement resumes with the same command.
"""

from absl import flags

from launch import cli

_CONFIG = cli.define_config_flag()
_REAL = flags.DEFINE_multi_string(
    "real", None, "Sets of real fingers, several impressions each, that no generator saw.", required=True
)
_MORE_IMPRESSIONS = flags.DEFINE_multi_string(
    "more_impressions",
    [],
    "Further impressions of these, drawn from each finger's first: NAME=REAL:FOLDER@PPI, REAL being a name of --real. "
    "Sets of one NAME are judged together.",
)
_MORE_FINGERS = flags.DEFINE_multi_string("more_fingers", [], "Sets of new fingers.")
_GAN_WORKDIR = cli.define_path_flag(
    "gan_workdir",
    "What drew the first of --more_impressions, for the controls in its poses.",
    default="",
    may_be_empty=True,
)
_RECOGNITION = cli.define_path_flag(
    "recognition",
    "The results.csv of launch.measure_recognition, its arms named as the sets.",
    default="",
    may_be_empty=True,
)
_NUM_FINGERS = flags.DEFINE_integer("num_fingers", 40, "Of each real set, the first.", lower_bound=2)
_NUM_IMPRESSIONS = flags.DEFINE_integer("num_impressions", 3, "Of each real finger, at most.", lower_bound=2)
_NUM_SYNTHETIC = flags.DEFINE_integer("num_synthetic", 4, "Of each synthetic finger, at most.", lower_bound=1)
_NUM_NEW_FINGERS = flags.DEFINE_integer(
    "num_new_fingers", 48, "Of each set of new fingers, at most.", lower_bound=2
)
_NUM_PROCEDURAL = flags.DEFINE_integer(
    "num_procedural",
    48,
    "New fingers of the procedural renderer, as one more set; 0 for none.",
    lower_bound=0,
)
_NUM_TRAINING = flags.DEFINE_integer(
    "num_training", 100, "Training prints, and strangers', that new fingers are compared with.", lower_bound=2
)
_MAX_OTHERS = flags.DEFINE_integer(
    "max_others", 20, "Prints of other fingers that each is compared with.", lower_bound=2
)
_MAX_PPI = flags.DEFINE_float(
    "max_ppi",
    0.0,
    "Pixels per inch to which sharper prints are reduced, real ones too; 0 is the resolution of the first synthetic "
    "set, 500 leaves real prints as sharp as they are.",
    lower_bound=0.0,
)
_OUT_DIR = cli.define_path_flag("out_dir", "Gets the tables and all rows.", required=True)


def main() -> None:
    """Measure and print."""
    from fpgan_jax.evaluation.enlargement import experiment, print_folders
    from fpgan_jax.evaluation.recognition.print_sets import parse_places

    real = parse_places(_REAL.value, "real")
    posed = parse_places(_MORE_IMPRESSIONS.value, "more_impressions")
    request = print_folders.Request(
        real=real,
        more_impressions=print_folders.parse_posed(posed, [place.name for place in real]),
        more_fingers=parse_places(_MORE_FINGERS.value, "more_fingers"),
        num_fingers=_NUM_FINGERS.value,
        num_impressions=_NUM_IMPRESSIONS.value,
        num_synthetic=_NUM_SYNTHETIC.value,
        num_new_fingers=_NUM_NEW_FINGERS.value,
        num_procedural=_NUM_PROCEDURAL.value,
        num_training=_NUM_TRAINING.value,
        max_ppi=_MAX_PPI.value,
    )
    text = experiment.measure_protocol(
        request,
        _CONFIG.value,
        _OUT_DIR.value,
        gan_workdir=_GAN_WORKDIR.value,
        recognition_csv=_RECOGNITION.value,
        max_others=_MAX_OTHERS.value,
    )
    print(text)


if __name__ == "__main__":
    cli.run(main, cache_near=_OUT_DIR)
