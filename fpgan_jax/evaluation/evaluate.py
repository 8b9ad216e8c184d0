"""Owns an evaluation from its plan to the report; each family's rows are kept and not made twice.

Does not own a measure (each family has its module), what is loaded (`study/loading.py`), or how it is shown
(`report/`).
"""

import datetime
import functools
import hashlib
import json
import os
import pathlib
import sys
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

import numpy as np

from fpgan_jax.config.derived import find_ppi
from fpgan_jax.config.fields import PLACE_FIELDS
from fpgan_jax.config.files import restore_config
from fpgan_jax.data import print_loading
from fpgan_jax.errors import UserError
from fpgan_jax.evaluation.controls import control_images, control_table
from fpgan_jax.evaluation.experiments import utility_table
from fpgan_jax.evaluation.matcher.matching import Matcher
from fpgan_jax.evaluation.matcher.tools import find_matchers
from fpgan_jax.evaluation.measures import features
from fpgan_jax.evaluation.measures.agreement import create_agreement_table
from fpgan_jax.evaluation.measures.families import FAMILIES, find_measure
from fpgan_jax.evaluation.measures.family import Tools, merge_findings
from fpgan_jax.evaluation.plan import EvaluationPlan
from fpgan_jax.evaluation.report import page, protocol
from fpgan_jax.evaluation.report.contents import EvaluationResults
from fpgan_jax.evaluation.statistics.seed_spread import compute_spread
from fpgan_jax.evaluation.study import loading
from fpgan_jax.evaluation.study.findings import MEASURED, SKIPPED, Findings, ImageRow, MatchRow, MeasureRow
from fpgan_jax.evaluation.study.print_collection import SYNTHETIC, PrintCollection, Study
from fpgan_jax.host import versions
from fpgan_jax.host.folder_lock import hold_folder
from fpgan_jax.host.json_file import read_json
from fpgan_jax.host.whole_file import write_whole
from fpgan_jax.synthesis import drawing
from fpgan_jax.tables.csv_rows import read_rows, write_rows
from fpgan_jax.tables.report_table import ReportTable
from fpgan_jax.training.cadence import last_step_of_epoch
from fpgan_jax.training.checkpoints.checksums import hash_variables
from fpgan_jax.training.checkpoints.restore import restore_for_evaluation

_KEY_FILENAME = "key.json"
_ROW_FILES: Mapping[str, type] = {"measures": MeasureRow, "images": ImageRow, "matches": MatchRow}


SEEDS_HEADER = (
    *("measure", "collection", "GAN seeds", "classifier seeds", "mean", "95% low", "95% high"),
    *("std GAN", "std classifier", "std rest"),
)
_SEEDS_EXPLANATION = (
    "The interval is of the mean over new seeds, for these persons. std GAN, std classifier: what the seed of either "
    "does to the number, by a two-way analysis of variance without repetition; rest: what only the two together do. "
    "Only the paper's similarity has a classifier's part."
)
# Rooms and files in which a change may change a measure.
_MEASURING = (
    *("evaluation/study", "evaluation/statistics", "evaluation/matcher", "evaluation/measures"),
    *("evaluation/controls", "evaluation/evaluate.py", "scoring/similarity.py"),
    *("data/preprocessing.py", "data/ridges"),
)
# What the provenance tells the versions of, where it is installed.
_PACKAGES = (
    *("fpgan_jax", "jax", "jaxlib", "flax", "numpy", "scipy", "scikit-image"),
    *("pillow", "nbis-python", "fingerprint-recognition"),
)


