"""What all launch scripts share: the types of flags, and one line for a user's mistake."""

import ast
import errno
import importlib.metadata
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest
from absl import flags

from launch import cli

# Flags of text, or of several, that are no paths.
NO_PATHS = {
    *("coordinator", "partition", "account", "format", "compile_for", "sbatch", "override"),
    *("fingers", "gan_seeds", "classifier_seeds", "only", "together"),
    # A path or a word, or a path between a name and a resolution: what reads them expands it.
    *("identities", "real", "tests", "more_impressions", "more_fingers"),
}


def test_every_script_tells_its_version_before_it_asks_for_flags():
    result = subprocess.run(
        [sys.executable, "-m", "launch.train_gan", "--version"], check=False, capture_output=True, text=True
    )
    lines = result.stdout.splitlines()
    assert result.returncode == 0 and len(lines) == 2, result.stderr
    setup = pathlib.Path("setup.cfg").read_text(encoding="utf-8")
    version = setup.partition("\nversion = ")[2].splitlines()[0]
    assert lines[0].startswith(f"fpgan_jax {version}, commit: ")
    assert f"jax {importlib.metadata.version('jax')}," in lines[1]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_a_script_that_does_not_train_ends_in_one_line_and_its_own_exit_code(capsys, number):
    def main():
        os.kill(os.getpid(), number)
        time.sleep(10)

    before = {name: signal.getsignal(name) for name in (signal.SIGTERM, signal.SIGINT)}
    # A shell starts what runs in the background with Ctrl-C ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(SystemExit) as stop:
            cli._run_main(main, ["script"])
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)
    assert stop.value.code == 75
    assert capsys.readouterr().err == "INTERRUPTED: run the same command again to resume.\n"


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes."), "allocating 9 bytes."),
        (MemoryError("Unable to allocate 9 GiB"), "Unable to allocate 9 GiB"),
        (MemoryError(), "no details"),
    ],
)
def test_too_little_memory_ends_in_one_line(capsys, error, line):
    def main():
        raise error

    with pytest.raises(SystemExit) as stop:
        cli._run_main(main, ["script"])
    assert stop.value.code == 1
    (printed,) = capsys.readouterr().err.splitlines()
    assert printed.startswith("ERROR: out of memory (") and f"{line}); use smaller batches" in printed


def test_another_error_is_not_taken_for_it():
    def main():
        raise RuntimeError("INTERNAL: a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        cli._run_main(main, ["script"])


def test_a_full_disk_ends_in_one_line_though_it_names_no_file(capsys):
    def main():
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(SystemExit) as stop:
        cli._run_main(main, ["script"])
    assert stop.value.code == 1
    line = "ERROR: No space left on device; free some space and run the same command again to resume\n"
    assert capsys.readouterr().err == line


@pytest.mark.parametrize(
    ("text", "seeds"), [("0,1,2", (0, 1, 2)), ("7", (7,)), (" 1, 0 ", (1, 0)), ("", ()), (None, None)]
)
def test_seeds_come_as_numbers_in_their_order(text, seeds):
    assert cli._SeedsParser().parse(text) == seeds


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0,x", "must be integers from 0, such as 0,1,2"),
        ("1.5", "must be integers from 0"),
        ("-1", "seed -1: must be at least 0"),
        ("4294967295", "seed 4294967295: must be at most 4294967294"),
    ],
)
def test_what_is_no_seed_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        cli._SeedsParser().parse(text)


def test_what_is_no_step_is_refused():
    assert [cli._StepParser().parse(text) for text in ("7", "best", None)] == [7, "best", None]
    with pytest.raises(ValueError, match="must be an integer, or best"):
        cli._StepParser().parse("last")


def test_every_flag_of_a_path_is_defined_as_one():
    names = set()
    for path in pathlib.Path("launch").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") in (
                *("DEFINE_string", "DEFINE_list", "DEFINE_multi_string", "DEFINE_spaceseplist"),
            ):
                names.update(
                    argument.value for argument in node.args[:1] if isinstance(argument, ast.Constant)
                )
    assert names == NO_PATHS


