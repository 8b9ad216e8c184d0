"""Owns the protocol's run: measures both studies by every matcher, once, and writes their tables."""

import functools
import os
from collections.abc import Mapping, Sequence

from ml_collections import ConfigDict

from fpgan_jax.config.checks import validate_config
from fpgan_jax.config.fields import MAX_COUNT, PLACE_FIELDS
from fpgan_jax.evaluation.enlargement import posed_controls, print_folders, use
from fpgan_jax.evaluation.enlargement.print_folders import Request, Window
from fpgan_jax.evaluation.kept_findings import BoundFamily, measure_families
from fpgan_jax.evaluation.matcher.matching import Matcher
from fpgan_jax.evaluation.matcher.tools import find_matchers
from fpgan_jax.evaluation.measures import agreement, identity, leakage
from fpgan_jax.evaluation.measures.families import FAMILIES
from fpgan_jax.evaluation.measures.family import Tools
from fpgan_jax.evaluation.report import protocol
from fpgan_jax.evaluation.report.protocol import Question
from fpgan_jax.evaluation.study import print_collection
from fpgan_jax.evaluation.study.findings import Findings, merge_findings
from fpgan_jax.evaluation.study.print_collection import CONTROL, SYNTHETIC, PrintCollection, Study
from fpgan_jax.host.folder_lock import hold_folder
from fpgan_jax.tables import formats
from fpgan_jax.tables.report_table import ReportTable

_SCORE_FAMILIES = ("identity", "uniqueness", "leakage")
_LIKENESS_FAMILIES = ("minutiae", "variation")
_LOOK_FAMILIES = ("quality", "distribution")
# These lines ask for the look of the training's sensor, which more impressions have on any sensor's fingers.
_LOOK_LINES = (9,)
_FAST = "nbis"
# How many times as many prints of others it compares as a slow matcher.
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
    """Ask all questions about all sets of synthetic prints, beside real prints and controls.

    Args:
      request: what is judged.
      config: of the generators' training, whose prints must not leak and whose look is wanted. Of
        `config.evaluation.matchers`, all but NIST's judge only the first set of each study.
      out_dir: gets protocol_more_impressions and protocol_new_fingers as .{txt,md,csv,tex}, and rows/.
      gan_workdir: of the generator of the first set of more impressions; "" leaves out the controls in its poses.
      recognition_csv: as in `use.create_question`.
      max_others: prints of other fingers that each print is compared with, half of them training prints; for new
        fingers NIST's matcher compares four times as many.

    Returns:
      The first set's answers as text, and where the tables are.

    Raises:
      UserError: a set's name, a folder, the config, the generator or the file is wrong.
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
                places = {name: config.data[name] for name in PLACE_FIELDS if config.data[name]}
                collections += posed_controls.create_posed_controls(
                    gan_workdir, request, collections, window, places
                )
            tables += run.judge(protocol.MORE_IMPRESSIONS, collections, use_question)
        if request.more_fingers:
            collections = print_folders.load_new_fingers(request, config, window)
            tables += run.judge(protocol.NEW_FINGERS, collections, use_question)
        formats.write_tables(out_dir, {table.name: (table.header, table.cells) for table in tables})
    return "\n".join([*map(_describe_first, tables), f"All sets and controls: {out_dir}"])


class _Run:
    """Measures studies at 500 ppi by the same matchers, which compare each pair of prints once."""

    def __init__(self, config: ConfigDict, window: Window, out_dir: str, max_others: int):
        settings = {
            "measures": _SCORE_FAMILIES + _LIKENESS_FAMILIES + _LOOK_FAMILIES,
            "num_gallery_fingers": MAX_COUNT,  # the studies' own numbers of fingers are the limit
            "max_others": max_others,  # not a field, but the rows that are kept depend on it
        }
        self._settings = ConfigDict(config.evaluation.to_dict() | settings)
        self._seed, self._out_dir = config.seed, out_dir
        self._data = config.data.copy_and_resolve_references()
        self._data.update(
            source="impressions", sensor_ppi=print_folders.PPI, image_ppi=0.0, frame="keep",
            image_size=window.shape[0], image_width=window.shape[1],
        )  # fmt: skip
        self._matchers = find_matchers(config.evaluation.matchers)
        self._max_others = max_others

    def judge(
        self, kind: str, collections: Sequence[PrintCollection], use_question: Question
    ) -> list[ReportTable]:
        name, title = _TITLES[kind]
        for matcher_name, matcher in self._matchers.items():
            if isinstance(matcher, Matcher):
                # Only the lines on new fingers ask about others' prints.
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
        numbers = protocol.arrange(study, merged, (print_collection.POPULATION, print_collection.REFERENCE))
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

    def _measure(self, study: Study, label: str, families: Mapping[str, BoundFamily]) -> Findings:
        rows_dir = os.path.join(self._out_dir, "rows", label)
        return measure_families(study, families, rows_dir, label)[0]

    def _list_families(self, kind: str) -> dict[str, BoundFamily]:
        names = _LIKENESS_FAMILIES + (_LOOK_FAMILIES if kind == protocol.NEW_FINGERS else ())
        scores = self._bind_scores(_FAST, kind) if _FAST in self._matchers else {}
        tools = self._create_tools(_FAST)
        return scores | {name: FAMILIES[name].bind(tools) for name in names}

    def _bind_scores(self, matcher: str, kind: str) -> dict[str, BoundFamily]:
        tools = self._create_tools(matcher)
        asked = {name: FAMILIES[name].bind(tools) for name in _SCORE_FAMILIES}
        if kind == protocol.MORE_IMPRESSIONS:
            # The fingers are those of the real prints, so nobody asks whether two of them match, or a mirrored print.
            del asked["uniqueness"]
            measure = functools.partial(leakage.measure, has_mirrored=False)
            asked["leakage"] = lambda study: leakage.FAMILY.compute_by_each(measure, study, tools)
        return asked

    def _create_tools(self, matcher: str) -> Tools:
        return Tools(self._data, {name: found for name, found in self._matchers.items() if name == matcher})


def _leave_out(collections: Sequence[PrintCollection]) -> list[PrintCollection]:
    """Keep what a slow matcher judges: no controls, and only the first synthetic set."""
    first = next(collection.name for collection in collections if collection.role == SYNTHETIC)
    return [
        collection
        for collection in collections
        if collection.role != CONTROL and (collection.role != SYNTHETIC or collection.name == first)
    ]


def _explain_left_out(study: Study, few: Study, findings: Findings) -> Findings:
    """Refuse each measure of a slow matcher for the synthetic sets that it did not judge."""
    (first,) = (c.name for c in few.collections.values() if c.role == SYNTHETIC)
    others = [c for c in study.collections.values() if c.role == SYNTHETIC and c.name != first]
    rows = []
    for row in findings.measures:
        if row.collection == first:
            family = FAMILIES[row.family]
            rows += [family.refuse(family.by_name[row.measure], other, _SLOW_REASON) for other in others]
    return Findings(rows)


def _describe_first(table: ReportTable) -> str:
    """Format a table's first synthetic set for a terminal."""
    if table.header[0] != "line":
        return f"{table.title}\n{formats.format_text(table.header, table.cells)}"
    chosen = (0, 1, 5, 2, 3)
    cells = [[row[place] for place in chosen] for row in table.cells]
    return f"{table.title}\n{formats.format_text([table.header[place] for place in chosen], cells)}"
