"""Owns the family "quality": NIST's NFIQ 2, by the real implementation.

NFIQ 2 does not say whether an image is a print: 13 real prints score 38 on average, their mean image 30, and white
noise 23.
"""

from collections.abc import Mapping

import numpy as np
from ml_collections import ConfigDict

from fpgan_jax.evaluation.matcher import matching, nist_tools
from fpgan_jax.evaluation.matcher.nist_tools import PackagedNfiq2
from fpgan_jax.evaluation.matcher.resolution import prepare_prints
from fpgan_jax.evaluation.measures.family import Family, describe_missing
from fpgan_jax.evaluation.measures.measure import Headline, Measure
from fpgan_jax.evaluation.study.findings import Findings, merge_findings
from fpgan_jax.evaluation.study.print_collection import Study
from fpgan_jax.host.progress import create_progress

NFIQ2 = Measure("nfiq2", "score", "higher", "NFIQ 2", margin=5, has_worst_cases=True)
_PRINTS_A_JOB = 8


def measure(study: Study, data_config: ConfigDict, *, num_workers: int | None = None) -> Findings:
    """Measure every collection, at 500 ppi: `nfiq2`, 0 (useless) to 100, NaN if NFIQ 2 finds too little in a print."""
    tool = nist_tools.find_quality_tool()
    values = _measure_quality(tool, prepare_prints(study, data_config).images, num_workers)
    return merge_findings(
        FAMILY.describe(NFIQ2, collection, values[name], note=describe_missing(values[name]))
        for name, collection in study.collections.items()
    )


def _measure_quality(
    tool: PackagedNfiq2, images: Mapping[str, np.ndarray], num_workers: int | None
) -> dict[str, np.ndarray]:
    """Measure each distinct print of all collections once."""
    together = np.concatenate(list(images.values()))
    distinct, inverse = matching.find_distinct(together)
    chunks = np.split(together[distinct], range(_PRINTS_A_JOB, len(distinct), _PRINTS_A_JOB))
    jobs = [(tool, chunk) for chunk in chunks]
    values: list[float] = []
    with create_progress(len(distinct), "NFIQ 2", "prints") as progress:
        for found in matching.Workers(num_workers).run(_measure_prints, jobs):
            values += found
            progress.update(len(found))
    parts = np.split(np.array(values)[inverse], np.cumsum([len(part) for part in images.values()])[:-1])
    return dict(zip(images, parts, strict=True))


def _measure_prints(job: tuple[PackagedNfiq2, np.ndarray]) -> list[float]:
    tool, images = job
    return [tool.measure(image) for image in images]


FAMILY: Family = Family(
    "quality",
    "Quality",
    "A quality measure made for real prints. It does not check whether a print is real.",
    measures=(NFIQ2,),
    compute=lambda study, tools: FAMILY.compute_or_skip(measure, study, tools.data_config),
    headlines=(Headline((NFIQ2,), "Do they have the quality of real ones?", "The mean NFIQ 2"),),
    rank=2,
)