def parse_flags(*arguments, default=None):
    values = flags.FlagValues()
    holder_of_path = flags.Flag(cli._PathParser(), None, "workdir", None, "")
    holder_of_paths = cli._PathsFlag(cli._PathsParser(), flags.ArgumentSerializer(), "dirs", default, "")
    values["workdir"], values["dirs"] = holder_of_path, holder_of_paths
    values(["script", *arguments])
    return values


def test_a_path_flag_expands_the_home_folder(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    assert parse_flags("--workdir=~/runs/gan").workdir == "/home/me/runs/gan"
    assert parse_flags("--dirs=~/a,b/~,~").dirs == ["/home/me/a", "b/~", "/home/me"]


@pytest.mark.parametrize(
    ("argument", "text"),
    [
        ("--workdir=", "flag --workdir=: empty; name a file or folder"),
        ("--workdir=gs://bucket/run", "flag --workdir=gs://bucket/run: a path on this machine is needed"),
        ("--dirs=a,s3://bucket/x", "s3:// names another place"),
        ("--dirs=a,,b", "empty; name a file"),
        ('--dirs="a', "not a list of paths"),
    ],
)
def test_a_path_flag_refuses_what_is_no_path(argument, text):
    with pytest.raises(flags.IllegalFlagValueError, match=text):
        parse_flags(argument)


@pytest.mark.parametrize(
    ("arguments", "paths"),
    [
        (["a,b"], ["a", "b"]),
        ([" a , b "], ["a", "b"]),
        (["none,such"], ["none", "such"]),
        (["l1=50,seed=0/s.csv"], ["l1=50,seed=0/s.csv"]),
        (["l1=50,seed=0,l1=50,seed=1"], ["l1=50,seed=0", "l1=50,seed=1"]),
        (["a,l1=50,seed=0/,b"], ["a", "l1=50,seed=0/", "b"]),
        (["l1=50,seed=0", "l1=50,seed=1"], ["l1=50,seed=0", "l1=50,seed=1"]),
        (["a,b", "c,d"], ["a", "b", "c,d"]),
        (["c,d"], ["c,d"]),
        # All three are there: as it always was, unless quoted.
        (["x,y"], ["x", "y"]),
        (['"x,y",a'], ["x,y", "a"]),
        (['"none,such"'], ["none,such"]),
        ([""], []),
    ],
)
def test_paths_with_commas_are_told_from_lists(tmp_path, monkeypatch, arguments, paths):
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b", "c,d", "x", "y", "x,y", "l1=50,seed=0", "l1=50,seed=1", "l1=50"):
        (tmp_path / name).mkdir()
    (tmp_path / "l1=50,seed=0" / "s.csv").touch()
    assert parse_flags(*(f"--dirs={argument}" for argument in arguments), default=["d"]).dirs == paths


def test_without_the_flag_the_default_paths_are_taken():
    assert parse_flags(default=["a", "b"]).dirs == ["a", "b"] and parse_flags().dirs is None


@pytest.mark.parametrize(
    ("arguments", "num_inserted"),
    [
        ([], 1),
        (["--config.seed=1"], 1),
        (["--config=b.py"], 0),
        (["-config=b.py"], 0),
        (["--config", "b.py"], 0),
    ],
)
def test_the_default_config_is_taken_where_none_is_given(monkeypatch, arguments, num_inserted):
    monkeypatch.setattr(sys, "argv", ["launch.benchmark", *arguments])
    cli.insert_default_config()
    inserted = sys.argv[1 : 1 + num_inserted]
    assert sys.argv[1 + num_inserted :] == arguments
    assert all(argument.endswith("/configs/pix2pix_socofing.py") for argument in inserted)


@pytest.mark.parametrize(
    ("arguments", "inserted"),
    [
        (["--experiment=runs/a", "--config.seed=1"], ["--config=runs/a/config.json"]),
        (["--experiment", "runs/a", "--config.seed=1"], ["--config=runs/a/config.json"]),
        (["--experiment=runs/a"], []),
        (["--experiment=runs/a", "--config=b.py", "--config.seed=1"], []),
        (["--config.seed=1"], []),
    ],
)
def test_an_override_beside_an_experiment_is_of_the_experiments_config(monkeypatch, arguments, inserted):
    monkeypatch.setattr(sys, "argv", ["launch.evaluate", *arguments])
    cli.insert_experiment_config("experiment")
    assert sys.argv == ["launch.evaluate", *inserted, *arguments]
