"""Owns the family "quality": NIST's NFIQ 2, the real implementation or nothing.

Does not imitate it, and does not say whether a print is one: where 13 real prints score 38 in the mean, their mean
image scores 30 and white noise 23.
"""

from collections.abc import Mapping

import numpy as np
from ml_collections import ConfigDict

from fpgan_jax.evaluation.matcher import matching, nist_tools
from fpgan_jax.evaluation.matcher.nist_tools import PackagedNfiq2, ToolError
from fpgan_jax.evaluation.matcher.resolution import NoScaleError, prepare_prints
from fpgan_jax.evaluation.measures.family import Family, Headline, Measure, create_image_rows
from fpgan_jax.evaluation.study.findings import Findings
from fpgan_jax.evaluation.study.print_collection import Study
from fpgan_jax.host.progress import create_progress

NFIQ2 = Measure("nfiq2", "score", "higher", "NFIQ 2", margin=5, tells_quality=True)
_PRINTS_A_JOB = 8


def measure(study: Study, data_config: ConfigDict, *, num_workers: int | None = None) -> Findings:
    """Measure every collection, at 500 ppi: `nfiq2`, 0 (useless) to 100.

    Args:
      study: what to measure.
      data_config: config.data of its prints.
      num_workers: as of `matching.Workers`.

    Returns:
      A mean a collection and a value a print, NaN where NFIQ 2 finds too little of a print to judge; one skipped row
      where it is not installed.
    """
    try:
        tool = nist_tools.find_quality_tool()
        prepared = prepare_prints(study, data_config)
        values = measure_quality(tool, prepared.images, num_workers=num_workers)
    except (ToolError, NoScaleError) as error:
        return FAMILY.skip(error)
    measures, images = [], []
    for name, collection in study.collections.items():
        num_missing = int(np.isnan(values[name]).sum())
        note = f"{num_missing} prints have none" if num_missing else ""
        measures.append(FAMILY.summarize(NFIQ2, collection, values[name], note=note))
        images += create_image_rows(NFIQ2, collection, values[name])
    return Findings(measures, images)


def measure_quality(
    tool: PackagedNfiq2, images: Mapping[str, np.ndarray], *, num_workers: int | None = None
) -> dict[str, np.ndarray]:
    """Measure the quality of prints, each distinct one once.

    Args:
      tool: of `nist_tools.find_quality_tool`.
      images: collection -> uint8 [n, height, width], at 500 ppi, all of one size.
      num_workers: as in `measure`.

    Returns:
      Collection -> float64 [n].

    Raises:
      ToolError: the tool failed.
    """
    together = np.concatenate(list(images.values()))
    distinct, inverse = matching.find_distinct(together)
    jobs = [
        (tool, together[distinct[start : start + _PRINTS_A_JOB]])
        for start in range(0, len(distinct), _PRINTS_A_JOB)
    ]
    values = []
    with create_progress(len(distinct), "NFIQ 2", "prints") as progress:
        for found in matching.Workers(num_workers).run(_measure_prints, jobs):
            values += found
            progress.update(len(found))
    parts = np.split(np.array(values)[inverse], np.cumsum([len(part) for part in images.values()])[:-1])
    return dict(zip(images, parts, strict=True))


def _measure_prints(job: tuple[PackagedNfiq2, np.ndarray]) -> list[float]:
    tool, images = job
    return [tool.measure(image) for image in images]


FAMILY = Family(
    "quality",
    "Quality",
    "What a quality measure made for real prints says. It does not know whether a print is real.",
    measures=(NFIQ2,),
    compute=lambda study, tools: measure(study, tools.data_config),
    headlines=(Headline((NFIQ2,), "Have they a real print's quality?", "The mean NFIQ 2"),),
    rank=2,
)
