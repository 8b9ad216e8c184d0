"""Every launch script, run as a user runs it, on procedural prints with the test-size config."""

import csv
import json
import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from fpgan_jax.data import print_loading
from fpgan_jax.data.procedural.finger import create_finger
from fpgan_jax.data.procedural.impressions import create_impression
from fpgan_jax.scoring import similarity
from tests import kill_repeatedly
from tests.launch.scripts import SCRIPTS, run, run_well


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("launch")


@pytest.fixture(scope="module")
def data(folder):
    """Make prints of three persons; the flags that every script on them takes."""
    run_well("make_prints", f"--out_dir={folder / 'prints'}", "--num_persons=3")
    return [
        "--config=configs/test_size.py",
        f"--config.data.socofing_dir={folder / 'prints'}",
        f"--config.data.tfds_dir={folder / 'tfds'}",
    ]


@pytest.fixture(scope="module")
def reproduced(folder, data):
    """Run the whole chain once."""
    result = run_well("reproduce", *data, f"--workdir={folder / 'run'}")
    return folder / "run", result


def read_csv(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_reproduce_ends_with_the_table_and_the_places(reproduced):
    workdir, result = reproduced
    for text in ("Table 2", "synthesised mean", "Controls", "unseen_person", str(workdir)):
        assert text in result.stdout


@pytest.mark.parametrize(
    "name",
    [
        "config.json",
        "gan/metrics.csv",
        "gan/samples/epoch_0001.png",
        "gan/samples/epoch_0003.png",
        "classifier/metrics.csv",
        "synthetic_training/002_01.png",
        "synthetic_new/manifest.csv",
        "scores.csv",
        "figure3.png",
        "losses.png",
        "table2.tex",
        "controls.md",
    ],
)
def test_reproduce_leaves_its_files(reproduced, name):
    workdir, _ = reproduced
    assert (workdir / name).stat().st_size > 0


@pytest.mark.extended
def test_a_chain_that_is_killed_three_times_ends_as_the_one_that_was_not(
    reproduced, data, tmp_path, monkeypatch
):
    monkeypatch.setenv("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
    flags = [flag.replace("=configs/", f"={kill_repeatedly.ROOT}/configs/") for flag in data]
    left = kill_repeatedly.kill_and_restart(
        ["launch.reproduce", *flags, f"--workdir={kill_repeatedly.OUT}"],
        tmp_path,
        num_kills=3,
        moments=random.Random(0),
        after_start=0.0,
        after_results=4,
        watched_share=1.0,
    )
    assert len(left) == 3
    assert kill_repeatedly.find_differences(reproduced[0], tmp_path / kill_repeatedly.OUT) == []


def test_progress_shows_rate_and_time_left(reproduced):
    _, result = reproduced
    assert "images/s" in result.stderr and "<00:0" in result.stderr


def test_scores_count_the_papers_way(reproduced):
    workdir, _ = reproduced
    rows = read_csv(workdir / "scores.csv")
    counts = {kind: sum(row["kind"] == kind for row in rows) for kind in {row["kind"] for row in rows}}
    # Two persons, two replicas; three alterations; one stranger, scored as each of the two.
    assert counts == {
        "real": 4,
        "synthetic": 4,
        "new_noise": 4,
        "other_person": 2,
        "unseen_person": 2,
        "altered_easy": 6,
        "altered_medium": 6,
        "altered_hard": 6,
        "pure_noise": 4,
        "bare_frame": 2,
    }
    assert all(0 <= float(row["similarity_score"]) <= float(row["top_score"]) <= 1 for row in rows)


def test_reproduce_skips_what_is_done(reproduced, data):
    workdir, first = reproduced
    before = (workdir / "scores.csv").stat().st_mtime_ns
    again = run_well("reproduce", *data, f"--workdir={workdir}")
    assert again.stdout.count("done before") == 7
    assert (workdir / "scores.csv").stat().st_mtime_ns == before
    assert again.stdout.split("Table 2")[1] == first.stdout.split("Table 2")[1]


def test_reproduce_makes_again_what_was_deleted(reproduced, data):
    workdir, _ = reproduced
    before = read_csv(workdir / "scores.csv")
    (workdir / "scores.csv").unlink()
    again = run_well("reproduce", *data, f"--workdir={workdir}")
    assert again.stdout.count("done before") == 4
    assert read_csv(workdir / "scores.csv") == before


def test_reproduce_refuses_other_prints_and_keeps_what_there_is(reproduced, data, tmp_path):
    workdir, _ = reproduced
    before = (workdir / "scores.csv").read_bytes()
    run_well("make_prints", f"--out_dir={tmp_path / 'others'}", "--num_persons=3", "--seed=9", "--noaltered")
    others = f"--config.data.socofing_dir={tmp_path / 'others'}"
    result = run("reproduce", *data, others, f"--workdir={workdir}")
    assert result.returncode == 1 and "made from other prints" in result.stderr.splitlines()[-1]
    assert (workdir / "scores.csv").read_bytes() == before


def test_a_changed_deviation_makes_the_table_again_and_nothing_else(reproduced, data):
    workdir, _ = reproduced
    before = (workdir / "scores.csv").stat().st_mtime_ns
    result = run_well("reproduce", *data, "--config.evaluation.std_ddof=1", f"--workdir={workdir}")
    assert result.stdout.count("done before") == 5 and "divided by n - 1" in result.stdout
    assert (workdir / "scores.csv").stat().st_mtime_ns == before
    run_well("reproduce", *data, f"--workdir={workdir}")


def test_training_scripts_leave_a_finished_run_alone(reproduced, data):
    workdir, _ = reproduced
    for script, name in (("train_gan", "gan"), ("train_classifier", "classifier")):
        before = (workdir / name / "metrics.csv").read_bytes()
        run_well(script, *data, f"--workdir={workdir / name}")
        assert (workdir / name / "metrics.csv").read_bytes() == before


@pytest.mark.seconds(10)
def test_the_config_that_a_run_wrote_gives_the_same_run(reproduced, tmp_path):
    workdir, _ = reproduced
    run_well("train_gan", f"--config={workdir / 'gan' / 'config.json'}", f"--workdir={tmp_path / 'gan'}")
    assert kill_repeatedly.find_differences(workdir / "gan", tmp_path / "gan") == []


def test_evaluation_scripts_alone_give_what_the_chain_gave(reproduced, data, tmp_path):
    workdir, _ = reproduced
    run_well("synthesize", f"--gan_workdir={workdir / 'gan'}", f"--out_dir={tmp_path / 'images'}")
    folders = f"{tmp_path / 'images'},{workdir / 'synthetic_new'}"
    scores = tmp_path / "scores.csv"
    run_well(
        "score_similarity",
        f"--classifier_workdir={workdir / 'classifier'}",
        f"--synthetic_dirs={folders}",
        f"--scores={scores}",
    )
    assert read_csv(scores) == read_csv(workdir / "scores.csv")
    result = run_well("make_table", f"--scores={scores}", f"--out_dir={tmp_path}", "--std_over=images")
    assert "std: over all images" in result.stdout


def test_a_trained_network_is_exported(reproduced, tmp_path):
    workdir, _ = reproduced
    result = run_well("export_model", f"--workdir={workdir / 'gan'}", f"--out={tmp_path / 'served'}")
    assert "generator of step" in result.stdout
    description = json.loads((tmp_path / "served" / "model.json").read_text())
    assert description["inputs"][0]["shape"] == ["batch", 128, 128, 1]
    assert (tmp_path / "served" / "model.stablehlo").stat().st_size > 0


@pytest.mark.seconds(10)
def test_pairs_are_written_and_train(data, tmp_path):
    run_well("make_pairs", *data, f"--out_dir={tmp_path / 'pairs'}")
    paths = sorted((tmp_path / "pairs" / "train").iterdir())
    assert [path.name for path in paths] == ["001_00.png", "001_01.png", "002_00.png", "002_01.png"]
    assert np.asarray(Image.open(paths[0])).shape == (128, 256)
    run_well(
        "train_gan",
        "--config=configs/test_size.py",
        "--config.data.source=paired_folder",
        f"--config.data.paired_dir={tmp_path / 'pairs' / 'train'}",
        "--config.num_epochs=1",
        f"--workdir={tmp_path / 'gan'}",
    )
    run_well("synthesize", f"--gan_workdir={tmp_path / 'gan'}", f"--out_dir={tmp_path / 'images'}")
    assert len(list((tmp_path / "images").glob("*.png"))) == 4


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_training_script_with_a_line_and_its_own_exit_code(data, tmp_path, number):
    command = [sys.executable, "-m", "launch.train_gan", *data, f"--workdir={tmp_path / 'run'}"]
    command += ["--config.num_epochs=100000", "--config.sample_epochs=()"]
    environment = os.environ | {"JAX_PLATFORMS": "cpu", "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        while process.poll() is None and not (tmp_path / "run" / "metrics.csv").exists():
            time.sleep(0.1)
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 75, errors
    last = errors.strip().splitlines()[-1]
    assert last.startswith("INTERRUPTED: ") and f"stopped by {number.name} after step" in last
    steps = [int(path.name) for path in (tmp_path / "run" / "checkpoints").iterdir()]
    assert f"after step {max(steps)} of " in last and "run the same command again to resume" in last


def test_weights_go_to_pytorch_and_come_back(reproduced, data, tmp_path):
    workdir, _ = reproduced
    exported = run_well(
        "export_weights",
        "--to=pytorch_pix2pix",
        f"--workdir={workdir / 'gan'}",
        f"--out_dir={tmp_path / 'files'}",
    )
    assert "--netG unet_8 --ngf 2 --netD n_layers --n_layers_D 1 --ndf 2 --norm batch" in exported.stdout
    run_well(
        "import_weights",
        *data,
        "--from=pytorch_pix2pix",
        f"--generator={tmp_path / 'files' / 'latest_net_G.pth'}",
        f"--discriminator={tmp_path / 'files' / 'latest_net_D.pth'}",
        f"--workdir={tmp_path / 'gan'}",
    )
    run_well("synthesize", f"--gan_workdir={tmp_path / 'gan'}", f"--out_dir={tmp_path / 'images'}")
    images = [np.asarray(Image.open(folder / "002_01.png")) for folder in (
        tmp_path / "images", workdir / "synthetic_training")]  # fmt: skip
    np.testing.assert_array_equal(*images)


# Runs a script where TensorFlow is not installed.
WITHOUT_TENSORFLOW = """
import runpy, sys
sys.modules["tensorflow"] = sys.modules["tensorflow_datasets"] = None
runpy.run_module(sys.argv.pop(1), run_name="__main__", alter_sys=True)
"""


def run_without_tensorflow(script, *arguments):
    environment = os.environ | {"JAX_PLATFORMS": "cpu", "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}
    command = [sys.executable, "-c", WITHOUT_TENSORFLOW, f"launch.{script}", *arguments]
    return subprocess.run(command, check=False, capture_output=True, text=True, env=environment)


@pytest.fixture(scope="module")
def npz(folder, data):
    """Write everyone's prints as one file; the flags that every script on it takes."""
    path = folder / "archive" / "prints.npz"
    result = run_well("make_pairs", *data, f"--npz={path}")
    assert "30 prints in" in result.stdout  # three persons, each a real one and nine altered
    return [
        "--config=configs/test_size.py",
        "--config.data.source=npz",
        f"--config.data.npz_file={path}",
        "--config.data.feeding=device",
    ]


@pytest.mark.seconds(10)
def test_an_experiment_goes_on_with_the_same_prints_from_one_file(reproduced, npz):
    workdir, _ = reproduced
    before = read_csv(workdir / "scores.csv")
    (workdir / "scores.csv").unlink()
    again = run_without_tensorflow("reproduce", *npz, f"--workdir={workdir}")
    assert again.returncode == 0, again.stderr
    assert again.stdout.count("done before") == 4
    assert read_csv(workdir / "scores.csv") == before


@pytest.mark.slow
def test_the_whole_chain_of_two_sets_runs_without_tensorflow(reproduced, npz, tmp_path):
    overrides = [f"--override={flag.removeprefix('--config.')}" for flag in npz[1:]]
    other = tmp_path / "other_set.py"
    other.write_text(
        "from configs import test_size\n\n\ndef get_config():\n    config = test_size.get_config()\n"
        "    config.set_name = 'other'\n    config.seed = 1\n    return config\n"
    )
    arguments = [f"--configs=configs/test_size.py,{other}", *overrides, f"--workdir={tmp_path / 'runs'}"]
    result = run_without_tensorflow("reproduce_sets", *arguments)
    assert result.returncode == 0, result.stderr
    # Trained from one file, fed by the devices: the very numbers of the folder, fed by tf.data.
    assert read_csv(tmp_path / "runs" / "test_size" / "scores.csv") == read_csv(reproduced[0] / "scores.csv")
    rows = read_csv(tmp_path / "runs" / "table2.csv")
    assert [(row["set"], row["source"]) for row in rows] == [("other", "ours"), ("test_size", "ours")]
    timing = json.loads((tmp_path / "runs" / "timing.json").read_text())
    assert timing.keys() == {"other", "test_size"} and all(len(stages) == 7 for stages in timing.values())
    assert "Seconds of each stage" in result.stdout
    again = run_without_tensorflow("reproduce_sets", *arguments)
    assert again.stdout.count("done before") == 14


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_tells_what_the_script_does_and_its_flags(script):
    result = run(script, "--help")
    assert f"python -m launch.{script}" in result.stdout
    assert f"launch/{script}.py:" in result.stdout


@pytest.mark.extended
def test_a_seed_among_several_gives_what_it_gives_alone(reproduced, data, tmp_path):
    result = run_well("reproduce", *data, f"--workdir={tmp_path}", "--gan_seeds=1,0")
    assert "std classifier" in result.stdout
    # config.seed is 0, here and there.
    alone = read_csv(reproduced[0] / "scores.csv")
    assert read_csv(tmp_path / "gan_seed_0_classifier_seed_0" / "scores.csv") == alone
    other = read_csv(tmp_path / "gan_seed_1_classifier_seed_0" / "scores.csv")
    differ = {row["kind"] for row, own in zip(other, alone, strict=True) if row != own}
    assert differ == {"synthetic", "new_noise"}


@pytest.mark.extended
def test_the_use_of_synthetic_prints_is_measured_on_the_trained_weights(reproduced, data, tmp_path):
    folder, out_dir = reproduced[0] / "synthetic_training", tmp_path / "utility"
    result = run_well(
        "measure_utility", *data, f"--synthetic_dirs={folder}", "--seeds=0,1,2", f"--out_dir={out_dir}"
    )
    assert "only 3" in result.stderr and (out_dir / "utility.png").stat().st_size > 0
    # Four conditions, three seeds, the training prints and three sets of altered ones.
    assert len(read_csv(out_dir / "results.csv")) == 4 * 3 * 4
    scorer = similarity.Scorer(str(out_dir / "all" / "seed_1"))
    hard = print_loading.load_prints(scorer.config, split="altered_hard")
    expected = scorer.compute_probabilities(hard.images)[np.arange(len(hard)), hard.persons - 1]
    rows = [
        row
        for row in read_csv(out_dir / "all" / "seed_1" / "scores.csv")
        if row["test_set"] == "altered_hard"
    ]
    np.testing.assert_allclose([float(row["similarity_score"]) for row in rows], expected, rtol=1e-6)


@pytest.mark.extended
def test_the_protocol_s_table_has_a_row_a_line_and_a_column_a_set(tmp_path):
    for name, seed, impressions in (("few", 1, (1, 2)), ("drawn", 1, (3, 4)), ("new", 2, (1, 2))):
        (tmp_path / name).mkdir()
        for person in (1, 2, 3):
            finger = create_finger(seed, person)
            for impression in impressions:
                made = create_impression(finger, impression, size="241x298")
                Image.fromarray(made).save(tmp_path / name / f"{person}_{impression}.png")
    pictures, out_dir = tmp_path / "prints", tmp_path / "out"
    run_well("make_prints", f"--out_dir={pictures}", "--num_persons=6", "--noaltered")
    flags = ["--config=configs/test_size.py", f"--config.data.socofing_dir={pictures}"]
    flags += [f"--config.data.tfds_dir={tmp_path / 'tfds'}", "--config.data.frame=crop"]
    flags += [
        "--config.data.image_size=128",
        "--config.data.num_held_out_persons=2",
        "--config.data.num_persons=0",
    ]
    flags += [f"--real=few={tmp_path / 'few'}@500", f"--more_impressions=ours=few:{tmp_path / 'drawn'}@500"]
    flags += [f"--more_fingers=ours={tmp_path / 'new'}@500", "--num_procedural=2", "--num_training=4"]
    result = run_well("measure_protocol", *flags, f"--out_dir={out_dir}")
    assert "Accepted by another real impression" in result.stdout and str(out_dir) in result.stdout
    more, new = (read_csv(out_dir / f"protocol_{name}.csv") for name in ("more_impressions", "new_fingers"))
    assert {row["line"] for row in more} == {"1", "2", "3", "4", "5", "10", "11"}
    assert {row["line"] for row in new} == {"4", "6", "7", "8", "9", "10", "11"}
    assert {"ours", "Copy", "Stranger"} <= set(more[0]) and {"ours", "procedural", "Copy"} <= set(new[0])


@pytest.mark.extended
def test_recognizers_are_compared_on_fingers_that_they_never_saw(tmp_path):
    for name, seed in (("few", 1), ("sensor", 2)):
        (tmp_path / name).mkdir()
        for person in (1, 2, 3):
            finger = create_finger(seed, person)
            for impression in (0, 1):
                made = create_impression(finger, impression, size="241x298")
                Image.fromarray(made).save(tmp_path / name / f"{person}_{impression}.png")
    flags = [f"--real=few={tmp_path / 'few'}@500", f"--tests=sensor={tmp_path / 'sensor'}@500"]
    flags += ["--num_fingers=2", "--num_procedural=1", "--num_steps=2", "--batch_size=4", "--seeds=0,1"]
    result = run_well("measure_recognition", *flags, f"--out_dir={tmp_path / 'out'}")
    assert "every_real_finger: 6 prints of 3 fingers (few), augmented" in result.stdout
    # Four arms, two seeds, three fingers.
    assert len(read_csv(tmp_path / "out" / "results.csv")) == 4 * 2 * 3
    assert (tmp_path / "out" / "recognition.png").stat().st_size > 0
