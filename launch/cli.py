"""Owns what all launch scripts share: running, and turning a user's mistake into one line.

Does not own flags; each script defines its own.
"""

import csv
import errno
import importlib.metadata
import os
import re
import signal
import sys
import traceback
from collections.abc import Callable, Sequence

from absl import app, flags, logging
from ml_collections import config_flags

from fpgan_jax.errors import Interrupted, UserError
from fpgan_jax.host import versions
from fpgan_jax.host.user_paths import expand_path, find_path_fault, is_utf8
from fpgan_jax.host.xla_flags import read_flags

# Before anything imports TensorFlow, whose start-up notes hide what the user wants to read.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
# Nothing here uses tf.keras; the former one is not imported until it is used, which starts a script 1 s sooner.
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")

# The exit code of a run that was asked to stop: EX_TEMPFAIL of sysexits.h, "try again".
EXIT_INTERRUPTED = 75

_YNN_FLAG = "--xla_cpu_experimental_ynn_fusion_type"
# XLA ends a process that is given a flag it does not know: each version is tried before it is named here.
_JAXLIB_WITH_YNN_FLAG = ("0.10.2", "0.11.2")
# What JAX's devices are chosen by.
_DEVICE_VARIABLES = ("JAX_PLATFORMS", "JAX_PLATFORM_NAME", "JAX_NUM_CPU_DEVICES", "CUDA_VISIBLE_DEVICES")

_COORDINATOR = flags.DEFINE_string(
    "coordinator",
    None,
    "Of several processes: HOST:PORT of process 0, the same for all. Under srun and Open MPI 4's mpirun none of "
    "the three is needed.",
)
_NUM_PROCESSES = flags.DEFINE_integer("num_processes", None, "Of several processes: how many.", lower_bound=1)
_PROCESS_ID = flags.DEFINE_integer("process_id", None, "Of several processes: which, from 0.", lower_bound=0)
_VERSION = flags.DEFINE_bool(
    "version", False, "Print the versions of this program and of what it uses, and leave."
)


class _PathParser(flags.ArgumentParser):
    syntactic_help = "a path; ~ is the home folder"

    def __init__(self, *, may_be_empty: bool = False):
        self._may_be_empty = may_be_empty

    def parse(self, argument):
        if not argument and not self._may_be_empty:
            raise ValueError("empty; name a file or folder")
        if fault := find_path_fault(argument):
            raise ValueError(fault)
        return expand_path(argument)


class _PathsParser(_PathParser):
    syntactic_help = "paths with commas between them"

    def parse(self, argument):
        return [super(_PathsParser, self).parse(path) for path in _split_paths(argument)]


class _PathsFlag(flags.MultiFlag):
    """Takes the flag given again as more paths."""

    def _parse(self, arguments):
        return [path for paths in super()._parse(arguments) for path in paths]


def _split_paths(text: str) -> list[str]:
    """Divide a list at its commas, but not within a path that is there, nor within the quotes of CSV."""
    try:
        (parts,) = csv.reader([text], strict=True) if text else ([],)
    except (csv.Error, ValueError) as error:
        raise ValueError(f"not a list of paths: {error}") from error
    parts = [part.strip() for part in parts]
    return parts if '"' in text else _join_existing(parts) or parts


def _join_existing(parts: list[str]) -> list[str] | None:
    """Join neighbours by commas, as few as possible, so that every path is there; None where that cannot be."""
    for length in range(1, len(parts) + 1):
        path = ",".join(parts[:length])
        if os.path.exists(expand_path(path)):
            rest = _join_existing(parts[length:]) if parts[length:] else []
            if rest is not None:
                return [path, *rest]
    return None


class _SeedsParser(flags.ArgumentParser):
    syntactic_help = "integers from 0, as 0,1,2"

    def parse(self, argument):
        if argument is None or isinstance(argument, tuple):
            return argument
        seeds = tuple(int(part) for part in argument.split(",") if part.strip())
        # As config.seed.
        if any(not 0 <= seed <= 2**32 - 2 for seed in seeds):
            raise ValueError("a seed is not in [0, 2**32 - 2]")
        return seeds


class _StepParser(flags.ArgumentParser):
    syntactic_help = "an integer, or best"

    def parse(self, argument):
        return argument if argument in (None, "best") else int(argument)


class _ConfigParser(flags.ArgumentParser):
    """Reads the config.json of a run as JSON; leaves other files to ml_collections, which executes them."""

    def __init__(self, python_parser: flags.ArgumentParser):
        self._python_parser = python_parser

    def parse(self, argument):
        if fault := find_path_fault(argument):
            raise ValueError(fault)
        argument = expand_path(argument)
        if not argument.endswith(".json"):
            return self._python_parser.parse(argument)
        from fpgan_jax.config.files import load_config

        return load_config(argument).lock()

    def flag_type(self):
        return self._python_parser.flag_type()


