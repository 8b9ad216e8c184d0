"""A sweep's numbers, and the CSV and page that hold them."""

import csv
import html.parser
import math
import os
import pathlib
import re

import pytest

from fpgan_jax.sweeps import page, results

HEADER = "step,discriminator_loss,l1_loss\n"


@pytest.fixture
def write_run(create_run):
    """Return a function that makes a run whose folder holds rows of metrics: the l1_loss at steps 10, 20, ..."""

    def write(name, losses, **overrides):
        run = create_run(name, **overrides)
        os.makedirs(run.workdir)
        rows = [f"{10 * number},0.7,{loss}\n" for number, loss in enumerate(losses, start=1)]
        pathlib.Path(run.workdir, "metrics.csv").write_text(HEADER + "".join(rows))
        return run

    return write


@pytest.fixture
def table(write_run):
    runs = [
        write_run("a0", [0.5, 0.3, 0.4], lambda_l1=1.0, seed=0),
        write_run("a1", [0.5, 0.8], lambda_l1=1.0, seed=1),
        write_run("a2", [0.6], lambda_l1=1.0, seed=2),
        write_run("b0", [0.2], lambda_l1=10.0, seed=0),
        write_run("b1", [0.1], lambda_l1=10.0, seed=1),
    ]
    return results.create_table(runs, dict.fromkeys(("a0", "a1", "a2", "b0"), "finished") | {"b1": "running"})


def test_a_run_has_its_final_and_its_best_metrics(table):
    assert table.results[0].metrics == {
        "discriminator_loss": 0.7,
        "l1_loss": 0.4,
        "best l1_loss": 0.3,
        "best step": 20,
    }


def test_a_mean_over_seeds_has_a_t_interval(table):
    group = table.groups[0]
    # Of 0.4, 0.8, 0.6: mean 0.6, standard deviation 0.2; t of 2 degrees of freedom at 97.5% is 4.302653.
    half = 4.302653 * 0.2 / 3**0.5
    assert (group.overrides, group.num_runs) == ({"lambda_l1": 1.0}, 3)
    assert group.means["l1_loss"] == pytest.approx((0.6, 0.6 - half, 0.6 + half), abs=1e-6)


def test_only_finished_runs_are_averaged_and_one_has_no_interval(table):
    group = table.groups[1]
    assert group.num_runs == 1
    assert group.means["l1_loss"] == pytest.approx((0.2, float("nan"), float("nan")), nan_ok=True)


@pytest.mark.parametrize(("second", "are_crossed"), [((5, 6, 7, 8), False), ((5, 6, 5, 6), True)])
def test_runs_that_share_a_seed_have_no_interval(write_run, tmp_path, second, are_crossed):
    seeds = zip((1, 2, 3, 4) if not are_crossed else (1, 1, 2, 2), second, strict=True)
    runs = [
        write_run(f"{seed}{other}", [seed], seed=seed, **{"data.noise_seed": other}) for seed, other in seeds
    ]
    table = results.create_table(runs, dict.fromkeys((run.name for run in runs), "finished"))
    mean, low, high = table.groups[0].means["l1_loss"]
    assert mean == (1.5 if are_crossed else 2.5)
    assert (math.isnan(low), math.isnan(high)) == (are_crossed, are_crossed)
    shown = Page(page.write_page(table, str(tmp_path), {}))
    assert ("are not independent" in shown.text) == are_crossed


def test_the_swept_fields_are_those_that_change_and_are_no_seeds(write_run):
    runs = [
        write_run(f"a{number}", [1], remat=True, lambda_l1=number, seed=3, **{"data.noise_seed": number})
        for number in (1, 2)
    ]
    table = results.create_table(runs, {"a1": "finished", "a2": "finished"})
    assert table.fields == ("remat", "lambda_l1", "seed", "data.noise_seed") and table.swept == ("lambda_l1",)


