"""Owns an evaluation from its plan to the report."""

import datetime
import json
import os
import sys
from collections.abc import Collection, Mapping, Sequence

import numpy as np

from fpgan_jax.data import print_loading
from fpgan_jax.errors import UserError
from fpgan_jax.evaluation.controls import control_images, control_table
from fpgan_jax.evaluation.experiments import utility_table
from fpgan_jax.evaluation.kept_findings import BoundFamily, measure_families
from fpgan_jax.evaluation.matcher.tools import find_matchers
from fpgan_jax.evaluation.measures import features
from fpgan_jax.evaluation.measures.agreement import create_agreement_table
from fpgan_jax.evaluation.measures.families import FAMILIES
from fpgan_jax.evaluation.measures.family import Tools
from fpgan_jax.evaluation.plan import EvaluationPlan
from fpgan_jax.evaluation.report import page, protocol
from fpgan_jax.evaluation.report.contents import EvaluationResults
from fpgan_jax.evaluation.seeds_and_epochs import create_seeds_table, measure_epochs, measure_seeds
from fpgan_jax.evaluation.study import loading
from fpgan_jax.evaluation.study.print_collection import PrintCollection
from fpgan_jax.host import versions
from fpgan_jax.host.folder_lock import hold_folder
from fpgan_jax.training.checkpoints.restore import restore_for_evaluation

# Packages whose versions the report names, if they are installed.
_PACKAGES = (
    *("fpgan_jax", "jax", "jaxlib", "flax", "numpy", "scipy", "scikit-image"),
    *("pillow", "nbis-python", "fingerprint-recognition"),
)


def evaluate(plan: EvaluationPlan, out_dir: str) -> str:
    """Judge synthetic prints: every measure beside real prints and controls, as one report; return the text to show.

    What an earlier or interrupted evaluation measured is measured again only if something has changed.

    Args:
      plan: what is judged.
      out_dir: gets report.html, tables as .{txt,md,csv,tex}, and rows/ with the CSV files of every family.

    Raises:
      UserError: the prints, a folder or a classifier does not fit, or another process works in out_dir.
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
        persons = {int(person) for collection in real for person in collection.persons}
        families = create_families(plan, persons)
        study = plan.create_study([*real, *drawn[0], *made])
        findings, seconds = measure_families(study, families, os.path.join(out_dir, "rows", "study"), "study")
        by_seed = measure_seeds(plan, families, real, drawn, out_dir)
        by_epoch = measure_epochs(plan, families, real, data_hash, out_dir)
        seeds_table = create_seeds_table(study, {(0, 0): findings.measures} | by_seed)
        tables = (
            protocol.create_table(study, findings),
            create_agreement_table(study, findings.measures, config.evaluation.matchers),
            seeds_table if seeds_table.cells else None,
        )
        results = EvaluationResults(
            study=study,
            measures=findings.measures,
            images=findings.images,
            matches=findings.matches,
            measures_by_epoch=by_epoch,
            controls=control_table.create_control_table(study, findings),
            noise_images=_load_noise_images(plan, drawn[0]),
            utility=utility_table.read_results(plan.utility_csv) if plan.utility_csv else [],
            tables=[table for table in tables if table],
            provenance=_describe_run(plan, seconds),
            title=f"Evaluation of synthetic fingerprints of {config.set_name}",
        )
        path = page.write_report(results, out_dir)
    return f"{page.format_summary(results)}\n\nThe report, with its tables beside it: {path}"


def create_families(plan: EvaluationPlan, persons: Collection[int]) -> Mapping[str, BoundFamily]:
    """Bind every family of measures to its tools; persons are the ids of everyone with a real print."""
    matchers = find_matchers(plan.config.evaluation.matchers)
    tools = Tools(plan.config.data, matchers, _create_extractor(plan, persons))
    return {name: family.bind(tools) for name, family in FAMILIES.items()}


def _create_extractor(plan: EvaluationPlan, persons: Collection[int]) -> features.FeatureExtractor:
    if not plan.feature_classifier:
        return features.HAND_MADE
    _, _, metadata = restore_for_evaluation(plan.feature_classifier, ())
    trained, own = metadata["config"]["data"], plan.config.data
    if trained["frame"] != own.frame:
        raise UserError(
            f"{plan.feature_classifier}: trained on prints with config.data.frame={trained['frame']!r}; the study's "
            f"have {own.frame!r}"
        )
    # Another finger of the same person is another print.
    is_same_finger = (trained["hand"], trained["finger"]) == (own.hand, own.finger)
    return features.create_classifier_extractor(
        plan.feature_classifier, persons if is_same_finger else (), shared_persons=persons
    )


def _load_noise_images(plan: EvaluationPlan, drawn: Sequence[PrintCollection]) -> dict[str, np.ndarray]:
    return {
        collection.name: images
        for collection, folder in zip(drawn, plan.synthetic_dirs[0], strict=True)
        if (images := loading.load_noise_images(folder, plan.config)) is not None
    }


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
