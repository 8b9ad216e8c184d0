"""The report as a file: well-formed, self-contained, escaped, honest about what is missing."""

import collections
import csv
import dataclasses
import html.parser
import itertools
import pathlib
import re

import numpy as np
import pytest

from fpgan_jax.evaluation.controls.control_table import Verdict
from fpgan_jax.evaluation.report.contents import EvaluationResults
from fpgan_jax.evaluation.report.page import (
    create_tables,
    format_report,
    format_summary,
    write_report,
)
from fpgan_jax.evaluation.study import print_collection
from fpgan_jax.evaluation.study.findings import SKIPPED
from fpgan_jax.evaluation.study.print_collection import PrintCollection, Study
from tests.evaluation.study import made_up_study

VOID = {"meta", "link", "img", "br", "hr", "input"}
CSS = pathlib.Path("fpgan_jax/evaluation/report/templates/report.css").read_text()


class Page(html.parser.HTMLParser):
    """Reads a page strictly: every tag that opens is closed in turn."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.elements, self.mistakes = [], [], []
        self.texts = collections.defaultdict(list)
        self.feed(text)
        self.close()
        self.mistakes += [f"<{tag}> stays open" for tag in self.open]

    def handle_starttag(self, tag, attrs):
        names = [name for name, _ in attrs]
        if len(set(names)) != len(names):
            self.mistakes.append(f"<{tag}> has an attribute twice")
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.mistakes.append(f"</{tag}> closes another")

    def handle_data(self, data):
        for tag in self.open:
            self.texts[tag].append(data)

    def get(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]

    def read(self, tag="main"):
        return re.sub(r"\s+", " ", "".join(self.texts[tag]))


@pytest.fixture(scope="module")
def results():
    return made_up_study.create_results()


@pytest.fixture(scope="module")
def text(results):
    return format_report(results, ["measures"])


@pytest.fixture(scope="module")
def page(text):
    return Page(text)


def create_foreign_results():
    """Create a study of a folder of nobody's prints, with real ones beside it and nothing measured."""
    rng = np.random.default_rng(0)
    parts = {
        "real": (print_collection.REFERENCE, np.array([1], np.int32)),
        "synthetic": (print_collection.SYNTHETIC, np.full(3, -1, np.int32)),
    }
    prints = {
        name: PrintCollection(
            name, role, rng.integers(0, 256, (len(persons), 32, 32), np.uint8), persons,
            tuple(f"{name}_{place}.png" for place in range(len(persons))),
        )
        for name, (role, persons) in parts.items()
    }  # fmt: skip
    return EvaluationResults(Study(prints, made_up_study.create_settings()))


def keep_family(results, family):
    rows = [row for row in results.measures if row.family == family]
    return EvaluationResults(results.study, measures=rows)


def skip_all(results):
    nan = float("nan")
    rows = [
        dataclasses.replace(row, status=SKIPPED, value=nan, low=nan, high=nan, note="no tool")
        for row in results.measures
    ]
    return EvaluationResults(results.study, measures=rows)


VARIANTS = {
    "everything": lambda results: results,
    "only prints": lambda results: EvaluationResults(results.study),
    "only one family": lambda results: keep_family(results, "pixels"),
    "everything skipped": skip_all,
    "only scores": lambda results: EvaluationResults(results.study, matches=results.matches),
    "a foreign folder": lambda results: create_foreign_results(),
}


@pytest.fixture(scope="module", params=VARIANTS)
def variant(request, results, page):
    if request.param == "everything":
        return page
    return Page(format_report(VARIANTS[request.param](results)))


def test_every_tag_is_closed_in_turn(variant):
    assert variant.mistakes == []


def test_ids_are_unique(variant):
    ids = [attributes["id"] for _, attributes in variant.elements if "id" in attributes]
    assert [name for name, number in collections.Counter(ids).items() if number > 1] == []


def test_every_link_leads_somewhere(variant):
    ids = {attributes["id"] for _, attributes in variant.elements if "id" in attributes}
    links = {attributes["href"][1:] for attributes in variant.get("a")}
    assert links <= ids