def define_config_flag(*, is_required: bool = True) -> flags.FlagHolder:
    """Define `--config`, a Python file or a run's config.json, with overrides such as `--config.lambda_l1=50`.

    Args:
      is_required: False for a script that can do without.

    Returns:
      The flag's holder; `.value` is a ConfigDict, or None where it is not given.
    """
    holder = config_flags.DEFINE_config_file(
        "config",
        None,
        "Config file, or the config.json of a run; --config.FIELD=VALUE overrides a field, as --config.lambda_l1=50.",
    )
    flags.FLAGS["config"].parser = _ConfigParser(flags.FLAGS["config"].parser)
    if is_required:
        flags.mark_flag_as_required("config")
    # Shown by `--help` with the script's own flags.
    flags.FLAGS.register_key_flag_for_module(sys.argv[0], flags.FLAGS["config"])
    return holder


def define_path_flag(
    name: str,
    description: str,
    *,
    default: str | None = None,
    required: bool = False,
    may_be_empty: bool = False,
) -> flags.FlagHolder:
    """Define a flag of a file or folder on this machine.

    Args:
      name: of the flag.
      description: for `--help`.
      default: as it would be given, or None.
      required: whether it must be given.
      may_be_empty: whether an empty one has a meaning.

    Returns:
      The flag's holder; `.value` is a string, in which the home folder stands for `~`, or None.
    """
    holder = flags.DEFINE(
        _PathParser(may_be_empty=may_be_empty), name, default, description, required=required
    )
    # Shown by `--help` with the script's own flags.
    flags.FLAGS.register_key_flag_for_module(sys.argv[0], flags.FLAGS[name])
    return holder


def define_paths_flag(
    name: str, description: str, *, default: Sequence[str] | None = None, required: bool = False
) -> flags.FlagHolder:
    """Define a flag of several files or folders: commas between them, or the flag given again, or both.

    A path with a comma needs CSV's double quotes only where it is not there, or could be two that are.

    Args:
      name: of the flag.
      description: for `--help`.
      default: paths, or None.
      required: whether it must be given.

    Returns:
      The flag's holder; `.value` is a list of strings, or None.
    """
    flag = _PathsFlag(_PathsParser(), flags.ArgumentSerializer(), name, default, description)
    holder = flags.DEFINE_flag(flag, required=required)
    flags.FLAGS.register_key_flag_for_module(sys.argv[0], flags.FLAGS[name])
    return holder


_CACHE_DIR = flags.DEFINE(
    _PathParser(may_be_empty=True),
    "compilation_cache_dir",
    None,
    "Where compiled programs are kept for the next run; by default .jax_cache beside the workdir, an empty "
    "string keeps none. The environment's JAX_COMPILATION_CACHE_DIR comes first.",
)


def define_seeds_flag(name: str, default: str | None, description: str) -> flags.FlagHolder:
    """Define a flag of several seeds.

    Args:
      name: of the flag.
      default: as it would be given, or None.
      description: for `--help`.

    Returns:
      The flag's holder; `.value` is a tuple of ints, or None.
    """
    holder = flags.DEFINE(_SeedsParser(), name, default, description)
    # Shown by `--help` with the script's own flags.
    flags.FLAGS.register_key_flag_for_module(sys.argv[0], flags.FLAGS[name])
    return holder


def define_step_flag() -> flags.FlagHolder:
    """Define `--step`, which checkpoint to restore.

    Returns:
      The flag's holder; `.value` is an int, "best" or None.
    """
    holder = flags.DEFINE(
        _StepParser(),
        "step",
        None,
        "Which checkpoint: its step, or best by the run's own metric; the last by default.",
    )
    flags.FLAGS.register_key_flag_for_module(sys.argv[0], flags.FLAGS["step"])
    return holder


def define_start_anew_flag() -> flags.FlagHolder:
    """Define `--may_start_anew`, for a run whose checkpoints are all damaged.

    Returns:
      The flag's holder; `.value` is a bool.
    """
    holder = flags.DEFINE_bool(
        "may_start_anew",
        False,
        "If all checkpoints are damaged, start anew from step 0 instead of stopping; they stay in "
        "damaged_checkpoints. Changes nothing while one is whole.",
    )
    flags.FLAGS.register_key_flag_for_module(sys.argv[0], flags.FLAGS["may_start_anew"])
    return holder


def require_flag(holder: flags.FlagHolder) -> None:
    """Stop with one line if a flag is not given that what was chosen by another needs."""
    if holder.value is None:
        _stop(f"--{holder.name}: not given; see --help")


