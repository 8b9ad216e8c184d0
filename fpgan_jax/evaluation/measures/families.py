"""Owns the list of all families, and the family and measure of a row."""

import importlib
from collections.abc import Mapping

from fpgan_jax.config.fields import MEASURE_FAMILIES
from fpgan_jax.evaluation.measures.family import Family
from fpgan_jax.evaluation.measures.measure import REAL_PRINTS, Baseline, Measure

# In the order of the tables and the report. The names are a config field's choices, so that a wrong one is refused
# before anything is trained; each is a module of this folder with a FAMILY.
FAMILIES: Mapping[str, Family] = {
    name: importlib.import_module(f"fpgan_jax.evaluation.measures.{name}").FAMILY for name in MEASURE_FAMILIES
}
_MEASURES: Mapping[str, Measure] = {
    name: measure for family in FAMILIES.values() for name, measure in family.by_name.items()
}


def find_measure(name: str) -> Measure | None:
    """Find the measure of a row's name; None if no family has it."""
    return _MEASURES.get(name)


def find_baseline(family: str, measure: str) -> Baseline:
    """Find the roles whose rows of a measure compare real prints; arguments as in `MeasureRow`."""
    found = find_measure(measure)
    if found and found.baseline is not None:
        return found.baseline
    return FAMILIES[family].baseline if family in FAMILIES else REAL_PRINTS
