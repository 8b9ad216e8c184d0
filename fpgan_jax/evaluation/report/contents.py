"""What a report is made from."""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fpgan_jax.evaluation.controls.control_table import Verdict
from fpgan_jax.evaluation.controls.verdicts import VerdictRow, judge_synthetic
from fpgan_jax.evaluation.experiments.utility_table import ResultRow
from fpgan_jax.evaluation.measures.identity import THRESHOLD
from fpgan_jax.evaluation.report.names import format_value
from fpgan_jax.evaluation.statistics.verification import FALSE_ACCEPT_RATES
from fpgan_jax.evaluation.study.findings import ImageRow, MatchRow, MeasureRow, is_measured
from fpgan_jax.evaluation.study.print_collection import Study
from fpgan_jax.tables.report_table import ReportTable


@dataclasses.dataclass(frozen=True)
class EvaluationResults:
    """The contents of a report. Anything but the study may be missing, which the report then says."""

    study: Study
    measures: Sequence[MeasureRow] = ()  # rows of all families that were run
    images: Sequence[ImageRow] = ()  # values of single prints
    matches: Sequence[MatchRow] = ()  # scores of comparisons
    # Epoch -> rows for the prints that its checkpoint generated.
    measures_by_epoch: Mapping[int, Sequence[MeasureRow]] = dataclasses.field(default_factory=dict)
    controls: Sequence[Verdict] = ()
    # A collection's name -> uint8 [n, height, width], the noise of each of its prints.
    noise_images: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    utility: Sequence[ResultRow] = ()  # experiment 3's rows
    tables: Sequence[ReportTable] = ()  # others, such as the seeds' spread
    # What was run: "command", "date", "commit", "config", ...; JSON values.
    provenance: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    title: str = "Evaluation of synthetic fingerprints"

    def __post_init__(self) -> None:
        """Refuse noise images that are not one per print."""
        for name, images in self.noise_images.items():
            if len(images) != len(self.study.collections[name]):
                raise ValueError(f"{name}: {len(images)} noise images")

    @functools.cached_property
    def verdicts(self) -> Sequence[VerdictRow]:
        """How the synthetic prints compare with real ones."""
        return judge_synthetic(self.study, self.measures, self.images)

    def find_thresholds(self, matcher: str) -> dict[str, float]:
        """Find the scores from which a matcher's comparisons pass: "FAR 1%" -> score, the strictest rate last."""
        values = {row.measure: row.value for row in self.measures if is_measured(row)}
        names = {rate: THRESHOLD.at(matcher=matcher, rate=rate).name for rate in FALSE_ACCEPT_RATES}
        return {
            f"FAR {format_value(rate, 'fraction')}": values[names[rate]]
            for rate in sorted(names, reverse=True)
            if names[rate] in values
        }
