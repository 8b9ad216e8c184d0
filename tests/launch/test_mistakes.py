"""A user's mistake gets one clear line, exit code 1, and leaves no trace."""

import pytest

from tests.launch.scripts import run, run_as_process, run_well

TRAIN = ("train_gan", "--config=configs/test_size.py")


def assert_one_line(result, *texts):
    assert result.returncode == 1
    errors = [line for line in result.stderr.splitlines() if line]
    assert len(errors) == 1 and errors[0].startswith("ERROR: "), result.stderr
    assert "Traceback" not in result.stderr
    for text in texts:
        assert text in errors[0]


@pytest.fixture(scope="module")
def prints(tmp_path_factory):
    folder = tmp_path_factory.mktemp("prints")
    run_well("make_prints", f"--out_dir={folder}", "--num_persons=2", "--noaltered")
    return folder


@pytest.mark.parametrize(
    ("arguments", "texts"),
    [
        (["--config.lambda_l2=3"], ["'lambda_l2'", "'lambda_l1'"]),
        (["--config.num_epochs=many"], ["config.num_epochs", "many"]),
        (["--config.gan_objective=wgan"], ["config.gan_objective='wgan'", "'hinge'"]),
        (["--cofnig=3"], ["cofnig"]),
        (["stray"], ["'stray'"]),
        ([], ["config.data.socofing_dir", "make_prints"]),
        (["--config.data.socofing_dir=/nowhere"], ["config.data.socofing_dir", "/nowhere"]),
        (
            ["--config.data.socofing_dir=x", "--config.generator.num_levels=12"],
            ["config.generator.num_levels=12"],
        ),
        (
            [
                "--config.data.socofing_dir=x",
                "--config.discriminator.receptive_field=286",
                "--config.data.image_size=64",
            ],
            ["config.discriminator.receptive_field=286", "config.data.image_size=64"],
        ),
    ],
    ids=["field", "type", "choice", "flag", "argument", "no data", "no folder", "levels", "patch"],
)
def test_a_mistake_in_the_command(tmp_path, arguments, texts):
    result = run(*TRAIN, *arguments, f"--workdir={tmp_path / 'run'}")
    assert_one_line(result, *texts)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("overrides", "texts"),
    [
        (["--config.data.finger=thumb"], ["Right thumb"]),
        (["--config.data.num_persons=7"], ["config.data.num_persons", "7"]),
        (["--config.data.persons=(1,9)"], ["config.data.persons", "9"]),
    ],
    ids=["finger", "too few", "person"],
)
def test_prints_that_are_not_there(prints, tmp_path, overrides, texts):
    flags = [f"--config.data.socofing_dir={prints}", f"--config.data.tfds_dir={tmp_path / 'tfds'}"]
    result = run(*TRAIN, *flags, *overrides, f"--workdir={tmp_path / 'run'}")
    assert result.returncode == 1
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith("ERROR: ") and all(text in last for text in texts)
    assert "Traceback" not in result.stderr and not (tmp_path / "run").exists()


@pytest.mark.parametrize("content", [b"", b"not an image", None], ids=["empty", "text", "truncated"])
def test_a_bad_image_is_named(tmp_path, content):
    run_well("make_prints", f"--out_dir={tmp_path / 'prints'}", "--num_persons=2", "--noaltered")
    bad = next((tmp_path / "prints" / "Real").glob("2__*"))
    bad.write_bytes(bad.read_bytes()[:2000] if content is None else content)
    flags = [
        f"--config.data.socofing_dir={tmp_path / 'prints'}",
        f"--config.data.tfds_dir={tmp_path / 'tfds'}",
    ]
    result = run(*TRAIN, *flags, f"--workdir={tmp_path / 'run'}")
    last = result.stderr.strip().splitlines()[-1]
    assert result.returncode == 1 and last.startswith("ERROR: ") and bad.name in last
    assert "Traceback" not in result.stderr and not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("content", "overrides", "text"),
    [
        ("open('{0}/executed', 'w')", [], "config.json: not JSON (line 1, column 1: "),
        ('{{"lambda_l1": 3}}', [], "config.adam_beta1: missing"),
        ('{{"lambda_l1": 3}}', ["--config.lambda_l1=many"], "config.lambda_l1"),
        (None, [], "no such file"),
    ],
    ids=["program", "missing field", "override", "missing"],
)
def test_a_config_in_json_is_read_and_not_executed(tmp_path, content, overrides, text):
    (tmp_path / "inputs").mkdir()
    path = tmp_path / "inputs" / "config.json"
    if content is not None:
        path.write_text(content.format(tmp_path))
    result = run("train_gan", f"--config={path}", *overrides, f"--workdir={tmp_path / 'run'}")
    assert_one_line(result, text)
    assert [path.name for path in tmp_path.iterdir()] == ["inputs"]


@pytest.mark.parametrize("field", ["data.persons", "set_name"])
def test_an_override_is_not_executed(tmp_path, field):
    program = f"__import__('pathlib').Path('{tmp_path / 'executed'}').touch()"
    for script, flag in (("train_gan", "--config."), ("reproduce_sets", "--override=")):
        config = ["--config=configs/test_size.py"] if script == "train_gan" else []
        result = run(script, *config, f"{flag}{field}={program}", f"--workdir={tmp_path / 'run'}")
        assert_one_line(result)
    assert list(tmp_path.iterdir()) == []


