"""Owns how tests run the launch scripts: in this process, or as a user does, in one of their own."""

import contextlib
import gc
import io
import os
import pathlib
import runpy
import signal
import subprocess
import sys
import traceback
import types
from collections.abc import Iterator
from unittest import mock

from absl import app, flags, logging
from absl.testing import flagsaver

from fpgan_jax.host import signals
from launch import cli  # its flags are not among those that a script adds

SCRIPTS = sorted(
    path.stem for path in pathlib.Path("launch").glob("*.py") if path.stem not in ("__init__", "cli")
)

app.define_help_flags()
# A script's process has these and its own, and none that other modules of the tests' process have defined.
_FLAGS = frozenset(flags.FLAGS)


def run(script: str, *arguments: str) -> types.SimpleNamespace:
    """Run a launch script in this process, which saves the seconds of importing JAX.

    What a script changes of its process is put back: flags, environment, signals, streams.

    Args:
      script: its name, without `launch.`.
      *arguments: its flags.

    Returns:
      "returncode", "stdout", "stderr", as of `run_as_process`.
    """
    output, errors = io.StringIO(), io.StringIO()
    with _own_surroundings(script, arguments, output, errors):
        try:
            runpy.run_module(f"launch.{script}", run_name="__main__", alter_sys=True)
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
        except BaseException:
            # As the interpreter ends a script.
            traceback.print_exc()
            code = 1
    return types.SimpleNamespace(returncode=code, stdout=output.getvalue(), stderr=errors.getvalue())


def run_well(script: str, *arguments: str) -> types.SimpleNamespace:
    """Run a launch script as `run` does and see that it ends well."""
    result = run(script, *arguments)
    assert result.returncode == 0, result.stderr
    return result


def run_as_process(script: str, *arguments: str) -> subprocess.CompletedProcess:
    """Run a launch script in a process of its own, with the environment of this one."""
    environment = os.environ | {"JAX_PLATFORMS": "cpu", "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}
    command = [sys.executable, "-m", f"launch.{script}", *arguments]
    return subprocess.run(command, check=False, capture_output=True, text=True, env=environment)


@contextlib.contextmanager
def _own_surroundings(script: str, arguments, output: io.StringIO, errors: io.StringIO) -> Iterator[None]:
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    threshold = gc.get_threshold()
    log, verbosity = logging.get_absl_handler().python_handler, logging.get_verbosity()
    with (
        _without_other_flags(),
        flagsaver.flagsaver(),
        mock.patch.object(sys, "argv", [f"launch/{script}.py", *arguments]),
        # Set, glibc's variable keeps a script from starting this process again.
        mock.patch.dict(os.environ, {"GLIBC_TUNABLES": ""}),
        mock.patch.object(signals, "_ends_process", False),
        mock.patch.object(cli, "_leave_at_once", sys.exit),
        contextlib.redirect_stdout(output),
        contextlib.redirect_stderr(errors),
        mock.patch.object(log, "stream", errors),
    ):
        flags.FLAGS.unparse_flags()
        try:
            yield
        finally:
            gc.set_threshold(*threshold)
            logging.set_verbosity(verbosity)
            # ml_collections' name for the config file, which it would execute on top of the last one.
            sys.modules.pop("config_config", None)
            for number, handler in handlers.items():
                signal.signal(number, handler)


@contextlib.contextmanager
def _without_other_flags() -> Iterator[None]:
    others = {name: flags.FLAGS[name] for name in flags.FLAGS if name not in _FLAGS}
    for name in others:
        delattr(flags.FLAGS, name)
    try:
        yield
    finally:
        for name, flag in others.items():
            flags.FLAGS[name] = flag
