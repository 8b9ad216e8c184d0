"""Owns the chain from a config to an enlarged database: a generator, impressions, new fingers, a picture, the protocol.

Does not own what a stage does, or when it is done (`stages.py`).
"""

import dataclasses
import functools
import os
import pathlib
from typing import Any

import numpy as np
from ml_collections import ConfigDict

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
from fpgan_jax.host.cores import count_cores
from fpgan_jax.reproduction.chain import check_gan, create_source, create_training_stage
from fpgan_jax.reproduction.stages import Stage, check_workdir, describe_files, hold_experiment, run_stages
from fpgan_jax.scoring import figures
from fpgan_jax.synthesis import manifest
from fpgan_jax.tables import formats

# All that the protocol asks.
FAMILIES = ("identity", "uniqueness", "leakage", "minutiae", "variation", "quality", "distribution")
_DESCRIPTIONS = {
    "real": "the prints that impressions were drawn of, and prints of the training",
    "real_held_out": "other real impressions of these fingers, which the generator never saw",
    "real_others": "real prints of persons whom the generator never saw, and of whom nothing was drawn",
}
_FILES = {
    "enlarged.png": "per finger its print, its ridge map, impressions; first fingers that never trained, then new ones",
    "protocol.{txt,md,csv,tex}": "the table above",
    "more_impressions/": "prints of fingers that never trained, with their manifest",
    "new_fingers/": "prints of new fingers; fingers.csv has which were refused",
    "rows/": "every number behind the table",
    "gan/": "the generator: config, metrics, TensorBoard events, samples, checkpoints",
}
# If the config names no folder of prints: persons with ten fingers each, and how often each print is in an epoch, so
# that the training is as long as with SOCOFing's.
_NUM_PROCEDURAL_PERSONS, _NUM_PROCEDURAL_REPLICAS = 40, 30


@dataclasses.dataclass(frozen=True)
class Sizes:
    """How much is drawn and judged.

    Attributes:
      num_given: fingers that never trained, of which impressions are drawn.
      num_new: new fingers.
      num_impressions: impressions per finger of either kind.
      num_training: training prints to compare with, one per finger. Together with the given ones 78 are needed for a
        false accept rate of 0.1%.
      num_strangers: fingers that never trained and of which nothing is drawn.
      num_rows: rows of the picture for given, and for new fingers.
    """

    num_given: int = 40
    num_new: int = 24
    num_impressions: int = 6
    num_training: int = 50
    num_strangers: int = 30
    num_rows: int = 4


def enlarge_database(config: ConfigDict, workdir: str, sizes: Sizes = Sizes()) -> str:
    """Train a generator from ridge maps, enlarge a database and judge it; skip what is done.

    Everything that a user can get wrong is checked before the first stage.

    Args:
      config: config of the experiment; without `data.socofing_dir` procedural prints are made in the workdir.
      workdir: folder of the experiment; created if missing.
      sizes: how much is drawn and judged.

    Returns:
      The text to show: the protocol's table, and the list of files.

    Raises:
      UserError: the config, the data or the workdir is not valid.
    """
    config = make_prints(config, workdir)
    with hold_experiment(config, workdir, _check_enlarging(config, workdir)):
        run_stages(_create_stages(config, workdir, sizes), config, workdir)
    table = pathlib.Path(workdir, "protocol.txt").read_text("utf-8")
    return f"\n{table}\n{describe_files(workdir, _FILES)}"


def make_prints(config: ConfigDict, workdir: str) -> ConfigDict:
    """Make procedural prints in the workdir if the config names no folder, and return the config with their folder.

    It completes them after an interruption.

    Raises:
      UserError: the config is not valid.
    """
    check_names(config)
    if config.data.source != "socofing" or config.data.socofing_dir:
        return config
    config = config.copy_and_resolve_references()
    folder = os.path.join(workdir, "procedural_prints")
    config.data.socofing_dir = folder
    config.data.num_replicas = _NUM_PROCEDURAL_REPLICAS
    _check_config(config)
    print(
        f"config.data.socofing_dir names no folder: procedural prints of {_NUM_PROCEDURAL_PERSONS} persons in "
        f"{folder}, each {_NUM_PROCEDURAL_REPLICAS} times",
        flush=True,
    )
    write_prints(
        folder,
        num_persons=_NUM_PROCEDURAL_PERSONS,
        hands_and_fingers=parse_fingers(["all"]),
        altered=False,
        num_workers=count_cores(),
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
            "config.data.num_held_out_persons=0: no person is left to judge by; keep ten from the training"
        )
    check_gan(config)


