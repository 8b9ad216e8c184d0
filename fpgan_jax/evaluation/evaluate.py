"""Owns an evaluation from its inputs to the rows of every measure; each family's rows are kept and not made twice.

Does not own a measure (each family has its module), what is loaded (`study.py`), or how it is shown (`report.py`).
"""

import hashlib
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence

from ml_collections import ConfigDict

from fpgan_jax.errors import UserError
from fpgan_jax.evaluation.measurements import Findings, ImageRow, MatchRow, MeasureRow
from fpgan_jax.evaluation.print_collection import Study
from fpgan_jax.evaluation.rows import read_rows, write_rows
from fpgan_jax.training.checkpointing import restore_for_evaluation
from fpgan_jax.whole_file import write_whole

_KEY_FILENAME = "key.json"
_ROW_FILES: Mapping[str, type] = {"measures": MeasureRow, "images": ImageRow, "matches": MatchRow}


def create_families(config: ConfigDict, feature_classifier: str) -> Mapping[str, Callable[[Study], Findings]]:
    """Bind every family of measures.

    Args:
      config: the experiment's config.
      feature_classifier: workdir of a classifier of other persons, for features; may be "".

    Returns:
      A family of `configuration.MEASURE_FAMILIES` -> (study) -> its findings.
    """
    from fpgan_jax.evaluation import (
        paper_similarity,
    )

    return {
        "similarity": lambda study: paper_similarity.measure(study, config.data),
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
        if found is not None:
            print(f"{header}: done before", flush=True)
        else:
            print(header, flush=True)
            start = time.monotonic()
            found = families[name](study)
            _write_findings(folder, found, key, round(time.monotonic() - start, 1))
        findings.append(found)
        seconds[name] = _read_json(os.path.join(folder, _KEY_FILENAME))["seconds"]
    return merge_findings(findings), seconds


def merge_findings(findings: Sequence[Findings]) -> Findings:
    """Put findings one after the other."""
    return Findings(
        **{name: [row for found in findings for row in getattr(found, name)] for name in _ROW_FILES}
    )


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
    for workdir in study.classifier_workdirs if family == "similarity" else ():
        step, _, metadata = restore_for_evaluation(workdir, ())
        checkpoints.append([step, metadata["config_hash"], metadata["data_hash"]])
    settings = {name: value for name, value in study.settings.to_dict().items() if name != "measures"}
    return {
        "family": family,
        "collections": digest.hexdigest(),
        "classifiers": checkpoints,
        "settings": json.loads(json.dumps(settings)),
        "seed": study.seed,
    }


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
        with open(path, encoding="utf-8") as file:
            return dict(json.load(file))
    except (OSError, ValueError, TypeError):
        return {}
