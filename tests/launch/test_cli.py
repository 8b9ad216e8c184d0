"""What a script sets before JAX starts: where compiled programs are kept, large pages, XLA's flags."""

import ast
import errno
import importlib.metadata
import io
import os
import pathlib
import signal
import subprocess
import sys
import time
import types

import pytest
from absl import flags

from fpgan_jax.errors import UserError
from launch import cli

YNN = "--xla_cpu_experimental_ynn_fusion_type"
# Flags of text, or of several, that are no paths.
NO_PATHS = {
    *("coordinator", "partition", "account", "format", "compile_for", "sbatch", "override"),
    *("fingers", "gan_seeds", "classifier_seeds", "only", "together"),
    # A path or a word, or a path between a name and a resolution: what reads them expands it.
    *("identities", "real", "tests", "more_impressions", "more_fingers"),
}


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch):
    for name in ("JAX_COMPILATION_CACHE_DIR", "GLIBC_TUNABLES", "XLA_FLAGS"):
        # Set before it is deleted, so that what the code sets is taken away afterwards too.
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


@pytest.mark.parametrize(
    ("flag", "folder"), [(None, "/runs/.jax_cache"), ("/elsewhere", "/elsewhere"), ("", None)]
)
def test_compiled_programs_are_kept_beside_the_workdir_or_where_the_flag_says(monkeypatch, flag, folder):
    monkeypatch.setattr(cli, "_CACHE_DIR", types.SimpleNamespace(value=flag))
    cli._keep_compiled_programs("/runs/gan")
    assert os.environ.get("JAX_COMPILATION_CACHE_DIR") == folder


def test_programs_are_not_kept_where_jax_cannot_keep_them(monkeypatch, capsys):
    folder = os.fsdecode(b"/runs\xff/gan")
    monkeypatch.setattr(cli, "_CACHE_DIR", types.SimpleNamespace(value=None))
    cli._keep_compiled_programs(folder)
    assert "JAX_COMPILATION_CACHE_DIR" not in os.environ
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", folder)
    with pytest.raises(SystemExit):
        cli._keep_compiled_programs("/runs/gan")
    assert "ERROR: JAX_COMPILATION_CACHE_DIR='/runs\\udcff/gan': JAX cannot" in capsys.readouterr().err


def test_the_environments_folder_for_compiled_programs_comes_first(monkeypatch):
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "/own")
    monkeypatch.setattr(cli, "_CACHE_DIR", types.SimpleNamespace(value="/elsewhere"))
    cli._keep_compiled_programs("/runs/gan")
    assert os.environ["JAX_COMPILATION_CACHE_DIR"] == "/own"


@pytest.mark.parametrize(
    ("setting", "tunables", "starts"),
    [
        ("always [madvise] never", None, 1),
        ("always [madvise] never", "glibc.malloc.check=1", 0),
        ("[always] madvise never", None, 0),
    ],
)
def test_a_script_starts_again_only_where_large_pages_wait_to_be_asked_for(
    monkeypatch, setting, tunables, starts
):
    calls = []
    monkeypatch.setattr(os, "execv", lambda *args: calls.append(args))
    monkeypatch.setattr(cli, "open", lambda *args, **kwargs: io.StringIO(setting), raising=False)
    if tunables:
        monkeypatch.setenv("GLIBC_TUNABLES", tunables)
    cli._ask_for_large_pages()
    assert calls == [(sys.executable, [sys.executable, *sys.orig_argv[1:]])] * starts
    assert os.environ.get("GLIBC_TUNABLES") == ("glibc.malloc.hugetlb=1" if starts else tunables)


@pytest.mark.parametrize(
    ("version", "before", "after"),
    [
        ("0.10.2", None, f"{YNN}=-individual_convolution"),
        ("0.10.2", "--xla_dump_to=x", f"{YNN}=-individual_convolution --xla_dump_to=x"),
        # XLA reads no further than a word that is no flag, and a quote that is left open takes all that follows.
        ("0.10.2", "--a=b word", f"{YNN}=-individual_convolution --a=b word"),
        ("0.10.2", "\t--a='b ", f"{YNN}=-individual_convolution \t--a='b"),
        ("0.10.2", f"{YNN}=", f"{YNN}="),
        ("99.0.0", None, None),
        ("99.0.0", "/no/such/file", "/no/such/file"),
    ],
)
def test_xla_gets_its_flag_where_it_knows_it_and_the_user_says_nothing_of_it(
    monkeypatch, version, before, after
):
    monkeypatch.setattr(cli.importlib.metadata, "version", lambda name: version)
    if before:
        monkeypatch.setenv("XLA_FLAGS", before)
    cli._keep_convolutions_from_ynnpack()
    assert os.environ.get("XLA_FLAGS") == after


@pytest.mark.parametrize(
    ("content", "after"),
    [
        (b"--a=b\n --c=d\n", f"{YNN}=-individual_convolution --a=b\n --c=d"),
        (b"--a=\xff", f"{YNN}=-individual_convolution --a=\udcff"),
        (b"", f"{YNN}=-individual_convolution"),
        (f"--a=b {YNN}=".encode(), None),
    ],
)
def test_xla_flags_may_name_a_file_of_flags(monkeypatch, tmp_path, content, after):
    monkeypatch.setattr(cli.importlib.metadata, "version", lambda name: "0.10.2")
    path = tmp_path / "my flags"
    path.write_bytes(content)
    monkeypatch.setenv("XLA_FLAGS", str(path))
    cli._keep_convolutions_from_ynnpack()
    assert os.environ["XLA_FLAGS"] == (after or str(path))


