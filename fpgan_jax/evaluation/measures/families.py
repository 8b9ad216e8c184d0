"""Owns the list of all families, and which family and measure a row is of.

Does not measure. Each name in `config.fields.MEASURE_FAMILIES` is a module of this folder, whose FAMILY is a `Family`.
The names are a config field's choices, so that a wrong one is refused before anything is trained.
"""

import importlib
from collections.abc import Mapping

from fpgan_jax.config.fields import MEASURE_FAMILIES
from fpgan_jax.evaluation.measures.family import REAL_PRINTS, Baseline, Family, Measure

# In the order of the tables and the report.
FAMILIES: Mapping[str, Family] = {
    name: importlib.import_module(f"fpgan_jax.evaluation.measures.{name}").FAMILY for name in MEASURE_FAMILIES
}
_MEASURES: Mapping[str, Measure] = {
    name: measure for family in FAMILIES.values() for name, measure in family.by_name.items()
}


def find_measure(name: str) -> Measure | None:
    """Find the measure of a row's name; None for one of no family."""
    return _MEASURES.get(name)


def find_baseline(family: str, measure: str) -> Baseline:
    """Find the roles whose rows of a measure are real against real.

    Args:
      family: as in `MeasureRow`.
      measure: as in `MeasureRow`.
    """
    found = find_measure(measure)
    if found and found.baseline is not None:
        return found.baseline
    return FAMILIES[family].baseline if family in FAMILIES else REAL_PRINTS
