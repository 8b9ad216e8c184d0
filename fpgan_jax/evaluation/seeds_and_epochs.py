"""Owns an evaluation's repetitions: the prints of other seeds, and those that the first GAN drew at earlier epochs."""

import os
from collections.abc import Mapping, Sequence

import numpy as np

from fpgan_jax.config.fields import PLACE_FIELDS
from fpgan_jax.config.files import restore_config
from fpgan_jax.evaluation.kept_findings import BoundFamily, measure_families
from fpgan_jax.evaluation.measures.families import FAMILIES
from fpgan_jax.evaluation.plan import EvaluationPlan
from fpgan_jax.evaluation.statistics.seed_spread import compute_spread
from fpgan_jax.evaluation.study import loading
from fpgan_jax.evaluation.study.findings import MEASURED, MeasureRow
from fpgan_jax.evaluation.study.print_collection import SYNTHETIC, PrintCollection, Study
from fpgan_jax.synthesis import drawing
from fpgan_jax.tables.report_table import ReportTable
from fpgan_jax.training.cadence import last_step_of_epoch
from fpgan_jax.training.checkpoints.restore import restore_for_evaluation

_SEEDS_HEADER = (
    *("measure", "collection", "GAN seeds", "classifier seeds", "mean", "95% low", "95% high"),
    *("std GAN", "std classifier", "std rest"),
)
_SEEDS_EXPLANATION = (
    "The interval is that of the mean over new seeds, for these persons. std GAN, std classifier: the spread due to "
    "the seed of each, by a two-way analysis of variance without repetition; std rest: due to both together. Only the "
    "paper's similarity depends on the classifier."
)


def measure_seeds(
    plan: EvaluationPlan,
    families: Mapping[str, BoundFamily],
    real: Sequence[PrintCollection],
    drawn: Sequence[Sequence[PrintCollection]],
    out_dir: str,
) -> dict[tuple[int, int], Sequence[MeasureRow]]:
    """Measure every seed except the first of both networks.

    Only families that depend on the classifier are measured for its further seeds.

    drawn has the synthetic prints of each GAN seed. Returns (place of the GAN's seed, place of the classifier's seed)
    -> rows.
    """
    found: dict[tuple[int, int], Sequence[MeasureRow]] = {}
    by_classifier = {name: families[name] for name in families if FAMILIES[name].is_by_classifier_seed}
    for gan, collections in enumerate(drawn):
        for classifier in range(max(1, len(plan.classifier_workdirs))):
            if (gan, classifier) == (0, 0):
                continue
            judged = plan.create_study([*real, *collections], classifier=classifier)
            name = f"gan_seed_{plan.gan_seeds[gan]}"
            if plan.classifier_seeds:
                name += f"_classifier_seed_{plan.classifier_seeds[classifier]}"
            chosen = by_classifier if classifier else families
            rows_dir = os.path.join(out_dir, "rows", name)
            found[gan, classifier] = measure_families(judged, chosen, rows_dir, name)[0].measures
    return found


def create_seeds_table(judged: Study, by_seed: Mapping[tuple[int, int], Sequence[MeasureRow]]) -> ReportTable:
    """Average every measure of synthetic prints over the seeds; there are no rows if there is one seed of each."""
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
    return ReportTable("seeds", "Over seeds", _SEEDS_EXPLANATION, _SEEDS_HEADER, cells)


def measure_epochs(
    plan: EvaluationPlan,
    families: Mapping[str, BoundFamily],
    real: Sequence[PrintCollection],
    data_hash: str,
    out_dir: str,
) -> dict[int, Sequence[MeasureRow]]:
    """Draw prints from the checkpoints that the first GAN kept, and measure them: epoch -> rows of these prints.

    The prints are in epochs/ of out_dir, the rows in rows/. data_hash is that of the real prints.
    """
    if not plan.gan_workdir:
        return {}
    _, _, metadata = restore_for_evaluation(plan.gan_workdir, ())
    trained = restore_config(metadata, plan.gan_workdir)
    found: dict[int, Sequence[MeasureRow]] = {}
    for epoch in sorted(epoch for epoch in trained.keep_epochs if epoch <= trained.num_epochs):
        folder = os.path.join(out_dir, "epochs", f"epoch_{epoch:04d}")
        drawing.synthesize(
            plan.gan_workdir,
            folder,
            overrides=plan.config.synthesis.to_dict() | {"noise": "training"},
            data_overrides={name: plan.config.data[name] for name in PLACE_FIELDS},
            step=last_step_of_epoch(epoch, len(metadata["pairs"]), trained.global_batch_size),
        )
        drawn = loading.load_print_folder(folder, plan.config, data_hash)
        prints = loading.take_replicas(drawn, plan.config.evaluation.num_epoch_replicas)
        # With all real collections, as the matcher's thresholds are set on them.
        judged = plan.create_study([*real, prints])
        rows_dir = os.path.join(out_dir, "rows", f"epoch_{epoch:04d}")
        rows = measure_families(judged, families, rows_dir, f"epoch {epoch}")[0].measures
        found[epoch] = [row for row in rows if row.collection == prints.name]
    return found