def test_references_within_figures_resolve(page):
    ids = {attributes["id"] for _, attributes in page.elements if "id" in attributes}
    values = [str(value) for _, attributes in page.elements for value in attributes.values()]
    used = {name for value in values for name in re.findall(r"url\(#([^)]+)\)", value)}
    used |= {attributes["href"][1:] for attributes in page.get("use")}
    assert used and used <= ids


def test_nothing_is_loaded(variant):
    names = ("src", "href", "srcset", "action", "data", "poster", "background")
    values = [attributes[name] for _, attributes in variant.elements for name in names if name in attributes]
    assert [value for value in values if not value.startswith(("data:", "#"))] == []


def test_the_style_loads_nothing(variant):
    styles = [attributes.get("style", "") for _, attributes in variant.elements]
    assert not re.search(r"url\((?!#)|@import|//", "".join([CSS, *styles]))


def test_there_is_no_script(variant):
    handlers = [name for _, attributes in variant.elements for name in attributes if name.startswith("on")]
    assert variant.get("script") == [] and handlers == []


def test_the_policy_forbids_to_load_anything(page):
    (policy,) = [a["content"] for a in page.get("meta") if "http-equiv" in a]
    assert policy == "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def test_every_picture_says_what_it_shows(variant):
    assert [attributes for attributes in variant.get("img") if not attributes.get("alt")] == []


def test_every_drawing_has_a_title(page):
    places = [place for place, (tag, _) in enumerate(page.elements) if tag == "svg"]
    assert places and {page.elements[place + 1][0] for place in places} == {"title"}


def test_headings_skip_no_level(variant):
    levels = [int(tag[1]) for tag, _ in variant.elements if re.fullmatch("h[1-6]", tag)]
    jumps = [pair for pair in itertools.pairwise(levels) if pair[1] > pair[0] + 1]
    assert levels[0] == 1 and levels.count(1) == 1 and jumps == []


def test_every_head_of_a_table_has_a_scope(variant):
    assert {attributes.get("scope") for attributes in variant.get("th")} <= {"row", "col"}


def test_every_table_has_a_caption_and_scrolls_within_its_box(page):
    boxes = [attributes for attributes in page.get("div") if attributes.get("class") == "scroll"]
    assert len(page.get("table")) == len(page.get("caption")) == len(boxes) > 0


def test_names_of_files_cannot_become_markup(text, page):
    name = made_up_study.NASTY_NAME
    assert "<script" not in text and any(name in attributes["alt"] for attributes in page.get("img"))


def test_values_of_the_config_cannot_become_markup(text, page):
    assert "<img src=x" not in text and "<img src=x onerror=alert(1)>" in page.read("pre")


@pytest.mark.parametrize("name", ["a\udcff.png", "a\x00\x1b[2J.png", "gnp.\u202etxt"])
def test_what_html_cannot_hold_is_replaced(results, name):
    study = create_foreign_results().study
    prints = study.collections["synthetic"]
    named = dataclasses.replace(prints, filenames=(name, *prints.filenames[1:]))
    study = dataclasses.replace(study, collections={**study.collections, "synthetic": named})
    text = format_report(EvaluationResults(study))
    assert "\ufffd" in text and not re.search("[\x00\x1b\u202e\ud800-\udfff]", text)


def test_nothing_is_claimed_where_everything_was_skipped(results):
    summary = format_summary(skip_all(results))
    assert summary.startswith("Not measured: skipped: ") and summary.count("\n") == 0


def test_the_terminal_gets_the_same_sentences(results, page):
    lines = [" ".join(line.split()) for line in format_summary(results).splitlines()]
    lines = [line.removeprefix("Not measured: ") for line in lines]
    assert len(lines) > 10 and [line for line in lines if line not in page.read()] == []


def test_a_missing_part_is_named(results):
    page = Page(format_report(EvaluationResults(results.study)))
    assert "Not part of this run: " in page.read("header") and "epochs" in page.read("header")


def test_one_epoch_is_no_course(results):
    rows = {2: results.measures_by_epoch[2]}
    page = Page(format_report(EvaluationResults(results.study, measures_by_epoch=rows)))
    assert "epochs" not in [attributes.get("id") for attributes in page.get("section")]


