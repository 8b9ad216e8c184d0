"""What a script sets before JAX starts: where compiled programs are kept, large pages, XLA's flags."""

import errno
import io
import os
import signal
import subprocess
import sys
import time
import types

import pytest

from launch import cli


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
        ("0.10.2", None, "--xla_cpu_experimental_ynn_fusion_type=-individual_convolution"),
        (
            "0.10.2",
            "--xla_dump_to=x",
            "--xla_dump_to=x --xla_cpu_experimental_ynn_fusion_type=-individual_convolution",
        ),
        (
            "0.10.2",
            "--xla_cpu_experimental_ynn_fusion_type=",
            "--xla_cpu_experimental_ynn_fusion_type=",
        ),
        ("99.0.0", None, None),
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
