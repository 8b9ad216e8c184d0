"""An evaluation from its plan to the report."""

import dataclasses
import math
import pathlib
import shutil

import numpy as np
import pytest
from PIL import Image

from configs import test_size
from fpgan_jax.data import print_archive
from fpgan_jax.data.prints import PrintSet
from fpgan_jax.errors import UserError
from fpgan_jax.evaluation import evaluate, kept_findings, seeds_and_epochs
from fpgan_jax.evaluation.matcher import nist_tools, tools
from fpgan_jax.evaluation.matcher.nist_tools import ToolError
from fpgan_jax.evaluation.plan import create_plan
from fpgan_jax.evaluation.study.findings import MEASURED, REFUSED, SKIPPED, Findings, ImageRow, MeasureRow
from fpgan_jax.evaluation.study.print_collection import REFERENCE, SYNTHETIC, PrintCollection, Study
from fpgan_jax.tables.csv_rows import read_rows
from tests.data.conftest import make_print_pixels
from tests.evaluation.measures.scored_study import TableTool

NAN = float("nan")


def create_row(value, measure="similarity_frame_crop", family="similarity", **fields):
    row = MeasureRow(family, measure, "synthetic", value, NAN, NAN, 4, 2)
    return dataclasses.replace(row, **fields)


@pytest.fixture
def judged():
    images = np.zeros((2, 4, 4), np.uint8)
    persons = np.array([1, 2])
    return Study(
        {
            "real": PrintCollection("real", REFERENCE, images, persons, ("a", "b")),
            "synthetic": PrintCollection("synthetic", SYNTHETIC, images, persons, ("c", "d")),
        },
        test_size.get_config().evaluation,
    )


class CountingFamily:
    """Finds one number, and counts how often it was asked."""

    def __init__(self, findings):
        self.findings, self.calls = findings, 0

    def __call__(self, study):
        self.calls += 1
        return self.findings


@pytest.fixture
def family():
    image_row = ImageRow("l1", "synthetic", 1, "c", 0.5)
    return CountingFamily(Findings([create_row(0.25, family="pixels")], [image_row]))


def measure(judged, family, folder):
    return kept_findings.measure_families(judged, {"pixels": family}, str(folder), "study")[0]


def test_a_family_is_measured_once(judged, family, tmp_path):
    first, second = (measure(judged, family, tmp_path) for _ in range(2))
    assert family.calls == 1
    assert second.images == first.images == family.findings.images
    assert (second.measures[0].value, second.matches) == (0.25, [])


def change_image(judged):
    collection = judged.collections["synthetic"]
    changed = dataclasses.replace(collection, images=collection.images + np.uint8(1))
    return dataclasses.replace(judged, collections=judged.collections | {"synthetic": changed})


def change_person(judged):
    collection = judged.collections["synthetic"]
    changed = dataclasses.replace(collection, persons=np.array([2, 2]))
    return dataclasses.replace(judged, collections=judged.collections | {"synthetic": changed})


@pytest.mark.parametrize(
    "change",
    [
        change_image,
        change_person,
        lambda judged: dataclasses.replace(judged, seed=1),
        lambda judged: dataclasses.replace(judged, ppi=500.0),
    ],
)
def test_another_study_is_measured_anew(judged, family, tmp_path, change):
    measure(judged, family, tmp_path)
    measure(change(judged), family, tmp_path)
    assert family.calls == 2


def test_other_weights_of_the_same_config_are_measured_anew(judged, family, tmp_path, monkeypatch):
    judged = dataclasses.replace(judged, classifier_workdirs=("classifier",))
    metadata = {"config_hash": "c", "data_hash": "d"}
    for weight, calls in ((1, 1), (1, 1), (2, 2)):
        trees = {"classifier": {"params": {"dense": {"kernel": np.full(3, weight, np.float32)}}}}
        monkeypatch.setattr(
            kept_findings, "restore_for_evaluation", lambda *args, trees=trees: (5, trees, metadata)
        )
        kept_findings.measure_families(judged, {"similarity": family}, str(tmp_path), "study")
        assert family.calls == calls


def test_rows_that_were_lost_are_measured_anew(judged, family, tmp_path):
    measure(judged, family, tmp_path)
    (tmp_path / "pixels" / "images.csv").unlink()
    measure(judged, family, tmp_path)
    assert family.calls == 2


