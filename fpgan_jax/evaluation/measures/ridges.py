"""Owns the family "ridges": the ridges' period, and how far they run one way within a small part of the print.

Does not find them in a print (`matcher/ridge_spectrum.py`), nor single ridges or minutiae (`minutiae.py`).
"""

import numpy as np
from ml_collections import ConfigDict

from fpgan_jax.data import preprocessing
from fpgan_jax.evaluation.matcher.ridge_spectrum import MIN_SIDE, describe_small, measure_ridges
from fpgan_jax.evaluation.measures import summary
from fpgan_jax.evaluation.study.findings import Findings
from fpgan_jax.evaluation.study.print_collection import Study
from fpgan_jax.host.progress import create_progress

FAMILY = "ridges"


def measure(study: Study, data_config: ConfigDict) -> Findings:
    """Measure every collection, within the scanner's frame.

    Args:
      study: what to measure.
      data_config: config.data of its prints.

    Returns:
      `ridge_period` (pixels) and `orientation_coherence`, a mean a collection and a value a print; refused where the
      prints are smaller than `MIN_SIDE`.
    """
    rows, columns = preprocessing.find_window(data_config)
    measures, images = [], []
    with create_progress(len(study.collections), "ridges", "collections") as progress:
        for collection in study.collections.values():
            images_within = collection.images[:, rows, columns]
            if min(images_within.shape[1:]) < MIN_SIDE:
                measures += [
                    summary.refuse(FAMILY, name, collection, describe_small(images_within), unit=unit)
                    for name, unit in (("ridge_period", "px"), ("orientation_coherence", ""))
                ]
                continue
            found = measure_ridges(images_within)
            for name, values, unit in (
                ("ridge_period", found.period, "px"),
                ("orientation_coherence", found.coherence, ""),
            ):
                num_missing = int(np.isnan(values).sum())
                note = f"{num_missing} prints have none" if num_missing else ""
                measures.append(
                    summary.summarise(FAMILY, name, collection, values, unit=unit, better="real", note=note)
                )
                images += summary.create_image_rows(name, collection, values)
            progress.update()
    return Findings(measures, images)
