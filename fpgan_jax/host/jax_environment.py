"""Owns the environment variables with which JAX starts, and the errors that wrong ones cause.

Does not import JAX: everything here must happen before that.
"""

import importlib.metadata
import importlib.util
import os
import re
import sys
import traceback
from collections.abc import Callable

from fpgan_jax.errors import UserError
from fpgan_jax.host.user_paths import is_utf8

# The variables that select JAX's devices.
DEVICE_VARIABLES = ("JAX_PLATFORMS", "JAX_PLATFORM_NAME", "JAX_NUM_CPU_DEVICES", "CUDA_VISIBLE_DEVICES")

# XLA aborts on a flag that it does not know, so only versions that were tried are listed.
_TRIED_JAXLIB = ("0.10.2", "0.11.2")
_YNN_FLAG = "--xla_cpu_experimental_ynn_fusion_type=-individual_convolution"
_LEVEL_FLAG = "--xla_backend_optimization_level=1"


def request_large_pages() -> None:
    """Restart this process with large pages for glibc's malloc, which only reads the setting at its start.

    On a CPU a training step allocates hundreds of MB. With pages of 4 KiB that is up to a fifth of its time.
    """
    try:
        with open("/sys/kernel/mm/transparent_hugepage/enabled", encoding="ascii") as file:
            is_on_request = "[madvise]" in file.read()
    except OSError:
        return
    if is_on_request and "GLIBC_TUNABLES" not in os.environ and sys.executable:
        os.environ["GLIBC_TUNABLES"] = "glibc.malloc.hugetlb=1"
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def choose_xla_flags() -> None:
    """Set the flags of XLA that suit this project's programs on a CPU; those that the user set stay.

    XLA:CPU convolves with Eigen. YNNPACK, the default of these versions, parallelizes a convolution over output
    features only. With up to 64 of them, as in the large layers of both networks, it uses one core. The training step
    at 128 pixels then takes 8% longer with jaxlib 0.10.2 and 24% longer with 0.11.2 (docs/benchmarks.md).

    LLVM optimizes at level 1: at its default level the start takes a quarter more processor time, and no step is faster
    (docs/benchmarks.md). A GPU's kernels would be compiled at that level too, so it is set only where there is none.

    Raises:
      UserError: XLA_FLAGS is neither flags nor a file of flags.
    """
    if importlib.metadata.version("jaxlib") not in _TRIED_JAXLIB:
        return
    xla_flags = _read_xla_flags(os.environ.get("XLA_FLAGS", ""))
    wanted = (_YNN_FLAG,) if _may_have_accelerator() else (_YNN_FLAG, _LEVEL_FLAG)
    added = [flag for flag in wanted if flag.partition("=")[0] not in xla_flags]
    if added:
        os.environ["XLA_FLAGS"] = f"{' '.join(added)} {xla_flags}".rstrip()


def _may_have_accelerator() -> bool:
    """Tell whether JAX may compile for something else than a CPU: a plug-in is installed, and not deselected."""
    if os.environ.get("JAX_PLATFORMS") == "cpu":
        return False
    # As JAX looks for plug-ins: by entry points and in the package that they share; it knows that of TPUs by itself.
    return bool(importlib.metadata.entry_points(group="jax_plugins")) or any(
        importlib.util.find_spec(name) for name in ("jax_plugins", "libtpu")
    )


def _read_xla_flags(text: str) -> str:
    # As XLA's parse_flags_from_env.cc. Further flags go in front, since XLA stops reading at the first word that is not
    # a flag, and a quote may be left open.
    if not text or text.lstrip(" \t\r\n").startswith("-"):
        return text
    try:
        with open(text, "rb") as file:
            return os.fsdecode(file.read())
    except OSError as error:
        raise UserError(
            f"XLA_FLAGS={text}: neither flags, which begin with --, nor a file of flags ({error.strerror})"
        ) from error


def keep_compiled_programs(workdir: str, folder: str | None) -> None:
    """Set where JAX keeps compiled programs for later runs. A folder that is already in the environment stays.

    The folder None is `.jax_cache` beside the workdir, and "" keeps no programs.

    Raises:
      UserError: the path in the environment is not UTF-8.
    """
    if folder is None:
        folder = os.path.join(os.path.dirname(os.path.abspath(workdir)), ".jax_cache")
        # JAX accepts UTF-8 only.
        folder = folder if is_utf8(folder) else ""
    if folder:
        os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", folder)
    folder = os.environ.get("JAX_COMPILATION_CACHE_DIR", "")
    if not is_utf8(folder):
        raise UserError(
            f"JAX_COMPILATION_CACHE_DIR={folder!r}: JAX cannot use a path with a byte that is not UTF-8"
        )


def explain_start_errors(main: Callable[[], None]) -> Callable[[], None]:
    """Wrap a main function so that a variable with which JAX cannot start becomes a `UserError` that names it."""

    def run_and_explain() -> None:
        try:
            main()
        except (AssertionError, RuntimeError, ValueError) as error:
            if line := _explain_start_error(error):
                raise UserError(line) from error
            raise

    return run_and_explain


def _explain_start_error(error: Exception) -> str | None:
    # JAX has no error classes for these, only texts.
    text = str(error)
    option = re.search(r"for (?:JAX flag|environment) '?(jax_\w+)", text, re.IGNORECASE)
    if option and (name := option[1].upper()) in os.environ:
        return f"{name}={os.environ[name]}: JAX does not know this value; set another, or unset it"
    frames = traceback.extract_tb(error.__traceback__)
    is_without_text = isinstance(error, AssertionError) and frames[-1].filename.endswith("xla_bridge.py")
    if not is_without_text and not re.match("Unable to initialize backend|Unknown backend", text):
        return None
    given = [f"{name}={os.environ[name]}" for name in DEVICE_VARIABLES if os.environ.get(name)]
    reason = text.partition(" (set JAX_PLATFORMS")[0].partition(" (you may need")[0]
    return (
        f"{', '.join(given) or 'JAX_PLATFORMS is not set'}: JAX finds no such device here"
        f"{f' ({reason})' if reason else ''}; JAX_PLATFORMS=cpu computes on the CPU"
    )