def evaluate(plan: EvaluationPlan, out_dir: str) -> str:
    """Judge synthetic prints: every measure beside real prints and controls, as one report.

    What an interrupted evaluation has measured is not measured again; neither is what has not changed since.

    Args:
      plan: what is judged.
      out_dir: gets report.html, tables as .{txt,md,csv,tex}, and rows/ with the CSV files of every family.

    Returns:
      The text to show.

    Raises:
      UserError: the prints, a folder or a classifier is not as it must be, or another process works in out_dir.
    """
    config = plan.config
    os.makedirs(out_dir, exist_ok=True)
    with hold_folder(out_dir):
        real = loading.load_real_collections(config)
        data_hash = print_loading.load_prints(config).data_hash
        drawn = [
            [loading.load_print_folder(folder, config, data_hash) for folder in folders]
            for folders in plan.synthetic_dirs
        ]
        others = next((collection for collection in real if collection.name == "real_others"), None)
        made = control_images.create_controls(real[0], others, config.data, seed=config.seed)
        create = functools.partial(_create_study, plan)
        persons = {int(person) for collection in real for person in collection.persons}
        families = create_families(plan, persons)
        first = create([*real, *drawn[0], *made], classifier=0)
        findings, seconds = measure_families(first, families, os.path.join(out_dir, "rows", "study"), "study")
        by_seed = _measure_seeds(plan, families, real, drawn, findings, out_dir)
        by_epoch = _measure_epochs(plan, families, real, data_hash, out_dir)
        seeds_table = create_seeds_table(first, by_seed)
        matchers_table = create_agreement_table(first, findings.measures, config.evaluation.matchers)
        protocol_table = protocol.create_table(first, findings)
        results = EvaluationResults(
            study=first,
            measures=findings.measures,
            images=findings.images,
            matches=findings.matches,
            measures_by_epoch=by_epoch,
            controls=control_table.create_control_table(first, findings),
            noise_images=_load_noise_images(plan, drawn[0]),
            utility=_load_utility(plan.utility_csv),
            tables=[
                *([protocol_table] if protocol_table else []),
                *([matchers_table] if matchers_table else []),
                *([seeds_table] if seeds_table.cells else []),
            ],
            provenance=_describe_run(plan, seconds),
            title=f"Synthetic fingerprints of {config.set_name}, judged",
        )
        path = page.write_report(results, out_dir)
    return f"{page.format_summary(results)}\n\nThe report, with its tables beside it: {path}"


def _create_study(plan: EvaluationPlan, collections: Iterable[PrintCollection], *, classifier: int) -> Study:
    workdirs = plan.classifier_workdirs[classifier] if plan.classifier_workdirs else ()
    return Study(
        {collection.name: collection for collection in collections},
        plan.config.evaluation,
        classifier_workdirs=workdirs,
        feature_classifier=plan.feature_classifier,
        seed=plan.config.seed,
        ppi=find_ppi(plan.config.data),
    )


def create_families(
    plan: EvaluationPlan, persons: Collection[int]
) -> Mapping[str, Callable[[Study], Findings]]:
    """Bind every family of measures to what it measures with.

    Args:
      plan: of the evaluation.
      persons: everyone of whom there is a real print.

    Returns:
      A family of `config.fields.MEASURE_FAMILIES` -> (study) -> its findings.
    """
    tools = Tools(
        plan.config.data,
        find_matchers(plan.config.evaluation.matchers),
        _create_extractor(plan, persons),
    )
    return {name: functools.partial(family.compute, tools=tools) for name, family in FAMILIES.items()}


def _create_extractor(plan: EvaluationPlan, persons: Collection[int]) -> features.FeatureExtractor | None:
    """Return the features of the classifier that was given; another finger of the same persons is another print."""
    if not plan.feature_classifier:
        return None
    _, _, metadata = restore_for_evaluation(plan.feature_classifier, ())
    trained, own = metadata["config"]["data"], plan.config.data
    is_same_finger = (trained["hand"], trained["finger"]) == (own.hand, own.finger)
    if trained["frame"] != own.frame:
        raise UserError(
            f"{plan.feature_classifier}: trained on prints with config.data.frame={trained['frame']!r}; the study's "
            f"have {own.frame!r}"
        )
    return features.create_classifier_extractor(
        plan.feature_classifier, persons if is_same_finger else (), shared_persons=persons
    )


def _measure_seeds(
    plan: EvaluationPlan,
    families: Mapping[str, Callable[[Study], Findings]],
    real: Sequence[PrintCollection],
    drawn: Sequence[Sequence[PrintCollection]],
    first: Findings,
    out_dir: str,
) -> dict[tuple[int, int], Sequence[MeasureRow]]:
    """Return (place of the GAN's seed, of the classifier's) -> rows; all families for the first classifier only."""
    found = {(0, 0): first.measures}
    num_classifiers = max(1, len(plan.classifier_workdirs))
    by_classifier = {name: families[name] for name in families if FAMILIES[name].is_by_classifier_seed}
    for gan, collections in enumerate(drawn):
        for classifier in range(num_classifiers):
            if (gan, classifier) in found:
                continue
            judged = _create_study(plan, [*real, *collections], classifier=classifier)
            name = f"gan_seed_{plan.gan_seeds[gan]}"
            if plan.classifier_seeds:
                name += f"_classifier_seed_{plan.classifier_seeds[classifier]}"
            chosen = by_classifier if classifier else families
            rows_dir = os.path.join(out_dir, "rows", name)
            found[gan, classifier] = measure_families(judged, chosen, rows_dir, name)[0].measures
    return found