def run(
    main: Callable[[Sequence[str]], None],
    *,
    cache_near: flags.FlagHolder | None = None,
    joins_processes: bool = False,
) -> None:
    """Run a launch script's main function.

    A `UserError`, and a mistake in the flags, ends in one line on standard error and exit code 1.

    Args:
      main: gets the arguments that are not flags.
      cache_near: the flag of a folder beside which compiled programs are kept; None keeps none.
      joins_processes: whether several processes may work together, see `process_group.join_processes`.
    """
    if {"--version", "-version"} & set(sys.argv[1:]):
        # Before the flags that a script requires are asked for.
        print(versions.describe_versions())
        sys.exit()
    _ask_for_large_pages()
    if cache_near is not None:
        flags.FLAGS.register_key_flag_for_module(sys.argv[0], flags.FLAGS[_CACHE_DIR.name])
    for holder in (_VERSION, *((_COORDINATOR, _NUM_PROCESSES, _PROCESS_ID) if joins_processes else ())):
        flags.FLAGS.register_key_flag_for_module(sys.argv[0], flags.FLAGS[holder.name])

    def run_main(argv):
        # Imported here so that `--help` does not wait for it.
        from fpgan_jax.host import signals

        signals.end_process_at_second_signal()
        _keep_convolutions_from_ynnpack()
        if cache_near is not None:
            _keep_compiled_programs(cache_near.value)
        own_main = _name_environments_mistakes(main)
        if joins_processes:
            own_main = _name_environments_mistakes(_work_with_others(own_main))
        _run_main(own_main, argv)

    app.run(run_main, flags_parser=_parse_flags)


def _ask_for_large_pages() -> None:
    """Start this process again with glibc asking for large pages, which it can be told at its start only.

    On a CPU a training step takes hundreds of MB afresh; in pages of 4 KiB that is up to a fifth of its time.
    """
    try:
        with open("/sys/kernel/mm/transparent_hugepage/enabled", encoding="ascii") as file:
            is_on_request = "[madvise]" in file.read()
    except OSError:
        return
    if is_on_request and "GLIBC_TUNABLES" not in os.environ and sys.executable:
        os.environ["GLIBC_TUNABLES"] = "glibc.malloc.hugetlb=1"
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def _keep_convolutions_from_ynnpack() -> None:
    """Have XLA:CPU convolve with Eigen, before JAX is imported.

    YNNPACK, this version's choice, divides a convolution among threads by output features only: up to 64 of
    them, as in both networks' large layers, get one core. The 128-pixel training step takes 8% longer so with
    jaxlib 0.10.2, and 24% longer with 0.11.2 (docs/benchmarks.md).
    """
    if importlib.metadata.version("jaxlib") not in _JAXLIB_WITH_YNN_FLAG:
        return
    try:
        xla_flags = read_flags(os.environ.get("XLA_FLAGS", ""))
    except UserError as error:
        _stop(str(error))
    if _YNN_FLAG not in xla_flags:
        os.environ["XLA_FLAGS"] = f"{_YNN_FLAG}=-individual_convolution {xla_flags}".rstrip()


def _keep_compiled_programs(workdir: str) -> None:
    """Tell JAX, which is not imported yet, where compiled programs are kept from run to run."""
    folder = _CACHE_DIR.value
    if folder is None:
        folder = os.path.join(os.path.dirname(os.path.abspath(workdir)), ".jax_cache")
        # JAX takes UTF-8 alone.
        folder = folder if is_utf8(folder) else ""
    if folder:
        os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", folder)
    folder = os.environ.get("JAX_COMPILATION_CACHE_DIR", "")
    if not is_utf8(folder):
        _stop(f"JAX_COMPILATION_CACHE_DIR={folder!r}: JAX cannot use a path with a byte that is no UTF-8")


def _parse_flags(argv: Sequence[str]) -> list[str]:
    try:
        rest = flags.FLAGS(argv, known_only=False)
        if "config" in flags.FLAGS and flags.FLAGS["config"].value is not None:
            flags.FLAGS["config"].value.items()  # a file that could not be loaded says so only here
    except (AttributeError, KeyError) as error:
        _stop(_describe_unknown_field(str(error)))
    except (flags.Error, TypeError, ValueError) as error:
        _stop(str(error))
    except Exception as error:
        # A config file is a program, which can raise anything.
        _stop(f"--config: cannot be loaded: {type(error).__name__}: {error}")
    if flags.FLAGS["verbosity"].using_default_value:
        # Orbax tells of every file it writes; a progress line and warnings are what the user wants.
        flags.FLAGS.verbosity = logging.WARNING
    return rest