def test_a_family_that_lacked_its_tool_is_measured_anew(judged, family, tmp_path):
    found = family.findings
    family.findings = Findings([create_row(float("nan"), family="pixels", status=SKIPPED, note="no tool")])
    assert measure(judged, family, tmp_path).measures[0].status == SKIPPED
    family.findings = found
    assert measure(judged, family, tmp_path).measures[0].value == 0.25


def test_a_second_matcher_that_was_installed_since_is_asked(judged, tmp_path, monkeypatch):
    rates = {"nbis": {"value": 0.25}, "fingerprint_recognition": {"value": NAN, "status": SKIPPED}}
    rows = [create_row(measure=f"{name}_rank_1", family="identity", **found) for name, found in rates.items()]
    family = CountingFamily(Findings(rows))
    for tool, calls in ((ToolError("not installed"), 1), (ToolError("not installed"), 1), (TableTool({}), 2)):

        def find(name, tool=tool):
            if name == "nbis" or not isinstance(tool, ToolError):
                return TableTool({})
            raise tool

        monkeypatch.setattr(tools, "find_tool", find)
        kept_findings.measure_families(judged, {"identity": family}, str(tmp_path), "study")
        assert family.calls == calls


def test_a_family_that_is_not_wanted_is_not_measured(judged, family, tmp_path):
    judged.settings.measures = ("ridges",)
    assert not measure(judged, family, tmp_path).measures and not family.calls


def test_seeds_are_averaged_with_the_spread_due_to_each(judged):
    values = {(0, 0): 0.1, (0, 1): 0.3, (1, 0): 0.5, (1, 1): 0.9}
    table = seeds_and_epochs.create_seeds_table(
        judged, {place: [create_row(value)] for place, value in values.items()}
    )
    # Worked out by hand. Mean 0.45. Row means 0.2, 0.7, column means 0.3, 0.6; rest +-0.05: mean squares 0.25, 0.09
    # and 0.01, so the variances are (0.25 - 0.01) / 2 and (0.09 - 0.01) / 2.
    cells = table.cells[0]
    assert cells[:5] == ("similarity_frame_crop", "synthetic", "2", "2", "0.45")
    assert [float(cell) for cell in cells[7:]] == pytest.approx([math.sqrt(0.12), 0.2, 0.1], rel=1e-3)


def test_only_the_papers_similarity_has_a_classifiers_part(judged):
    rows = {(gan, 0): [create_row(gan, "l1", "pixels")] for gan in (1, 0, 2)}
    cells = seeds_and_epochs.create_seeds_table(judged, rows | {(0, 1): []}).cells
    assert [row[:5] for row in cells] == [("l1", "synthetic", "3", "1", "1")]


@pytest.mark.parametrize("row", [create_row(NAN, status=REFUSED), create_row(0.5, collection="real")])
def test_what_was_not_measured_or_is_not_drawn_is_in_no_seeds_table(judged, row):
    assert not seeds_and_epochs.create_seeds_table(judged, {(0, 0): [row], (1, 0): [row]}).cells


def create_prints(persons, size):
    images = [Image.fromarray(make_print_pixels(person)).resize((size, size)) for person in persons]
    names = tuple(f"{person}__M_Right_index_finger.BMP" for person in persons)
    return PrintSet(np.stack(images)[..., None], np.array(persons, np.int32), names)


@pytest.fixture
def config(tmp_path):
    """Create a config of five persons' prints, two of them of the set, in one file."""
    config = test_size.get_config()
    config.data.source, config.data.npz_file = "npz", str(tmp_path / "prints.npz")
    config.evaluation.measures = ("ridges", "pixels", "identity")
    config.evaluation.num_resamples = 100
    empty = create_prints([1], config.data.image_size)
    empty = PrintSet(empty.images[:0], empty.persons[:0], ())
    sets = {"real": create_prints([1, 2, 3, 4, 5], config.data.image_size)}
    sets |= {f"altered_{difficulty}": empty for difficulty in ("easy", "medium", "hard")}
    print_archive.write_archive(config.data.npz_file, sets, config.data)
    return config


@pytest.fixture
def folder(tmp_path):
    """Create a folder of another program: two prints a person."""
    folder = tmp_path / "theirs"
    folder.mkdir()
    for person in (1, 2):
        for replica in range(2):
            pixels = make_print_pixels(10 * person + replica)
            Image.fromarray(pixels).save(folder / f"{person:03d}_{replica}.png")
    return str(folder)