def create_seeds_table(judged: Study, by_seed: Mapping[tuple[int, int], Sequence[MeasureRow]]) -> ReportTable:
    """Average every measure of synthetic prints over the seeds; no row where there is one seed of each."""
    num_gans, num_classifiers = (max(place[axis] for place in by_seed) + 1 for axis in (0, 1))
    values = {
        place: {(row.measure, row.collection): row.value for row in rows if row.status == MEASURED}
        for place, rows in by_seed.items()
    }
    cells = []
    for row in by_seed[0, 0]:
        name = (row.measure, row.collection)
        collection = judged.collections.get(row.collection)
        if collection is None or collection.role != SYNTHETIC or row.status != MEASURED:
            continue
        columns = num_classifiers if FAMILIES[row.family].is_by_classifier_seed else 1
        table = np.array(
            [[values[gan, column].get(name, np.nan) for column in range(columns)] for gan in range(num_gans)]
        )
        if table.size == 1 or not np.isfinite(table).all():
            continue
        numbers = ("-" if np.isnan(number) else f"{number:.4g}" for number in compute_spread(table))
        cells.append((*name, str(num_gans), str(columns), *numbers))
    return ReportTable("seeds", "Over seeds", _SEEDS_EXPLANATION, SEEDS_HEADER, cells)


def _measure_epochs(
    plan: EvaluationPlan,
    families: Mapping[str, Callable[[Study], Findings]],
    real: Sequence[PrintCollection],
    data_hash: str,
    out_dir: str,
) -> dict[int, Sequence[MeasureRow]]:
    """Draw prints from the checkpoints that the first GAN kept, and measure them: epoch -> rows."""
    if not plan.gan_workdir:
        return {}
    _, _, metadata = restore_for_evaluation(plan.gan_workdir, ())
    trained = restore_config(metadata, plan.gan_workdir)
    found = {}
    for epoch in sorted(epoch for epoch in trained.keep_epochs if epoch <= trained.num_epochs):
        step = last_step_of_epoch(epoch, len(metadata["pairs"]), trained.global_batch_size)
        folder = os.path.join(out_dir, "epochs", f"epoch_{epoch:04d}")
        drawing.synthesize(
            plan.gan_workdir,
            folder,
            overrides=plan.config.synthesis.to_dict() | {"noise": "training"},
            data_overrides={name: plan.config.data[name] for name in PLACE_FIELDS},
            step=step,
        )
        prints = loading.take_replicas(
            loading.load_print_folder(folder, plan.config, data_hash),
            plan.config.evaluation.num_epoch_replicas,
        )
        # With the altered impressions, too: the matcher's thresholds are set on all.
        judged = _create_study(plan, [*real, prints], classifier=0)
        rows_dir = os.path.join(out_dir, "rows", f"epoch_{epoch:04d}")
        rows = measure_families(judged, families, rows_dir, f"epoch {epoch}")[0].measures
        found[epoch] = [row for row in rows if row.collection == prints.name]
    return found


def _load_noise_images(plan: EvaluationPlan, drawn: Sequence[PrintCollection]) -> dict[str, np.ndarray]:
    noise = {
        collection.name: loading.load_noise_images(folder, plan.config)
        for collection, folder in zip(drawn, plan.synthetic_dirs[0], strict=True)
    }
    return {name: images for name, images in noise.items() if images is not None}


def _load_utility(path: str) -> Sequence[utility_table.ResultRow]:
    if not path:
        return []
    return utility_table.read_results(path)


def _describe_run(plan: EvaluationPlan, seconds: Mapping[str, float]) -> dict:
    found = {"python": sys.version.split()[0]} | {name: versions.find_package(name) for name in _PACKAGES}
    return {
        "command": " ".join(sys.argv),
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "commit": versions.find_commit(),
        "seeds": {"GAN": list(plan.gan_seeds), "classifier": list(plan.classifier_seeds)},
        "folders": {
            "synthetic prints": [list(folders) for folders in plan.synthetic_dirs],
            "classifiers": [list(workdirs) for workdirs in plan.classifier_workdirs],
            "feature classifier": plan.feature_classifier or "none",
        },
        "versions": found,
        "seconds": dict(seconds),
        "config": json.loads(plan.config.to_json_best_effort()),
    }


