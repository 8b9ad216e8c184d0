"""Owns the family "ridges": the ridges' period, and how far they run one way within a small part of the print.

Does not find them in a print (`matcher/ridge_spectrum.py`), nor single ridges or minutiae (`minutiae.py`).
"""

import numpy as np
from ml_collections import ConfigDict

from fpgan_jax.data import preprocessing
from fpgan_jax.evaluation.matcher.ridge_spectrum import MIN_SIDE, describe_small, measure_ridges
from fpgan_jax.evaluation.measures.family import Family, Headline, Measure, create_image_rows
from fpgan_jax.evaluation.study.findings import Findings
from fpgan_jax.evaluation.study.print_collection import Study
from fpgan_jax.host.progress import create_progress

RIDGE_PERIOD = Measure(
    "ridge_period", "px", "real", relative_margin=0.03
)  # pixels have no scale of their own
ORIENTATION_COHERENCE = Measure("orientation_coherence", "", "real", margin=0.03, tells_quality=True)


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
                    FAMILY.refuse(taken, collection, describe_small(images_within))
                    for taken in FAMILY.measures
                ]
                continue
            found = measure_ridges(images_within)
            for taken, values in ((RIDGE_PERIOD, found.period), (ORIENTATION_COHERENCE, found.coherence)):
                num_missing = int(np.isnan(values).sum())
                note = f"{num_missing} prints have none" if num_missing else ""
                measures.append(FAMILY.summarize(taken, collection, values, note=note))
                images += create_image_rows(taken, collection, values)
            progress.update()
    return Findings(measures, images)


FAMILY = Family(
    "ridges",
    "Ridges",
    "The ridges' period and how well their directions agree, from the spectrum of small windows. A blurred print "
    "reads as having wider ridges, or none.",
    measures=(RIDGE_PERIOD, ORIENTATION_COHERENCE),
    compute=lambda study, tools: measure(study, tools.data_config),
    headlines=(Headline((RIDGE_PERIOD,), "Have they a real print's ridges?", "The mean ridge period"),),
)
