"""Owns the protocol's run: both studies measured by every matcher, and their tables written.

What was measured is kept and not measured twice. Does not know a measure or a question.
"""

import functools
import os
from collections.abc import Callable, Mapping, Sequence

from ml_collections import ConfigDict

from fpgan_jax.config.checks import validate_config
from fpgan_jax.config.fields import MAX_COUNT, PLACE_FIELDS
from fpgan_jax.evaluation import kept_findings
from fpgan_jax.evaluation.enlargement import posed_controls, print_folders, use
from fpgan_jax.evaluation.enlargement.print_folders import Request
from fpgan_jax.evaluation.matcher.matching import Matcher
from fpgan_jax.evaluation.matcher.tools import find_matchers
from fpgan_jax.evaluation.measures import agreement, identity, leakage
from fpgan_jax.evaluation.measures.families import FAMILIES
from fpgan_jax.evaluation.measures.family import Tools
from fpgan_jax.evaluation.report import protocol
from fpgan_jax.evaluation.report.protocol import Question
from fpgan_jax.evaluation.study.findings import Findings, merge_findings
from fpgan_jax.evaluation.study.print_collection import (
    CONTROL,
    POPULATION,
    REFERENCE,
    SYNTHETIC,
    PrintCollection,
    Study,
)
from fpgan_jax.host.folder_lock import hold_folder
from fpgan_jax.tables import formats
from fpgan_jax.tables.report_table import ReportTable

_SCORE_FAMILIES = ("identity", "uniqueness", "leakage")
_LIKENESS_FAMILIES = ("minutiae", "variation")
_LOOK_FAMILIES = ("quality", "distribution")
# Lines that ask for the look of the training's sensor, which more impressions have whatever their finger's sensor is.
_LOOK_LINES = (9,)
_FAST = "nbis"
# Prints of others that it compares for each that a slow matcher does.
_FAST_FACTOR = 4
_SLOW_REASON = "a slow matcher judges the first set alone"
_TITLES = {
    protocol.MORE_IMPRESSIONS: ("protocol_more_impressions", "More impressions of given fingers"),
    protocol.NEW_FINGERS: ("protocol_new_fingers", "New fingers"),
}


def measure_protocol(
    request: Request,
    config: ConfigDict,
    out_dir: str,
    *,
    gan_workdir: str = "",
    recognition_csv: str = "",
    max_others: int = 20,
) -> str:
    """Ask all questions of all sets of synthetic prints, beside real prints and controls.

    Args:
      request: what is judged.
      config: of the generators' training: whose prints must not leak, and whose looks are wanted;
        `config.evaluation.matchers` are asked, of which all but NIST's judge the first set of each chain alone.
      out_dir: gets protocol_more_impressions and protocol_new_fingers as .{txt,md,csv,tex}, and rows/.
      gan_workdir: of the generator of the first set of more impressions; "" leaves out the controls in its poses.
      recognition_csv: as of `use.create_question`.
      max_others: prints of other fingers that each print is compared with; of new fingers four times as many by NIST's
        matcher. Half of them are the training's.

    Returns:
      The first set's answers as text, and where the tables are.

    Raises:
      UserError: a set's name, a folder, the config, the generator or the file is not as it must be.
      OSError: the disk is full.
    """
    validate_config(config, needs_data=bool(request.more_fingers))
    print_folders.check_request(request)
    os.makedirs(out_dir, exist_ok=True)
    with hold_folder(out_dir):
        use_question = use.create_question(recognition_csv)
        window = print_folders.find_window(request)
        run = _Run(config, window, out_dir, max_others)
        tables = []
        if request.more_impressions:
            collections = print_folders.load_more_impressions(request, window)
            if gan_workdir:
                collections += _create_posed_controls(request, collections, config, gan_workdir, window)
            tables += run.judge(protocol.MORE_IMPRESSIONS, collections, use_question)
        if request.more_fingers:
            collections = print_folders.load_new_fingers(request, config, window)
            tables += run.judge(protocol.NEW_FINGERS, collections, use_question)
        formats.write_tables(out_dir, {table.name: (table.header, table.cells) for table in tables})
    return "\n".join([*map(_describe_first, tables), f"All sets and controls: {out_dir}"])


def _create_posed_controls(
    request: Request,
    collections: Sequence[PrintCollection],
    config: ConfigDict,
    gan_workdir: str,
    window: tuple[int, int],
) -> list[PrintCollection]:
    first = request.more_impressions[0].name
    real = {place.name: place for place in request.real}
    posed = {one.real: (one, real[one.real]) for one in request.more_impressions if one.name == first}
    drawn = next(collection for collection in collections if collection.name == first)
    places = {name: config.data[name] for name in PLACE_FIELDS if config.data[name]}
    return posed_controls.create_posed_controls(gan_workdir, posed, drawn, window, places)