def measure_families(
    study: Study, families: Mapping[str, Callable[[Study], Findings]], rows_dir: str, label: str
) -> tuple[Findings, dict[str, float]]:
    """Run the families that config.evaluation.measures names, or read what an earlier run of the same study found.

    Args:
      study: what is judged.
      families: as of `create_families`.
      rows_dir: keeps a folder of CSV files a family.
      label: what the lines on standard output call the study.

    Returns:
      (all families' findings, a family -> seconds of the run that measured it).

    Raises:
      UserError: what a family raises.
    """
    findings, seconds = [], {}
    names = [name for name in families if name in study.settings.measures]
    for number, name in enumerate(names, start=1):
        folder = os.path.join(rows_dir, name)
        key = _describe_study(study, name)
        header = f"[{label}, {number}/{len(names)}] {name}"
        found = _read_findings(folder, key)
        if found is not None and not _may_have_its_tool_now(found):
            print(f"{header}: done before", flush=True)
        else:
            print(header, flush=True)
            start = time.monotonic()
            found = families[name](study)
            _write_findings(folder, found, key, round(time.monotonic() - start, 1))
        findings.append(found)
        seconds[name] = _read_json(os.path.join(folder, _KEY_FILENAME))["seconds"]
    return merge_findings(findings), seconds


def _may_have_its_tool_now(found: Findings) -> bool:
    """Say whether what lacked a tool is to be asked again: all of it did, or one of its matchers is there by now."""
    skipped = [find_measure(row.measure) for row in found.measures if row.status == SKIPPED]
    if len(skipped) == len(found.measures):
        return True
    missing = {measure.matcher for measure in skipped if measure and measure.matcher}
    return any(isinstance(matcher, Matcher) for matcher in find_matchers(sorted(missing)).values())


def _describe_study(study: Study, family: str) -> dict:
    """Name everything that a family's rows depend on."""
    digest = hashlib.sha256()
    for collection in study.collections.values():
        parts = (
            collection.name, collection.role, collection.images.shape, collection.persons.tolist(), collection.filenames
        )  # fmt: skip
        digest.update(repr(parts).encode())
        digest.update(collection.images.tobytes())
    checkpoints = []
    for workdir in filter(None, FAMILIES[family].list_networks(study)):
        # The same config and prints may give other weights: imported ones, or those of another machine.
        _, trees, _ = restore_for_evaluation(workdir, ("classifier",))
        checkpoints.append(hash_variables(trees["classifier"]))
    settings = {name: value for name, value in study.settings.to_dict().items() if name != "measures"}
    return {
        "family": family,
        "code": _hash_code(),
        "collections": digest.hexdigest(),
        "networks": checkpoints,
        "settings": json.loads(json.dumps(settings)),
        "seed": study.seed,
        "ppi": study.ppi,
    }


@functools.cache
def _hash_code() -> str:
    return hash_measuring_code(pathlib.Path(__file__).parents[1])


def hash_measuring_code(package: pathlib.Path) -> str:
    """Compute what changes with the code that measures.

    Args:
      package: the folder of `fpgan_jax`.

    Returns:
      12 hexadecimal digits.

    Raises:
      FileNotFoundError: the package has no such code; rows of old code would pass for those of new code.
    """
    digest = hashlib.sha256()
    for path in list_measuring_files(package):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def list_measuring_files(package: pathlib.Path) -> list[pathlib.Path]:
    """List the modules that measures depend on.

    Args:
      package: the folder of `fpgan_jax`.

    Returns:
      The files in a fixed order; not those that only show numbers.

    Raises:
      FileNotFoundError: a file or room is missing or empty.
    """
    files = []
    for name in _MEASURING:
        path = package / name
        found = sorted(path.rglob("*.py")) if path.is_dir() else [path]
        if not all(file.exists() for file in found) or not found:
            raise FileNotFoundError(path)
        files += found
    return files


def _read_findings(folder: str, key: dict) -> Findings | None:
    mark = _read_json(os.path.join(folder, _KEY_FILENAME))
    if mark.get("key") != key:
        return None
    rows = {}
    for name, row_type in _ROW_FILES.items():
        path = os.path.join(folder, f"{name}.csv")
        try:
            rows[name] = read_rows(path, row_type, "evaluate") if mark["num_rows"][name] else []
        except UserError:
            return None
        if len(rows[name]) != mark["num_rows"][name]:
            return None
    return Findings(**rows)


def _write_findings(folder: str, findings: Findings, key: dict, seconds: float) -> None:
    os.makedirs(folder, exist_ok=True)
    mark = os.path.join(folder, _KEY_FILENAME)
    if os.path.exists(mark):
        os.remove(mark)
    num_rows = {}
    for name in _ROW_FILES:
        rows = getattr(findings, name)
        num_rows[name] = len(rows)
        if rows:
            write_rows(os.path.join(folder, f"{name}.csv"), rows)
    with write_whole(mark) as file:
        json.dump({"key": key, "num_rows": num_rows, "seconds": seconds}, file, indent=2)


def _read_json(path: str) -> dict:
    try:
        return dict(read_json(path))
    except (OSError, ValueError, TypeError):
        return {}
