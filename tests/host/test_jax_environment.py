"""What is set before JAX starts: where compiled programs are kept, large pages, XLA's flags."""

import io
import os
import subprocess
import sys

import pytest

from fpgan_jax.errors import UserError
from fpgan_jax.host import jax_environment

YNN = "--xla_cpu_experimental_ynn_fusion_type"
LEVEL = "--xla_backend_optimization_level"
BOTH = f"{YNN}=-individual_convolution {LEVEL}=1"


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch):
    for name in ("JAX_COMPILATION_CACHE_DIR", "GLIBC_TUNABLES", "XLA_FLAGS"):
        # Set before it is deleted, so that what the code sets is taken away afterwards too.
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")


@pytest.mark.parametrize(
    ("flag", "folder"), [(None, "/runs/.jax_cache"), ("/elsewhere", "/elsewhere"), ("", None)]
)
def test_compiled_programs_are_kept_beside_the_workdir_or_where_the_flag_says(flag, folder):
    jax_environment.keep_compiled_programs("/runs/gan", flag)
    assert os.environ.get("JAX_COMPILATION_CACHE_DIR") == folder


def test_programs_are_not_kept_where_jax_cannot_keep_them(monkeypatch):
    folder = os.fsdecode(b"/runs\xff/gan")
    jax_environment.keep_compiled_programs(folder, None)
    assert "JAX_COMPILATION_CACHE_DIR" not in os.environ
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", folder)
    with pytest.raises(UserError, match=r"JAX_COMPILATION_CACHE_DIR='/runs\\udcff/gan': JAX cannot"):
        jax_environment.keep_compiled_programs("/runs/gan", None)


def test_the_environments_folder_for_compiled_programs_comes_first(monkeypatch):
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "/own")
    jax_environment.keep_compiled_programs("/runs/gan", "/elsewhere")
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
    monkeypatch.setattr(jax_environment, "open", lambda *args, **kwargs: io.StringIO(setting), raising=False)
    if tunables:
        monkeypatch.setenv("GLIBC_TUNABLES", tunables)
    jax_environment.request_large_pages()
    assert calls == [(sys.executable, [sys.executable, *sys.orig_argv[1:]])] * starts
    assert os.environ.get("GLIBC_TUNABLES") == ("glibc.malloc.hugetlb=1" if starts else tunables)


@pytest.mark.parametrize(
    ("version", "before", "after"),
    [
        ("0.10.2", None, BOTH),
        ("0.10.2", "--xla_dump_to=x", f"{BOTH} --xla_dump_to=x"),
        # XLA reads no further than a word that is no flag, and a quote that is left open takes all that follows.
        ("0.10.2", "--a=b word", f"{BOTH} --a=b word"),
        ("0.10.2", "\t--a='b ", f"{BOTH} \t--a='b"),
        ("0.10.2", f"{YNN}= {LEVEL}=3", f"{YNN}= {LEVEL}=3"),
        ("0.11.2", f"{YNN}=", f"{LEVEL}=1 {YNN}="),
        ("0.11.2", f"{LEVEL}=3", f"{YNN}=-individual_convolution {LEVEL}=3"),
        ("99.0.0", None, None),
        ("99.0.0", "/no/such/file", "/no/such/file"),
    ],
)
def test_xla_gets_flags_where_it_knows_them_and_the_user_says_nothing_of_them(
    monkeypatch, version, before, after
):
    monkeypatch.setattr(jax_environment.importlib.metadata, "version", lambda name: version)
    if before:
        monkeypatch.setenv("XLA_FLAGS", before)
    jax_environment.choose_xla_flags()
    assert os.environ.get("XLA_FLAGS") == after


@pytest.mark.parametrize(
    ("content", "after"),
    [
        (b"--a=b\n --c=d\n", f"{BOTH} --a=b\n --c=d"),
        (b"--a=\xff", f"{BOTH} --a=\udcff"),
        (b"", BOTH),
        (f"--a=b {YNN}= {LEVEL}=2".encode(), None),
    ],
)
def test_xla_flags_may_name_a_file_of_flags(monkeypatch, tmp_path, content, after):
    monkeypatch.setattr(jax_environment.importlib.metadata, "version", lambda name: "0.10.2")
    path = tmp_path / "my flags"
    path.write_bytes(content)
    monkeypatch.setenv("XLA_FLAGS", str(path))
    jax_environment.choose_xla_flags()
    assert os.environ["XLA_FLAGS"] == (after or str(path))


@pytest.mark.parametrize(
    ("plugins", "package", "platforms", "is_set"),
    [
        ([], None, "", True),
        (["xla_cuda13"], None, "", False),
        ([], "jax_plugins", "", False),
        ([], "libtpu", "cuda", False),
        (["xla_cuda13"], "jax_plugins", "cpu", True),
        (["xla_cuda13"], "jax_plugins", "cuda,cpu", False),
    ],
)
def test_llvms_level_stays_where_programs_may_be_compiled_for_a_gpu(
    monkeypatch, plugins, package, platforms, is_set
):
    metadata, util = jax_environment.importlib.metadata, jax_environment.importlib.util
    monkeypatch.setattr(metadata, "version", lambda name: "0.11.2")
    monkeypatch.setattr(metadata, "entry_points", lambda group: plugins if group == "jax_plugins" else [])
    monkeypatch.setattr(util, "find_spec", lambda name: name if name == package else None)
    monkeypatch.setenv("JAX_PLATFORMS", platforms)
    jax_environment.choose_xla_flags()
    assert (LEVEL in os.environ["XLA_FLAGS"]) == is_set and YNN in os.environ["XLA_FLAGS"]


def test_a_file_of_flags_that_is_not_there_is_named(monkeypatch):
    monkeypatch.setattr(jax_environment.importlib.metadata, "version", lambda name: "0.10.2")
    monkeypatch.setenv("XLA_FLAGS", "xla_dump_to=x")
    with pytest.raises(UserError, match="XLA_FLAGS=xla_dump_to=x: neither flags, which begin with --"):
        jax_environment.choose_xla_flags()


def test_xla_of_the_installed_version_starts_with_its_flags():
    lines = (
        "from fpgan_jax.host import jax_environment",
        "jax_environment.choose_xla_flags()",
        "import jax",
        "print(jax.numpy.ones(()) + 1)",
    )
    code = "\n".join(lines)
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (result.returncode, result.stdout.strip()) == (0, "2.0"), result.stderr


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
    for name in jax_environment.DEVICE_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, value)
    with pytest.raises(UserError, match=line):
        jax_environment.explain_start_errors(lambda: raise_from(filename, error))()


@pytest.mark.parametrize(
    "error", [AssertionError(), RuntimeError("INTERNAL: a bug"), ValueError("for JAX flag jax_of_our_own")]
)
def test_another_error_is_no_variables_fault(error):
    with pytest.raises(type(error)) as raised:
        jax_environment.explain_start_errors(lambda: raise_from("loop.py", error))()
    assert raised.value is error