def test_a_folder_of_another_program_is_judged_without_any_optional_tool(
    config, folder, tmp_path, monkeypatch
):
    def find_no_tool():
        raise nist_tools.ToolError("no matcher here")

    monkeypatch.setattr(nist_tools, "find_matching_tool", find_no_tool)
    out_dir = tmp_path / "out"
    plan = create_plan(config=config, experiment=None, synthetic_dirs=[folder])
    text = evaluate.evaluate(plan, str(out_dir))
    assert str(out_dir / "report.html") in text
    rows = read_rows(str(out_dir / "rows" / "study" / "pixels" / "measures.csv"), MeasureRow, "evaluate")
    l1 = {row.collection: row for row in rows if row.measure == "l1_to_reference"}
    # Worked out from the files: the mean of the prints' distances to their own person's real print.
    size = config.data.image_size
    distances = []
    for path in sorted(pathlib.Path(folder).iterdir()):
        own = Image.open(path).resize((size, size), Image.Resampling.BICUBIC)
        real = Image.fromarray(make_print_pixels(int(path.name[:3]))).resize((size, size))
        distances.append(np.abs(np.asarray(own, float) - np.asarray(real, float)).mean())
    assert (l1["synthetic"].status, l1["synthetic"].num_images) == (MEASURED, 4)
    assert l1["synthetic"].value == pytest.approx(np.mean(distances))
    assert l1["control_exact_copy"].value == 0
    page = (out_dir / "report.html").read_text(encoding="utf-8")
    assert "no matcher here" in page


def test_nothing_is_written_for_a_folder_that_is_none(config, tmp_path):
    out_dir = tmp_path / "out"
    with pytest.raises(UserError, match="no such folder"):
        evaluate.evaluate(
            create_plan(config=config, experiment=None, synthetic_dirs=["nowhere"]), str(out_dir)
        )
    assert not out_dir.exists()


def test_a_file_that_is_not_experiment_3s_is_named_before_anything_is_measured(config, folder, tmp_path):
    path = tmp_path / "utility.csv"
    path.write_text("test_set,measure\naltered_easy,accuracy\n")
    with pytest.raises(UserError, match=r"--utility: .*utility\.csv: .*; give results\.csv"):
        create_plan(config=config, experiment=None, synthetic_dirs=[folder], utility_csv=str(path))


def test_other_code_measures_anew(judged, family, tmp_path, monkeypatch):
    measure(judged, family, tmp_path)
    monkeypatch.setattr(kept_findings, "_hash_code", lambda: "other")
    measure(judged, family, tmp_path)
    assert family.calls == 2


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """Copy the package's code."""
    own = pathlib.Path(evaluate.__file__).parents[1]
    copy = tmp_path_factory.mktemp("code") / own.name
    shutil.copytree(own, copy, ignore=shutil.ignore_patterns("__pycache__"))
    return copy


def is_hashed(package, name):
    path = package / name
    text, old = path.read_text(), kept_findings.hash_measuring_code(package)
    path.write_text(f"{text}\n# changed")
    new = kept_findings.hash_measuring_code(package)
    path.write_text(text)
    return old != new


@pytest.mark.parametrize(
    "name",
    [
        "evaluation/measures/identity.py",
        "evaluation/measures/family.py",
        "evaluation/measures/agreement.py",
        "evaluation/kept_findings.py",
        "evaluation/matcher/gallery.py",
        "evaluation/matcher/ridge_spectrum.py",
        "evaluation/statistics/intervals.py",
        "evaluation/study/loading.py",
        "evaluation/study/findings.py",
        "evaluation/controls/control_images.py",
        "scoring/similarity.py",
        "data/preprocessing.py",
        "data/ridges/ridge_map.py",
    ],
)
def test_a_change_in_what_measures_changes_the_hash(package, name):
    assert is_hashed(package, name)


@pytest.mark.parametrize(
    "name", ["evaluation/report/page.py", "evaluation/report/names.py", "evaluation/plan.py"]
)
def test_a_change_in_the_report_does_not_change_the_hash(package, name):
    assert not is_hashed(package, name)


def test_code_that_is_missing_is_not_passed_over(tmp_path):
    with pytest.raises(FileNotFoundError, match="study"):
        kept_findings.hash_measuring_code(tmp_path)