def test_every_number_in_a_table_has_an_interval_or_says_so(results):
    page = Page(format_report(keep_family(results, "pixels")))
    measured = [row for row in results.measures if row.family == "pixels" and np.isfinite(row.value)]
    without = sum(np.isnan(row.low) for row in measured)
    assert without > 0 and page.read("table").count("no interval") >= without


def test_the_same_results_give_the_same_bytes(results):
    first, second = (format_report(keep_family(results, "pixels")) for _ in range(2))
    assert first == second


@pytest.fixture(scope="module")
def files(results, tmp_path_factory):
    # Without what takes the time: figures.
    plain = dataclasses.replace(results, images=(), matches=(), noise_images={})
    epochs = {2: results.measures_by_epoch[2]}
    folder = tmp_path_factory.mktemp("report") / "out"
    path = write_report(dataclasses.replace(plain, measures_by_epoch=epochs), str(folder))
    assert path == str(folder / "report.html")
    return folder


def test_files_are_written_beside_the_report(files):
    names = ("measures", "verdicts", "controls", "measures_by_epoch", "seeds")
    expected = {f"{name}.{ending}" for name in names for ending in ("csv", "md", "tex", "txt")}
    assert {file.name for file in files.iterdir()} == expected | {"report.html"}


def test_the_table_of_measures_holds_every_row(results, files):
    with open(files / "measures.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    written = [(row["measure"], row["collection"], row["status"], row["note"]) for row in rows]
    assert written == [(r.measure, r.collection, r.status, r.note) for r in results.measures]
    values = [float(row["value"] or "nan") for row in rows]
    np.testing.assert_allclose(values, [row.value for row in results.measures], rtol=1e-5)


def test_the_table_of_controls_has_a_column_a_control(results):
    study = results.study
    controls = [
        Verdict("control_blurred", "a", True, ""),
        Verdict("control_mosaic", "a", False, ""),
        Verdict("control_mosaic", "b", None, "no value"),
    ]
    (table,) = create_tables(EvaluationResults(study, controls=controls))
    assert table.header == ("measure", "control_blurred", "control_mosaic")
    assert table.cells == [("a", "caught", "missed"), ("b", "", "not decided")]


def test_noise_must_be_one_a_print(results):
    with pytest.raises(ValueError, match="synthetic_new: 1 noise images"):
        EvaluationResults(results.study, noise_images={"synthetic_new": np.zeros((1, 8, 8), np.uint8)})


def test_the_papers_scale_stays_under_ten_megabytes():
    # 13 persons x 10 prints of both kinds, 9 altered ones each, and noise, of which PNG can save nothing.
    rng = np.random.default_rng(0)

    def draw(name, role, number):
        persons = np.repeat(np.arange(13, dtype=np.int32), number)
        images = rng.integers(0, 256, (len(persons), 256, 256), np.uint8)
        return PrintCollection(name, role, images, persons, tuple(map(str, range(len(persons)))))

    prints = [
        draw("real", print_collection.REFERENCE, 1),
        draw("altered_easy", print_collection.BASELINE, 9),
        draw("synthetic_training", print_collection.SYNTHETIC, 10),
        draw("synthetic_new", print_collection.SYNTHETIC, 10),
    ]
    noise = {one.name: one.images for one in prints[2:]}
    study = Study({one.name: one for one in prints}, made_up_study.create_settings())
    text = format_report(EvaluationResults(study, noise_images=noise))
    # All 390 of them, and the noise of 260
    assert text.count("data:image/png") == 13 + 117 + 260 + 260 and len(text) < 10e6


def read_colors(block):
    return dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", block))


def compute_luminance(color):
    # WCAG 2.2, relative luminance
    parts = np.array([int(color[place : place + 2], 16) / 255 for place in (1, 3, 5)])
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return linear @ [0.2126, 0.7152, 0.0722]


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("ground", ["paper", "sheet"])
@pytest.mark.parametrize("name", ["ink", "muted", "link", "bad", "training", "new", "real"])
def test_text_stands_out_from_its_ground(theme, ground, name):
    light, dark = CSS.split("@media (prefers-color-scheme: dark)", 1)
    colors = read_colors(light if theme == "light" else dark.split("@media", 1)[0])
    luminances = sorted(compute_luminance(colors[one]) for one in (ground, name))
    assert (luminances[1] + 0.05) / (luminances[0] + 0.05) >= 4.5
