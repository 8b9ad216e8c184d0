"""Owns the chain from a config to an enlarged database: a generator, impressions, new fingers, a picture, the protocol.

Does not own the stages' machinery (`chain.py`), or what a stage does.
"""

import dataclasses
import functools
import os
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from fpgan_jax import parallel
from fpgan_jax.config.checks import check_names, validate_config
from fpgan_jax.config.fields import PLACE_FIELDS
from fpgan_jax.data import feeding, print_loading
from fpgan_jax.data.procedural.files import parse_fingers, write_prints
from fpgan_jax.enlarging import enlarging, finger_sources
from fpgan_jax.errors import UserError
from fpgan_jax.evaluation import evaluate, kept_findings
from fpgan_jax.evaluation.matcher import nist_tools
from fpgan_jax.evaluation.plan import EvaluationPlan
from fpgan_jax.evaluation.report import protocol
from fpgan_jax.evaluation.study import loading, print_collection
from fpgan_jax.evaluation.study.print_collection import PrintCollection, Study
from fpgan_jax.models import factory
from fpgan_jax.reproduction import chain
from fpgan_jax.reproduction.chain import Stage
from fpgan_jax.scoring import figures
from fpgan_jax.synthesis import drawing
from fpgan_jax.tables import formats
from fpgan_jax.training import gan_trainer

FIGURE_FILENAME = "enlarged.png"
# All that the protocol asks.
FAMILIES = ("identity", "uniqueness", "leakage", "minutiae", "variation", "quality", "distribution")
_DESCRIPTIONS = {
    "real": "the prints that impressions were drawn of, and prints of the training",
    "real_held_out": "other real impressions of these fingers, which the generator never saw",
    "real_others": "real prints of persons whom the generator never saw, and of whom nothing was drawn",
}
_PROCEDURAL_FOLDER = "procedural_prints"
_PLACES = {
    "enlarged.png": "a row a finger: its print, its ridge map, impressions; fingers that never trained, then new ones",
    "protocol.{txt,md,csv,tex}": "the table above",
    "more_impressions/": "prints of fingers that never trained, with their manifest",
    "new_fingers/": "prints of new fingers; fingers.csv has which were refused",
    "rows/": "every number behind the table",
    "gan/": "the generator: config, metrics, TensorBoard events, samples, checkpoints",
}


@dataclasses.dataclass(frozen=True)
class Sizes:
    """How much is drawn and judged.

    Attributes:
      num_given: fingers that never trained, of which impressions are drawn.
      num_new: new fingers.
      num_impressions: of each of both.
      num_training: training prints, one a finger, beside the given ones, that prints are compared with. Together 78 are
        needed for a false accept rate of 0.1%.
      num_strangers: fingers that never trained and of which nothing is drawn.
      num_rows: of the picture, for given and for new fingers.
      num_procedural_persons: where no folder of prints is given; each has ten fingers.
      num_procedural_replicas: of each of their prints, so that as much is learnt from few as from SOCOFing's.
    """

    num_given: int = 40
    num_new: int = 24
    num_impressions: int = 6
    num_training: int = 50
    num_strangers: int = 30
    num_rows: int = 4
    num_procedural_persons: int = 40
    num_procedural_replicas: int = 30


def enlarge_database(config: ConfigDict, workdir: str, sizes: Sizes = Sizes()) -> str:
    """Train a generator from ridge maps and show what it is worth; skip what is done.

    Everything that a user can get wrong is checked before the first stage.

    Args:
      config: the experiment's config; without `data.socofing_dir` procedural prints are made in the workdir.
      workdir: where everything goes.
      sizes: how much is drawn and judged.

    Returns:
      The text to show: the protocol's table, and where everything lies.

    Raises:
      UserError: the config, the data or the workdir is not as it must be.
    """
    config = make_prints(config, workdir, sizes)
    with chain.hold_experiment(config, workdir, check_enlarging):
        chain.run_stages(create_stages(config, workdir, sizes), config, workdir)
    return _describe(workdir)