class _Run:
    """Measures studies at 500 ppi, with the same matchers, which compare two prints once."""

    def __init__(self, config: ConfigDict, window: tuple[int, int], out_dir: str, max_others: int):
        settings = config.evaluation.to_dict()
        # Both studies say how many fingers they have.
        settings |= {
            "measures": _SCORE_FAMILIES + _LIKENESS_FAMILIES + _LOOK_FAMILIES,
            "num_gallery_fingers": MAX_COUNT,
            "max_others": max_others,
        }
        self._settings = ConfigDict(settings)
        self._seed, self._out_dir = config.seed, out_dir
        self._data = config.data.copy_and_resolve_references()
        self._data.update(
            source="impressions", sensor_ppi=print_folders.PPI, image_ppi=0.0, frame="keep",
            image_size=window[0], image_width=window[1],
        )  # fmt: skip
        self._matchers = find_matchers(config.evaluation.matchers)
        self._max_others = max_others

    def judge(
        self, kind: str, collections: Sequence[PrintCollection], use_question: Question
    ) -> list[ReportTable]:
        name, title = _TITLES[kind]
        for matcher_name, matcher in self._matchers.items():
            if isinstance(matcher, Matcher):
                # Only of new fingers a line asks about others' prints.
                is_asked = matcher_name == _FAST and kind == protocol.NEW_FINGERS
                matcher.max_others = self._max_others * (_FAST_FACTOR if is_asked else 1)
        study = self._create_study(collections)
        findings = [self._measure(study, name, self._list_families(kind))]
        for slow in self._matchers:
            if slow != _FAST:
                few = self._create_study(_leave_out(collections))
                found = self._measure(few, f"{name}_{slow}", self._bind_scores(slow, kind))
                findings += [found, _explain_left_out(study, few, found)]
        merged = merge_findings(findings)
        names = list(self._matchers)
        if len(names) > 1:
            disagreements = identity.compare_decisions(study, merged.measures, merged.matches, names[:2])
            merged = merge_findings([merged, Findings(disagreements)])
        numbers = protocol.arrange(study, merged, (POPULATION, REFERENCE))
        questions = [*protocol.list_questions(names), use_question]
        questions.sort(key=lambda question: question.number)
        if kind == protocol.MORE_IMPRESSIONS:
            questions = [question for question in questions if question.number not in _LOOK_LINES]
        tables = [protocol.create_wide_table(numbers, kind, questions, name, title)]
        table = agreement.create_agreement_table(study, merged.measures, names)
        return tables + ([table._replace(name=f"{name}_matchers")] if table else [])

    def _create_study(self, collections: Sequence[PrintCollection]) -> Study:
        named = {collection.name: collection for collection in collections}
        return Study(named, self._settings, seed=self._seed, ppi=print_folders.PPI)

    def _measure(
        self, study: Study, label: str, families: Mapping[str, Callable[[Study], Findings]]
    ) -> Findings:
        rows_dir = os.path.join(self._out_dir, "rows", label)
        return kept_findings.measure_families(study, families, rows_dir, label)[0]

    def _list_families(self, kind: str) -> Mapping[str, Callable[[Study], Findings]]:
        names = _LIKENESS_FAMILIES + (_LOOK_FAMILIES if kind == protocol.NEW_FINGERS else ())
        tools = self._create_tools(_FAST)
        families = {name: functools.partial(FAMILIES[name].compute, tools=tools) for name in names}
        return {**(self._bind_scores(_FAST, kind) if _FAST in self._matchers else {}), **families}

    def _bind_scores(self, name: str, kind: str) -> Mapping[str, Callable[[Study], Findings]]:
        tools = self._create_tools(name)
        asked = {
            family: functools.partial(FAMILIES[family].compute, tools=tools) for family in _SCORE_FAMILIES
        }
        if kind == protocol.MORE_IMPRESSIONS:
            # Their fingers are those of the real prints: nobody asks whether two of them match, or a mirrored print.
            del asked["uniqueness"]
            measure = functools.partial(leakage.measure, has_mirrored=False)
            asked["leakage"] = functools.partial(leakage.FAMILY.compute_by_each, measure, tools=tools)
        return asked

    def _create_tools(self, matcher: str) -> Tools:
        return Tools(self._data, {name: found for name, found in self._matchers.items() if name == matcher})


def _leave_out(collections: Sequence[PrintCollection]) -> list[PrintCollection]:
    """Leave out what a slow matcher does not judge: controls, and all synthetic sets but the first."""
    first = next(collection.name for collection in collections if collection.role == SYNTHETIC)
    return [
        collection
        for collection in collections
        if collection.role != CONTROL and (collection.role != SYNTHETIC or collection.name == first)
    ]


def _explain_left_out(study: Study, few: Study, findings: Findings) -> Findings:
    """Say of each measure of a slow matcher why the other synthetic prints have none."""
    first = next(name for name, collection in few.collections.items() if collection.role == SYNTHETIC)
    others = [c for name, c in study.collections.items() if c.role == SYNTHETIC and name != first]
    return Findings(
        [
            FAMILIES[row.family].refuse(FAMILIES[row.family].by_name[row.measure], collection, _SLOW_REASON)
            for row in findings.measures
            for collection in others
            if row.collection == first
        ]
    )


def _describe_first(table: ReportTable) -> str:
    """Write a table's first set of synthetic prints for a terminal."""
    if table.header[0] != "line":
        return f"{table.title}\n{formats.format_text(table.header, table.cells)}"
    chosen = (0, 1, 5, 2, 3)
    cells = [[row[place] for place in chosen] for row in table.cells]
    return f"{table.title}\n{formats.format_text([table.header[place] for place in chosen], cells)}"