def _run_main(main: Callable[[Sequence[str]], None], argv: Sequence[str]) -> None:
    # As Ctrl-C: what a batch system sends before it kills. A training notes both and saves first.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if len(argv) > 1:
        _stop(f"{argv[1]!r}: not a flag; all arguments are --NAME=VALUE, see --help")
    try:
        main(argv)
    except UserError as error:
        _stop(str(error))
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            # Writing to an open file names no file.
            name = f"{error.filename}: " if error.filename else ""
            _stop(f"{name}{error.strerror}; make room and give the same command again, which goes on")
        if error.filename is None:
            raise
        _stop(f"{error.filename}: {error.strerror}")
    except Interrupted as stop:
        print(f"INTERRUPTED: {stop}", file=sys.stderr, flush=True)
        _leave_at_once(EXIT_INTERRUPTED)
    except KeyboardInterrupt:
        print("INTERRUPTED: the same command goes on from what is done.", file=sys.stderr, flush=True)
        _end_others("interrupted", EXIT_INTERRUPTED)
        sys.exit(EXIT_INTERRUPTED)
    except Exception as error:
        # JAX has no class of its own for it.
        if not isinstance(error, MemoryError) and "RESOURCE_EXHAUSTED" not in str(error):
            raise
        _stop(
            f"out of memory ({str(error) or 'no more is said'}); use smaller batches, images or networks, or remat"
        )


def _leave_at_once(code: int) -> None:
    """End this process without the seconds that Python and its libraries take for their end.

    All is on disk, and who asked to stop may kill soon.
    """
    logging.flush()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _name_environments_mistakes(main: Callable[[Sequence[str]], None]) -> Callable[[Sequence[str]], None]:
    """Have a main function tell in one line of a variable with which JAX cannot start."""

    def run_and_name(argv):
        try:
            main(argv)
        except (AssertionError, RuntimeError, ValueError) as error:
            if line := _describe_environments_mistake(error):
                raise UserError(line) from error
            raise

    return run_and_name


def _describe_environments_mistake(error: Exception) -> str | None:
    # JAX has no classes of its own for these.
    text = str(error)
    option = re.search(r"for (?:JAX flag|environment) '?(jax_\w+)", text, re.IGNORECASE)
    if option and (name := option[1].upper()) in os.environ:
        return f"{name}={os.environ[name]}: JAX does not know this value; set another, or unset it"
    frames = traceback.extract_tb(error.__traceback__)
    is_without_text = isinstance(error, AssertionError) and frames[-1].filename.endswith("xla_bridge.py")
    if not is_without_text and not re.match("Unable to initialize backend|Unknown backend", text):
        return None
    given = [f"{name}={os.environ[name]}" for name in _DEVICE_VARIABLES if os.environ.get(name)]
    reason = text.partition(" (set JAX_PLATFORMS")[0].partition(" (you may need")[0]
    return (
        f"{', '.join(given) or 'JAX_PLATFORMS is not set'}: JAX finds no such device here"
        f"{f' ({reason})' if reason else ''}; JAX_PLATFORMS=cpu computes on the CPU"
    )


def _work_with_others(main: Callable[[Sequence[str]], None]) -> Callable[[Sequence[str]], None]:
    """Have a main function run in all processes of a run, once they have come together."""

    def join_and_run(argv):
        from fpgan_jax import errors
        from fpgan_jax.host import process_group

        process_group.join_processes(_COORDINATOR.value, _NUM_PROCESSES.value, _PROCESS_ID.value)
        try:
            main(argv)
        except errors.Interrupted:
            # All of them stop after the same step.
            process_group.leave_processes()
            raise
        except (errors.UserError, OSError, KeyboardInterrupt):
            raise
        except Exception as error:
            traceback.print_exc()
            _end_others(f"{type(error).__name__}: {error}", 1)
            raise
        process_group.leave_processes()

    return join_and_run


def _end_others(reason: str, exit_code: int) -> None:
    """End the other processes of a run and this one, if there are others."""
    if process_group := sys.modules.get("fpgan_jax.host.process_group"):
        process_group.end_processes(reason, exit_code)


def _describe_unknown_field(text: str) -> str:
    # ml_collections says it in a KeyError, whose text is quoted twice.
    if "get_config" in text:
        return f"--config: the file defines no get_config() ({text})"
    match = re.search(r'Did you mean "(.+?)" instead of "(.+?)"', text)
    return (
        f"--config: no field {match[2]!r}; did you mean {match[1]!r}?"
        if match
        else f"--config: no field {text}"
    )


def _stop(message: str) -> None:
    line = " ".join(message.split())
    print(f"ERROR: {line}", file=sys.stderr, flush=True)
    _end_others(line, 1)
    sys.exit(1)