def make_prints(config: ConfigDict, workdir: str, sizes: Sizes) -> ConfigDict:
    """Make procedural prints if the config names no folder of SOCOFing's; complete them if they were interrupted.

    Args:
      config: the experiment's config.
      workdir: gets them.
      sizes: says how many.

    Returns:
      The config, with the folder of these prints.

    Raises:
      UserError: the config is not as it must be.
    """
    check_names(config)
    if config.data.source != "socofing" or config.data.socofing_dir:
        return config
    config = config.copy_and_resolve_references()
    folder = os.path.join(workdir, _PROCEDURAL_FOLDER)
    config.data.socofing_dir = folder
    config.data.num_replicas = sizes.num_procedural_replicas
    _check_config(config)
    num_persons = sizes.num_procedural_persons
    print(
        f"config.data.socofing_dir names no folder: procedural prints of {num_persons} persons in {folder}, each "
        f"{sizes.num_procedural_replicas} times",
        flush=True,
    )
    write_prints(
        folder,
        num_persons=num_persons,
        hands_and_fingers=parse_fingers(["all"]),
        altered=False,
        num_workers=parallel.count_cores(),
    )
    return config


def _check_config(config: ConfigDict) -> None:
    validate_config(config)
    if config.data.condition == "noise":
        raise UserError(
            "config.data.condition='noise': a database is enlarged from maps of its prints; use configs/enlarge_demo.py"
        )
    if not config.data.num_held_out_persons:
        raise UserError(
            "config.data.num_held_out_persons=0: nobody is left to judge by; keep ten persons from the training"
        )
    factory.create_generator(config)
    factory.create_discriminator(config)
    parallel.check_batch_size(config.global_batch_size, "config.global_batch_size")


def check_enlarging(config: ConfigDict, workdir: str) -> str:
    """Check what would otherwise show only after the training, and write nothing.

    Args:
      config: the experiment's config.
      workdir: where everything is to go.

    Returns:
      The hash of the data.

    Raises:
      UserError: the config, the data or the workdir is not as it must be.
    """
    _check_config(config)
    source = feeding.create_gan_source(config)
    if config.data.feeding == "device":
        source.check_device_size()
    chain.check_workdir(config, workdir, source.data_hash)
    return source.data_hash


def create_stages(config: ConfigDict, workdir: str, sizes: Sizes = Sizes()) -> list[Stage]:
    """List the stages.

    Args:
      config: the experiment's config.
      workdir: holds one folder or file a stage.
      sizes: how much is drawn and judged.

    Returns:
      The stages in order.
    """

    def path(name: str) -> str:
        return os.path.join(workdir, name)

    @functools.cache
    def create_requests() -> dict[str, enlarging.Request]:
        return _create_requests(config, sizes)

    def draw(name: str) -> None:
        print(_enlarge(config, path("gan"), path(name), create_requests()[name]), flush=True)

    return [
        Stage(
            "train the generator",
            lambda: gan_trainer.train_and_evaluate(config, path("gan")),
            ("gan/metrics.csv", "gan/checkpoints"),
        ),
        Stage(
            "draw more impressions of fingers that never trained",
            lambda: draw("more_impressions"),
            (f"more_impressions/{drawing.MANIFEST_FILENAME}",),
        ),
        Stage(
            "draw new fingers",
            lambda: draw("new_fingers"),
            (f"new_fingers/{drawing.MANIFEST_FILENAME}",),
        ),
        Stage(
            "draw the picture",
            lambda: _draw_figure(config, path("gan"), create_requests(), sizes, path(FIGURE_FILENAME)),
            (FIGURE_FILENAME,),
        ),
        Stage(
            "judge them",
            lambda: judge(config, workdir, sizes),
            tuple(f"protocol.{ending}" for ending in formats.FORMATS),
            fields=("evaluation.",),
        ),
    ]


def _create_requests(config: ConfigDict, sizes: Sizes) -> dict[str, enlarging.Request]:
    """Create the requests of both folders. A finger can only be refused where the matcher is installed."""
    try:
        nist_tools.find_matching_tool()
        is_checked = True
    except nist_tools.ToolError as error:
        print(f"new fingers are not checked: {error}", flush=True)
        is_checked = False
    num_given = len(_choose_fingers(config, sizes)[0])
    return {
        "more_impressions": enlarging.Request(finger_sources.HELD_OUT, num_given, sizes.num_impressions),
        "new_fingers": enlarging.Request(
            finger_sources.NEW, sizes.num_new, sizes.num_impressions, is_checked=is_checked
        ),
    }