def test_a_file_of_flags_that_is_not_there_is_named(monkeypatch, capsys):
    monkeypatch.setattr(cli.importlib.metadata, "version", lambda name: "0.10.2")
    monkeypatch.setenv("XLA_FLAGS", "xla_dump_to=x")
    with pytest.raises(SystemExit):
        cli._keep_convolutions_from_ynnpack()
    assert capsys.readouterr().err.startswith(
        "ERROR: XLA_FLAGS=xla_dump_to=x: neither flags, which begin with --"
    )


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


def test_xla_of_the_installed_version_starts_with_its_flags():
    code = "from launch import cli; cli._keep_convolutions_from_ynnpack(); import jax; print(jax.numpy.ones(()) + 1)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (result.returncode, result.stdout.strip()) == (0, "2.0"), result.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_a_script_that_does_not_train_ends_in_one_line_and_its_own_exit_code(capsys, number):
    def main(argv):
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
    assert capsys.readouterr().err == "INTERRUPTED: the same command goes on from what is done.\n"


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes."), "allocating 9 bytes."),
        (MemoryError("Unable to allocate 9 GiB"), "Unable to allocate 9 GiB"),
        (MemoryError(), "no more is said"),
    ],
)
def test_too_little_memory_ends_in_one_line(capsys, error, line):
    def main(argv):
        raise error

    with pytest.raises(SystemExit) as stop:
        cli._run_main(main, ["script"])
    assert stop.value.code == 1
    (printed,) = capsys.readouterr().err.splitlines()
    assert printed.startswith("ERROR: out of memory (") and f"{line}); use smaller batches" in printed


def test_another_error_is_not_taken_for_it():
    def main(argv):
        raise RuntimeError("INTERNAL: a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        cli._run_main(main, ["script"])


def test_a_full_disk_ends_in_one_line_though_it_names_no_file(capsys):
    def main(argv):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(SystemExit) as stop:
        cli._run_main(main, ["script"])
    assert stop.value.code == 1
    line = "ERROR: No space left on device; make room and give the same command again, which goes on\n"
    assert capsys.readouterr().err == line


@pytest.mark.parametrize(
    ("text", "seeds"), [("0,1,2", (0, 1, 2)), ("7", (7,)), (" 1, 0 ", (1, 0)), ("", ()), (None, None)]
)
def test_seeds_come_as_numbers_in_their_order(text, seeds):
    assert cli._SeedsParser().parse(text) == seeds


@pytest.mark.parametrize("text", ["0,x", "1.5", "-1", "4294967295"])
def test_what_is_no_seed_is_refused(text):
    with pytest.raises(ValueError, match="seed|invalid literal"):
        cli._SeedsParser().parse(text)


def raise_from(filename, error):
    """Raise an error from a file of this name."""
    exec(compile("raise error", filename, "exec"), {"error": error})


@pytest.mark.parametrize(
    ("variable", "value", "filename", "error", "line"),
    [
        (
            "JAX_PLATFORMS",
            "cuda",
            "/x/xla_bridge.py",
            AssertionError(),
            r"JAX_PLATFORMS=cuda: JAX finds no such",
        ),
        (
            *("JAX_PLATFORMS", "tpu", "x"),
            RuntimeError("Unable to initialize backend 'tpu': no libtpu.so (set JAX_PLATFORMS='' to ...)"),
            r"JAX_PLATFORMS=tpu: .* here \(Unable to initialize backend 'tpu': no libtpu.so\);",
        ),
        (
            *("JAX_PLATFORM_NAME", "cuda", "x", RuntimeError("Unknown backend cuda. Available are ['cpu']")),
            r"JAX_PLATFORM_NAME=cuda: JAX finds no such device here \(Unknown backend cuda",
        ),
        (
            *(
                "JAX_NUM_CPU_DEVICES",
                "x",
                "x",
                ValueError('Invalid value "x" for JAX flag jax_num_cpu_devices'),
            ),
            "JAX_NUM_CPU_DEVICES=x: JAX does not know this value",
        ),
        (
            *(
                "JAX_ENABLE_X64",
                "7",
                "x",
                ValueError("invalid truth value '7' for environment 'JAX_ENABLE_X64'"),
            ),
            "JAX_ENABLE_X64=7: JAX does not know this value",
        ),
    ],
)
def test_a_variable_with_which_jax_cannot_start_is_named(monkeypatch, variable, value, filename, error, line):
    for name in cli._DEVICE_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, value)
    with pytest.raises(UserError, match=line):
        cli._name_environments_mistakes(lambda argv: raise_from(filename, error))([])


@pytest.mark.parametrize(
    "error", [AssertionError(), RuntimeError("INTERNAL: a bug"), ValueError("for JAX flag jax_of_our_own")]
)
def test_another_error_is_no_variables_fault(error):
    with pytest.raises(type(error)) as raised:
        cli._name_environments_mistakes(lambda argv: raise_from("loop.py", error))([])
    assert raised.value is error


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