def _check_enlarging(config: ConfigDict, workdir: str) -> str:
    """Check everything that would otherwise fail only after the training; return the hash of the data."""
    _check_config(config)
    data_hash = create_source(feeding.create_gan_source, config).data_hash
    check_workdir(config, workdir, data_hash)
    return data_hash


def _create_stages(config: ConfigDict, workdir: str, sizes: Sizes) -> list[Stage]:
    gan = os.path.join(workdir, "gan")

    @functools.cache
    def create_requests() -> dict[str, enlarging.Request]:
        return _create_requests(config, sizes)

    def create_drawing_stage(stage: str, name: str) -> Stage:
        def draw() -> None:
            out_dir, request = os.path.join(workdir, name), create_requests()[name]
            print(enlarging.enlarge(gan, out_dir, request, **_create_overrides(config)), flush=True)

        return Stage(stage, draw, (f"{name}/{manifest.MANIFEST_FILENAME}",))

    def draw_figure() -> None:
        _draw_figure(config, gan, create_requests(), sizes, os.path.join(workdir, "enlarged.png"))

    return [
        create_training_stage("train the generator", config, workdir),
        create_drawing_stage("draw more impressions of fingers that never trained", "more_impressions"),
        create_drawing_stage("draw new fingers", "new_fingers"),
        Stage("draw the picture", draw_figure, ("enlarged.png",)),
        Stage(
            "judge them",
            lambda: _judge(config, workdir, sizes),
            tuple(f"protocol.{ending}" for ending in formats.FORMATS),
            fields=("evaluation.",),
        ),
    ]


def _create_requests(config: ConfigDict, sizes: Sizes) -> dict[str, enlarging.Request]:
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
    """Return (fingers to draw impressions of, strangers); neither trained."""
    held_out = print_loading.list_strangers(config)
    num_given = min(sizes.num_given, (len(held_out) + 1) // 2)
    return held_out[:num_given], held_out[num_given : num_given + sizes.num_strangers]


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
        # Evenly spaced, because neighbors belong to the same person.
        chosen = _space_evenly(enlargement.source.fingers, sizes.num_rows)
        for title, tiles in enlarging.draw_tiles(enlargement, chosen, sizes.num_impressions).items():
            columns.setdefault(title, []).extend(tiles)
    figures.draw_columns(columns, path)


def _space_evenly(values: Any, number: int) -> Any:
    return values[:: max(1, len(values) // number)][:number]


def _judge(config: ConfigDict, workdir: str, sizes: Sizes) -> None:
    """Answer the questions of the protocol for both folders; write the table and rows/."""
    judged = create_study(config, workdir, sizes)
    plan = EvaluationPlan(config, (), ())
    persons = {int(person) for collection in judged.collections.values() for person in collection.persons}
    families = evaluate.create_families(plan, persons)
    findings, _ = kept_findings.measure_families(judged, families, os.path.join(workdir, "rows"), "protocol")
    table = protocol.create_table(judged, findings)
    assert table is not None  # every finger is drawn several times
    formats.write_table(workdir, "protocol", table.header, table.cells)


def create_study(config: ConfigDict, workdir: str, sizes: Sizes) -> Study:
    """Collect what is judged and what it is compared with.

    Returns:
      "real", the prints that impressions were drawn of, and training prints; "real_held_out", other impressions of
      these fingers, if there are any; "real_others", prints of strangers; "more_impressions" and "new_fingers".
    """
    given, strangers = _choose_fingers(config, sizes)
    training = print_loading.load_prints(config)
    own = [*given, *map(int, _space_evenly(training.persons, sizes.num_training))]
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