def test_a_whole_experiment_tells_its_similarities(create_run):
    run = create_run("a")
    os.makedirs(run.workdir)
    pathlib.Path(run.workdir, "table2.csv").write_text(
        "set,source,real mean,synthesised mean\nP50,ours,0.99,0.5\nP50,paper,0.9924,0.8794\n"
    )
    pathlib.Path(run.workdir, "controls.csv").write_text("set,scored,mean\nP50,new_noise,0.24\n")
    assert results.create_table([run], {"a": "finished"}).results[0].metrics == {
        "similarity of real": 0.99,
        "similarity of synthesised": 0.5,
        "similarity of new_noise": 0.24,
    }


@pytest.mark.parametrize("text", ["", "step,l1_loss\n", "step,l1_loss\n1", "step,other\n1,2\n", "\0"])
def test_a_run_without_whole_metrics_has_none(create_run, text):
    run = create_run("a")
    os.makedirs(run.workdir)
    pathlib.Path(run.workdir, "metrics.csv").write_text(text)
    assert results.create_table([run], {"a": "failed"}).results[0].metrics == {}


def test_the_csv_has_a_row_a_run(table, tmp_path):
    with open(page.write_csv(table, str(tmp_path)), newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["run"] for row in rows] == ["a0", "a1", "a2", "b0", "b1"]
    first = rows[0]
    assert (first["lambda_l1"], first["seed"], first["state"], first["seconds"]) == (
        "1.0",
        "0",
        "finished",
        "0.0",
    )
    assert (first["l1_loss"], first["best l1_loss"], first["folder"]) == ("0.4", "0.3", str(tmp_path / "a0"))


class Page(html.parser.HTMLParser):
    """Notes a page's elements and text."""

    def __init__(self, path):
        super().__init__()
        self.tags, self.links, self.text = [], [], ""
        self.feed(pathlib.Path(path).read_text())

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data):
        self.text += data


def test_the_page_needs_nothing_beside_itself(table, tmp_path):
    shown = Page(page.write_page(table, str(tmp_path), {"sweep": "x.py"}))
    assert "script" not in shown.tags
    assert all(link.startswith("data:") or re.fullmatch(r"[ab]\d/", link) for link in shown.links)


def test_the_page_has_rows_means_and_a_plot(table, tmp_path):
    shown = Page(page.write_page(table, str(tmp_path), {"what": "train_gan"}))
    for text in (
        "5: 4 finished, 1 running",
        "Means over seeds",
        "0.1032 to 1.097",
        "Over lambda_l1",
        "train_gan",
    ):
        assert text in shown.text
    # Of l1_loss, its best value, and discriminator_loss.
    assert shown.tags.count("img") == 3


@pytest.mark.parametrize("swept", [(0.0, 1.0, 1000.0), (1, 2, 3), ("uniform", "gaussian", "salt_and_pepper")])
def test_a_plot_of_several_fields_has_a_line_a_choice_of_the_others(write_run, tmp_path, swept):
    field = "data.noise_distribution" if isinstance(swept[0], str) else "lambda_l1"
    runs = [
        write_run(f"{number}{remat}", [number + remat], **{field: value}, remat=remat)
        for number, value in enumerate(swept)
        for remat in (False, True)
    ]
    table = results.create_table(runs, {run.name: "finished" for run in runs})
    shown = Page(page.write_page(table, str(tmp_path), {}))
    assert f"Over {field}" in shown.text and "Over remat" in shown.text and shown.tags.count("img") == 6


def test_a_page_of_a_sweep_of_nothing_but_failures_says_why(write_run, tmp_path):
    run = write_run("a", [])
    pathlib.Path(run.workdir, "run.json").write_text(
        '{"state": "failed", "config_hash": "x", "started": 0, "message": "<script>alert(1)</script>"}'
    )
    table = results.create_table([run], {"a": "failed"})
    shown = Page(page.write_page(table, str(tmp_path), {}))
    assert "<script>alert(1)</script>" in shown.text and "script" not in shown.tags and table.groups == ()
