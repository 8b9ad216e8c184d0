"""Owns the findings that an evaluation keeps on disk, so that nothing is measured twice."""

import functools
import hashlib
import json
import os
import pathlib
import time
from collections.abc import Callable, Mapping

from fpgan_jax.errors import UserError
from fpgan_jax.evaluation.matcher.matching import Matcher
from fpgan_jax.evaluation.matcher.tools import find_matchers
from fpgan_jax.evaluation.measures.families import FAMILIES, find_measure
from fpgan_jax.evaluation.study.findings import (
    SKIPPED,
    Findings,
    ImageRow,
    MatchRow,
    MeasureRow,
    merge_findings,
)
from fpgan_jax.evaluation.study.print_collection import Study
from fpgan_jax.host.json_file import read_json
from fpgan_jax.host.whole_file import write_whole
from fpgan_jax.tables.csv_rows import read_rows, write_rows
from fpgan_jax.training.checkpoints.checksums import hash_variables
from fpgan_jax.training.checkpoints.restore import restore_for_evaluation

# A family that is bound to its tools: a study -> its findings.
BoundFamily = Callable[[Study], Findings]

_KEY_FILENAME = "key.json"
_ROW_FILES: Mapping[str, type] = {"measures": MeasureRow, "images": ImageRow, "matches": MatchRow}
# Rooms and files in which a change may change a measure.
_MEASURING = (
    *("evaluation/study", "evaluation/statistics", "evaluation/matcher", "evaluation/measures"),
    *("evaluation/controls", "evaluation/evaluate.py", "evaluation/kept_findings.py"),
    *("scoring/similarity.py", "data/preprocessing.py", "data/ridges"),
)


def measure_families(
    study: Study, families: Mapping[str, BoundFamily], rows_dir: str, label: str
) -> tuple[Findings, dict[str, float]]:
    """Run the families that config.evaluation.measures names, or read what an earlier run of the same study found.

    rows_dir keeps a folder of CSV files for each family; label is the study's name in lines on standard output.

    Returns:
      (all families' findings, a family -> seconds of the run that measured it).
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
        seconds[name] = _read_mark(folder)["seconds"]
    return merge_findings(findings), seconds


def _may_have_its_tool_now(found: Findings) -> bool:
    """Check whether to measure again without a tool: all of it lacked one, or a missing matcher is there by now."""
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
    """Hash the modules of `fpgan_jax`, whose folder is given, that measures depend on: 12 hexadecimal digits.

    Raises:
      FileNotFoundError: a file or room is missing or empty; otherwise rows of old code could pass for those of new.
    """
    digest = hashlib.sha256()
    for name in _MEASURING:
        path = package / name
        files = sorted(path.rglob("*.py")) if path.is_dir() else [path]
        if not files:
            raise FileNotFoundError(path)
        for file in files:
            digest.update(file.read_bytes())
    return digest.hexdigest()[:12]


def _read_findings(folder: str, key: dict) -> Findings | None:
    mark = _read_mark(folder)
    if mark.get("key") != key:
        return None
    rows: dict[str, list] = {}
    for name, row_type in _ROW_FILES.items():
        num_rows = mark["num_rows"][name]
        try:
            rows[name] = (
                read_rows(os.path.join(folder, f"{name}.csv"), row_type, "evaluate") if num_rows else []
            )
        except UserError:
            return None
        if len(rows[name]) != num_rows:
            return None
    return Findings(**rows)


def _write_findings(folder: str, findings: Findings, key: dict, seconds: float) -> None:
    os.makedirs(folder, exist_ok=True)
    mark = os.path.join(folder, _KEY_FILENAME)
    if os.path.exists(mark):
        os.remove(mark)
    rows = {name: getattr(findings, name) for name in _ROW_FILES}
    for name in _ROW_FILES:
        if rows[name]:
            write_rows(os.path.join(folder, f"{name}.csv"), rows[name])
    num_rows = {name: len(rows[name]) for name in _ROW_FILES}
    with write_whole(mark) as file:
        json.dump({"key": key, "num_rows": num_rows, "seconds": seconds}, file, indent=2)


def _read_mark(folder: str) -> dict:
    try:
        return dict(read_json(os.path.join(folder, _KEY_FILENAME)))
    except (OSError, ValueError, TypeError):
        return {}
