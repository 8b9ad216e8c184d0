"""Several sets in one command: what is checked first, where things go, and the joint table."""

import json

import pytest

from configs import test_size
from fpgan_jax.data import feeding
from fpgan_jax.errors import UserError
from fpgan_jax.reproduction import chain, sets
from fpgan_jax.reproduction.stages import Stage
from fpgan_jax.scoring.similarity import ScoreRow
from fpgan_jax.tables.csv_rows import write_rows


def create_config(name, **changes):
    config = test_size.get_config()
    config.set_name = name
    config.data.socofing_dir = "prints"
    config.update_from_flattened_dict(changes)
    return config


@pytest.fixture
def ran(monkeypatch):
    """Let every stage but the table only note that it ran; return the notes."""
    ran = []

    def create_stages(config, workdir):
        def score():
            ran.append(f"score {config.set_name}")
            rows = [ScoreRow(config.set_name, kind, 1, 0, "a", 0.5, 1, 0.5) for kind in ("real", "synthetic")]
            write_rows(f"{workdir}/scores.csv", rows)

        return [
            Stage("train", lambda: ran.append(f"train {config.set_name}"), ()),
            Stage("score", score, ("scores.csv",)),
        ]

    source = type("Source", (), {"data_hash": "0123"})
    monkeypatch.setattr(feeding, "create_classifier_source", lambda config: source)
    monkeypatch.setattr(chain, "create_stages", create_stages)
    monkeypatch.setattr(chain, "_describe", lambda *args: "")
    return ran


def test_every_set_runs_and_all_stand_in_one_table(ran, tmp_path):
    text = sets.reproduce_sets([create_config("P100"), create_config("P50")], str(tmp_path))
    assert ran == ["train P100", "score P100", "train P50", "score P50"]
    rows = [line.split(",")[:2] for line in (tmp_path / "table2.csv").read_text().splitlines()]
    assert rows[1:] == [["P50", "ours"], ["P50", "paper"], ["P100", "ours"], ["P100", "paper"]]
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == ["p100", "p50"]
    assert (tmp_path / "controls.md").exists()
    assert "0.8794" in text and "train" in text and str(tmp_path) in text
    timing = json.loads((tmp_path / "timing.json").read_text())
    assert timing.keys() == {"P50", "P100"}
    assert all(
        seconds.keys() == {"train", "score"} and min(seconds.values()) >= 0 for seconds in timing.values()
    )


def test_sets_that_are_done_are_not_run_again(ran, tmp_path):
    configs = [create_config("P50"), create_config("P100")]
    sets.reproduce_sets(configs[:1], str(tmp_path))
    sets.reproduce_sets(configs, str(tmp_path))
    assert ran == ["train P50", "score P50", "train P100", "score P100"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lambda_l1": -1.0}, r"set P100: config\.lambda_l1=-1\.0: must be at least 0"),
        ({"data.image_size": 32}, r"set P100: config\.data\.image_size=32: Xception"),
        (
            {"evaluation.std_ddof": 1},
            r"config\.evaluation\.std_ddof: the sets have 0, 1; one table needs one",
        ),
        (
            {"evaluation.std_over": "images"},
            r"config\.evaluation\.std_over: the sets have 'images', 'persons'",
        ),
        ({"set_name": "p50"}, r"config\.set_name: two configs have the set 'p50'"),
        ({"set_name": "../x"}, r"config\.set_name='\.\./x': cannot be the name of a folder"),
    ],
)
def test_a_mistake_in_any_set_is_named_before_the_first_starts(ran, tmp_path, changes, message):
    configs = [create_config("P50"), create_config("P100", **changes)]
    with pytest.raises(UserError, match=message):
        sets.reproduce_sets(configs, str(tmp_path / "runs"))
    assert ran == [] and not (tmp_path / "runs").exists()


def test_a_workdir_of_another_config_is_refused_before_the_first_starts(ran, tmp_path):
    sets.reproduce_sets([create_config("P100")], str(tmp_path))
    ran.clear()
    with pytest.raises(UserError, match=r"set P100: .*config\.lambda_l1 was 100\.0, is 50\.0"):
        configs = [create_config("P50"), create_config("P100", lambda_l1=50.0)]
        sets.reproduce_sets(configs, str(tmp_path))
    assert ran == [] and not (tmp_path / "p50").exists()


def test_no_set_at_all_is_refused(tmp_path):
    with pytest.raises(UserError, match="--configs: names no file"):
        sets.reproduce_sets([], str(tmp_path))


def test_config_files_are_loaded_and_overridden():
    paths = ["configs/paper_p50.py", "configs/paper_p100.py"]
    configs = sets.load_configs(paths, ["data.feeding=device", "seed=3"])
    assert [config.set_name for config in configs] == ["P50", "P100"]
    assert {(config.data.feeding, config.seed) for config in configs} == {("device", 3)}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.py", None, r"--configs: .*none\.py: no such file"),
        ("thesis.txt", "mine", r"--configs: .*thesis\.txt is not a Python file"),
        ("broken.py", "1 +", r"--configs: .*broken\.py cannot be loaded: SyntaxError"),
        ("empty.py", "", r"--configs: .*empty\.py defines no get_config"),
        (
            "nothing.py",
            "def get_config(): pass",
            r"--configs: .*nothing\.py: get_config\(\) returns no ConfigDict",
        ),
        ("timing.json", '{"P50": 3}', r"timing\.json: config\.\w+ is missing; start from"),
    ],
)
def test_a_file_that_is_no_config_is_named(tmp_path, name, content, message):
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(UserError, match=message):
        sets.load_configs([str(tmp_path / name)])


def test_timing_is_a_table_of_stages_and_sets_with_totals():
    text = sets.format_timing({"P50": {"train": 1.25, "score": 2.0}, "P100": {"train": 3.0, "score": 4.5}})
    assert [line.split() for line in text.splitlines()] == [
        ["stage", "P50", "P100"],
        ["-----", "---", "----"],
        ["train", "1.2", "3.0"],
        ["score", "2.0", "4.5"],
        ["total", "3.2", "7.5"],
    ]
