"""Owns the family "ridges": the ridges' period, and how well their directions agree in small parts of the print."""

from ml_collections import ConfigDict

from fpgan_jax.data import preprocessing
from fpgan_jax.evaluation.matcher.ridge_spectrum import MIN_SIDE, describe_small, measure_ridges
from fpgan_jax.evaluation.measures.family import Family, describe_missing, track_collections
from fpgan_jax.evaluation.measures.measure import Headline, Measure
from fpgan_jax.evaluation.study.findings import Findings, merge_findings
from fpgan_jax.evaluation.study.print_collection import Study

# A margin in pixels would depend on the prints' scale.
RIDGE_PERIOD = Measure("ridge_period", "px", "real", relative_margin=0.03)
ORIENTATION_COHERENCE = Measure("orientation_coherence", "", "real", margin=0.03, has_worst_cases=True)


def measure(study: Study, data_config: ConfigDict) -> Findings:
    """Measure every collection, within the scanner's frame.

    Returns:
      `ridge_period` (pixels) and `orientation_coherence`: the mean of a collection and the value of each print.
      Refused if the prints are smaller than `MIN_SIDE`.
    """
    rows, columns = preprocessing.find_window(data_config)
    findings = []
    for collection in track_collections(study, "ridges"):
        images = collection.images[:, rows, columns]
        if min(images.shape[1:]) < MIN_SIDE:
            findings.append(FAMILY.refuse_all(collection, describe_small(images)))
            continue
        found = measure_ridges(images)
        for taken, values in ((RIDGE_PERIOD, found.period), (ORIENTATION_COHERENCE, found.coherence)):
            findings.append(FAMILY.describe(taken, collection, values, note=describe_missing(values)))
    return merge_findings(findings)


FAMILY = Family(
    "ridges",
    "Ridges",
    "The ridges' period and how well their directions agree, from the spectrum of small windows. A blurred print "
    "seems to have wider ridges, or none.",
    measures=(RIDGE_PERIOD, ORIENTATION_COHERENCE),
    compute=lambda study, tools: measure(study, tools.data_config),
    headlines=(Headline((RIDGE_PERIOD,), "Is the ridge period that of real ones?", "The mean ridge period"),),
)