def test_a_batch_that_does_not_divide_over_the_devices_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("JAX_NUM_CPU_DEVICES", "4")
    result = run_as_process(*TRAIN, "--config.data.socofing_dir=x", f"--workdir={tmp_path / 'run'}")
    assert_one_line(result, "config.global_batch_size=2", "4 devices")


@pytest.mark.parametrize(
    ("script", "flags", "texts"),
    [
        ("synthesize", ["--gan_workdir={0}/none", "--out_dir={0}/out"], ["none: no checkpoints here"]),
        (
            "score_similarity",
            ["--classifier_workdir={0}/none", "--synthetic_dirs=x", "--scores={0}/s.csv"],
            ["none: no checkpoints here"],
        ),
        (
            "score_similarity",
            ["--classifier_workdir={0}", "--synthetic_dirs=x", "--scores={0}/s", "--num_test_persons=0"],
            ["num_test_persons"],
        ),
        ("export_model", ["--workdir={0}/none", "--out={0}/out"], ["none: no checkpoints here"]),
        ("export_model", ["--workdir={0}/none", "--out={0}/thesis.txt"], ["thesis.txt: exists"]),
        ("make_table", ["--scores={0}/none.csv", "--out_dir={0}/out"], ["none.csv: cannot be read"]),
        ("make_table", ["--scores={0}/none.csv", "--out_dir={0}/thesis.txt"], ["none.csv"]),
        ("synthesize", ["--gan_workdir={0}", "--out_dir={0}/out", "--step=first"], ["step", "first"]),
        ("train_gan", ["--config={0}/thesis.txt", "--workdir={0}/run"], ["--config: cannot be loaded"]),
        (
            "train_gan",
            ["--config=twin_p50", "--workdir={0}/run"],
            ["--config", "no such file", "configs/twin_p50.py"],
        ),
        ("train_gan", ["--config=fpgan_jax/errors.py", "--workdir={0}/run"], ["get_config()"]),
        ("make_prints", ["--out_dir={0}", "--num_persons=1"], ["thesis.txt"]),
        ("make_prints", ["--out_dir={0}/thesis.txt", "--num_persons=1"], ["thesis.txt"]),
        ("make_prints", ["--num_persons=1"], ["--out_dir"]),
        ("make_pairs", ["--config=configs/test_size.py"], ["--out_dir, --npz: neither is given"]),
        (
            "train_gan",
            [
                "--config=configs/test_size.py",
                "--config.data.source=npz",
                "--config.data.npz_file={0}/thesis.txt",
                "--workdir={0}/run",
            ],
            ["config.data.npz_file", "thesis.txt", "make_pairs --npz"],
        ),
        (
            "reproduce_sets",
            ["--override=data.feding=device", "--workdir={0}/run"],
            ["config.data.feding", "config.data.feeding"],
        ),
        ("reproduce_sets", ["--configs={0}/thesis.txt", "--workdir={0}/run"], ["thesis.txt is not a Python"]),
        (
            "measure_recognition",
            ["--real=a={0}@500", "--tests=b={0}/none@512", "--out_dir={0}/run"],
            ["--tests: ", "none' is not a folder"],
        ),
        (
            "measure_protocol",
            [
                "--config=configs/test_size.py",
                "--config.data.socofing_dir={0}",
                "--real=a={0}@500",
                "--more_impressions=ours={0}@500",
                "--out_dir={0}/run",
            ],
            ["--more_impressions=ours=", "say whose fingers these are", "ours=a:FOLDER@PPI"],
        ),
    ],
    ids=[
        "synthesize",
        "score",
        "nobody to score",
        "export",
        "export into a file",
        "table",
        "table into a file",
        "step",
        "config is no Python",
        "config is not there",
        "config has no get_config",
        "foreign folder",
        "prints into a file",
        "missing flag",
        "neither pairs nor prints",
        "no archive",
        "override",
        "config of a set",
        "recognition",
        "protocol",
    ],
)
def test_a_mistake_in_the_other_scripts(tmp_path, script, flags, texts):
    # Beside a file that compiles, Python would keep the result.
    (tmp_path / "thesis.txt").write_text("my thesis")
    result = run(script, *(flag.format(tmp_path) for flag in flags))
    assert_one_line(result, *texts)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--from=pytorch_pix2pix"], "--generator: not given"),
        (["--from=keras_xception"], "--classifier: not given"),
        (["--from=caffe"], "caffe"),
        (["--from=pytorch_pix2pix", "--generator=none.pth"], "none.pth: no such file"),
    ],
    ids=["no generator", "no classifier", "project", "no file"],
)
def test_weights_that_are_not_there(tmp_path, arguments, text):
    flags = ["--config=configs/test_size.py", "--config.data.socofing_dir=x", f"--workdir={tmp_path / 'run'}"]
    assert_one_line(run("import_weights", *flags, *arguments), text)
    assert not (tmp_path / "run").exists()


def test_weights_of_no_run_are_not_exported(tmp_path):
    result = run(
        "export_weights", "--to=pytorch_pix2pix", f"--workdir={tmp_path}", f"--out_dir={tmp_path / 'out'}"
    )
    assert_one_line(result, "no checkpoints here")
    assert not (tmp_path / "out").exists()