def _choose_fingers(config: ConfigDict, sizes: Sizes) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the fingers that impressions are drawn of, and strangers; none of both trained."""
    held_out = print_loading.list_strangers(config)
    num_given = min(sizes.num_given, (len(held_out) + 1) // 2)
    return held_out[:num_given], held_out[num_given : num_given + sizes.num_strangers]


def _enlarge(config: ConfigDict, gan_workdir: str, out_dir: str, request: enlarging.Request) -> str:
    return enlarging.enlarge(gan_workdir, out_dir, request, **_create_overrides(config))


def _create_overrides(config: ConfigDict) -> dict[str, Any]:
    settings = config.synthesis.to_dict()
    return {
        "overrides": {
            name: settings[name] for name in settings if name not in ("noise", "noise_seed", "batch_size")
        },
        "data_overrides": {name: config.data[name] for name in PLACE_FIELDS},
    }


def _draw_figure(
    config: ConfigDict, gan_workdir: str, requests: dict[str, enlarging.Request], sizes: Sizes, path: str
) -> None:
    columns: dict[str, list[np.ndarray]] = {}
    for request in requests.values():
        enlargement = enlarging.open_enlargement(gan_workdir, request, **_create_overrides(config))
        fingers = enlargement.source.fingers
        # Of several persons, where the first fingers are one person's.
        chosen = fingers[:: max(1, len(fingers) // sizes.num_rows)][: sizes.num_rows]
        for title, tiles in enlarging.draw_tiles(enlargement, chosen, sizes.num_impressions).items():
            columns.setdefault(title, []).extend(tiles)
    figures.draw_columns(columns, path)


def judge(config: ConfigDict, workdir: str, sizes: Sizes) -> None:
    """Answer the protocol's questions for both folders.

    Args:
      config: the experiment's config.
      workdir: holds them; gets protocol.{txt,md,csv,tex} and rows/.
      sizes: says what they are compared with.
    """
    judged = create_study(config, workdir, sizes)
    plan = EvaluationPlan(config, (), ())
    persons = {int(person) for collection in judged.collections.values() for person in collection.persons}
    families = evaluate.create_families(plan, persons)
    findings, _ = kept_findings.measure_families(judged, families, os.path.join(workdir, "rows"), "protocol")
    table = protocol.create_table(judged, findings)
    assert table is not None  # every finger is drawn several times
    formats.write_table(workdir, "protocol", table.header, table.cells)


def create_study(config: ConfigDict, workdir: str, sizes: Sizes) -> Study:
    """Put together what is judged and what it is judged by.

    Args:
      config: the experiment's config.
      workdir: holds both folders of synthetic prints.
      sizes: as of `judge`.

    Returns:
      "real", the prints that impressions were drawn of, and training prints; "real_held_out", other impressions of
      these fingers, where there are any; "real_others", strangers'; "more_impressions" and "new_fingers".
    """
    given, strangers = _choose_fingers(config, sizes)
    training = print_loading.load_prints(config)
    # Of as many persons as there are.
    chosen = training.persons[:: max(1, len(training) // sizes.num_training)][: sizes.num_training]
    own = [*given, *map(int, chosen)]
    sets = (
        ("real", print_collection.REFERENCE, own, print_loading.TRAINING),
        ("real_held_out", print_collection.HELD_OUT, own, print_loading.HELD_OUT),
        ("real_others", print_collection.POPULATION, strangers, print_loading.EVERY),
    )
    collections = []
    for name, role, persons, impressions in sets:
        prints = print_loading.load_prints(config, persons=persons, impressions=impressions)
        if len(prints):
            collections.append(
                PrintCollection(
                    name, role, prints.images[..., 0], prints.persons, prints.filenames, _DESCRIPTIONS[name]
                )
            )
    for name in ("more_impressions", "new_fingers"):
        drawn = loading.load_print_folder(os.path.join(workdir, name), config)
        collections.append(dataclasses.replace(drawn, name=name))
    settings = config.evaluation.copy_and_resolve_references()
    settings.measures = FAMILIES
    settings.num_gallery_fingers = len(own) + len(strangers)
    return Study({each.name: each for each in collections}, settings, seed=config.seed)


def _describe(workdir: str) -> str:
    with open(os.path.join(workdir, "protocol.txt"), encoding="utf-8") as file:
        table = file.read()
    width = max(map(len, _PLACES))
    lines = [f"  {name.ljust(width)}  {meaning}" for name, meaning in _PLACES.items()]
    return "\n".join(["", table, f"Everything lies in {workdir}:", *lines])
