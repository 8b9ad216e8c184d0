"""Owns what all launch scripts share: types of flags, running, and turning a user's mistake into one line."""

import csv
import errno
import gc
import itertools
import os
import pathlib
import re
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from absl import app, flags, logging
from ml_collections import config_flags

from fpgan_jax.errors import Interrupted, UserError
from fpgan_jax.host import jax_environment, versions
from fpgan_jax.host.user_paths import expand_path, find_path_fault

# Before anything imports TensorFlow, whose start-up messages hide the output of the script.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
# Nothing here uses tf.keras. The legacy one is imported only on use, which saves 1 s at the start.
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")

# Exit code of a run that was asked to stop: EX_TEMPFAIL of sysexits.h, "try again".
EXIT_INTERRUPTED = 75

Main = Callable[[], None]

_COORDINATOR = flags.DEFINE_string(
    "coordinator",
    None,
    "For several processes: HOST:PORT of process 0, the same for all. srun and Open MPI 4's mpirun need none of the "
    "three flags.",
)
_NUM_PROCESSES = flags.DEFINE_integer(
    "num_processes", None, "For several processes: their number.", lower_bound=1
)
_PROCESS_ID = flags.DEFINE_integer(
    "process_id", None, "For several processes: the number of this one, from 0.", lower_bound=0
)
_VERSION = flags.DEFINE_bool("version", False, "Print the versions of this program and its libraries.")


class _PathParser(flags.ArgumentParser):
    syntactic_help = "a path; ~ is the home folder"

    def __init__(self, *, may_be_empty: bool = False):
        self._may_be_empty = may_be_empty

    def parse(self, argument: str) -> Any:
        if not argument and not self._may_be_empty:
            raise ValueError("empty; name a file or folder")
        if fault := find_path_fault(argument):
            raise ValueError(fault)
        return expand_path(argument)


class _PathsParser(_PathParser):
    syntactic_help = "paths with commas between them"

    def parse(self, argument: str) -> Any:
        return [super(_PathsParser, self).parse(path) for path in _split_paths(argument)]


class _PathsFlag(flags.MultiFlag):
    """A list of paths; giving the flag again adds more."""

    def _parse(self, arguments: Any) -> Any:
        return [path for paths in super()._parse(arguments) for path in paths]


def _split_paths(text: str) -> list[str]:
    """Split a list at its commas, except inside a path that exists and inside CSV's quotes."""
    try:
        (parts,) = csv.reader([text], strict=True) if text else ([],)
    except (csv.Error, ValueError) as error:
        raise ValueError(f"not a list of paths: {error}") from error
    parts = [part.strip() for part in parts]
    return parts if '"' in text else _join_existing(parts) or parts


def _join_existing(parts: list[str]) -> list[str] | None:
    """Join as few neighbors as possible with commas so that every path exists; None if that is impossible."""
    for length in range(1, len(parts) + 1):
        path = ",".join(parts[:length])
        if os.path.exists(expand_path(path)):
            rest = _join_existing(parts[length:]) if parts[length:] else []
            if rest is not None:
                return [path, *rest]
    return None


class _SeedsParser(flags.ArgumentParser):
    syntactic_help = "integers from 0, such as 0,1,2"

    def parse(self, argument: Any) -> Any:
        if argument is None or isinstance(argument, tuple):
            return argument
        try:
            seeds = tuple(int(part) for part in argument.split(",") if part.strip())
        except ValueError as error:
            raise ValueError(f"must be {self.syntactic_help}") from error
        from fpgan_jax.config.fields import FIELDS

        for seed in seeds:
            if fault := FIELDS["seed"].find_fault(seed):
                raise ValueError(f"seed {seed}: {fault}")
        return seeds


class _StepParser(flags.ArgumentParser):
    syntactic_help = "an integer, or best"

    def parse(self, argument: Any) -> Any:
        try:
            return argument if argument in (None, "best") else int(argument)
        except ValueError as error:
            raise ValueError(f"must be {self.syntactic_help}") from error


class _ConfigParser(flags.ArgumentParser):
    """Reads the config.json of a run; passes Python files on to ml_collections, which executes them."""

    def __init__(self, python_parser: flags.ArgumentParser):
        self._python_parser = python_parser

    def parse(self, argument: str) -> Any:
        if fault := find_path_fault(argument):
            raise ValueError(fault)
        argument = expand_path(argument)
        if not argument.endswith(".json"):
            _check_config_file(argument)
            return self._python_parser.parse(argument)
        from fpgan_jax.config.files import load_config

        return load_config(argument).lock()

    def flag_type(self) -> str:
        return self._python_parser.flag_type()


def _check_config_file(argument: str) -> None:
    path = re.sub(r"\.py:.*", ".py", argument)  # ml_collections takes FILE.py:ARGUMENT too
    if any(os.path.isfile(os.path.join(folder, path)) for folder in ("", *sys.path)):
        return
    namesake = f"configs/{os.path.basename(path).removesuffix('.py')}.py"
    hint = (
        f"did you mean {namesake}?" if os.path.isfile(namesake) else "configs/ has the files to choose from"
    )
    raise ValueError(f"no such file; {hint}")


def define_config_flag(*, is_required: bool = True) -> flags.FlagHolder:
    """Define `--config`: a Python file or the config.json of a run, with overrides such as `--config.lambda_l1=50`.

    Its `.value` is a ConfigDict, or None if the flag is not given.
    """
    holder = config_flags.DEFINE_config_file(
        "config",
        None,
        "Config file, or config.json of a run. --config.FIELD=VALUE overrides a field, such as --config.lambda_l1=50.",
    )
    flags.FLAGS["config"].parser = _ConfigParser(flags.FLAGS["config"].parser)
    if is_required:
        flags.mark_flag_as_required("config")
    return _show_in_help(holder)


def define_path_flag(
    name: str,
    description: str,
    *,
    default: str | None = None,
    required: bool = False,
    may_be_empty: bool = False,
) -> flags.FlagHolder:
    """Define a flag for a file or folder on this machine; `.value` has `~` expanded."""
    parser = _PathParser(may_be_empty=may_be_empty)
    return _show_in_help(flags.DEFINE(parser, name, default, description, required=required))


def define_paths_flag(
    name: str, description: str, *, default: Sequence[str] | None = None, required: bool = False
) -> flags.FlagHolder:
    """Define a flag for several files or folders, separated by commas or given as several flags.

    A path that contains a comma needs CSV's double quotes only if it does not exist, or if its parts exist too.
    """
    flag = _PathsFlag(_PathsParser(), flags.ArgumentSerializer(), name, default, description)
    return _show_in_help(flags.DEFINE_flag(flag, required=required))


_CACHE_DIR = flags.DEFINE(
    _PathParser(may_be_empty=True),
    "compilation_cache_dir",
    None,
    "Folder that keeps compiled programs for later runs; .jax_cache beside the workdir by default, none if empty. The "
    "variable JAX_COMPILATION_CACHE_DIR takes precedence.",
)


def define_seeds_flag(name: str, default: str | None, description: str) -> flags.FlagHolder:
    """Define a flag for several seeds, with a default such as "0,1,2"; `.value` is a tuple of ints, or None."""
    return _show_in_help(flags.DEFINE(_SeedsParser(), name, default, description))


def define_step_flag() -> flags.FlagHolder:
    """Define `--step`, the checkpoint to restore; `.value` is an int, "best" or None."""
    description = "Checkpoint: its step, or best by the run's own metric; the last one by default."
    return _show_in_help(flags.DEFINE(_StepParser(), "step", None, description))


def define_start_anew_flag() -> flags.FlagHolder:
    """Define `--may_start_anew`, for a run whose checkpoints are all damaged; `.value` is a bool."""
    holder = flags.DEFINE_bool(
        "may_start_anew",
        False,
        "If all checkpoints are damaged, start again from step 0 instead of stopping. They stay in "
        "damaged_checkpoints. Has no effect while one of them is intact.",
    )
    return _show_in_help(holder)


def _show_in_help(holder: flags.FlagHolder) -> flags.FlagHolder:
    """Make `--help` show a flag with the script's own ones, and return it."""
    flags.FLAGS.register_key_flag_for_module(sys.argv[0], flags.FLAGS[holder.name])
    return holder


def insert_default_config() -> None:
    """Insert `--config=configs/pix2pix_socofing.py` into the command line if it has no `--config`.

    A default of the flag itself would be loaded first, and then a mistake in an override could not end in one line.
    """
    if not _is_config_given():
        path = pathlib.Path(__file__).parents[1] / "configs/pix2pix_socofing.py"
        sys.argv.insert(1, f"--config={path}")


def _is_config_given() -> bool:
    """Say whether the command line has "--config=FILE", or "--config FILE" of two arguments."""
    names = (argument.lstrip("-").partition("=")[0] for argument in sys.argv[1:] if argument.startswith("-"))
    return "config" in names


def insert_experiment_config(name: str) -> None:
    """Insert the config.json in an experiment's folder if fields are overridden and no `--config` is given.

    The folder is the value of the flag `name`.
    """
    given = [argument.lstrip("-") for argument in sys.argv[1:]]
    if _is_config_given() or not any(argument.startswith("config.") for argument in given):
        return
    # "--experiment=FOLDER", and "--experiment FOLDER" of two arguments.
    folders = [argument.partition("=")[2] for argument in given if argument.startswith(f"{name}=")]
    folders += [folder for flag, folder in itertools.pairwise(given) if flag == name]
    if folders:
        sys.argv.insert(1, f"--config={pathlib.Path(folders[0]) / 'config.json'}")


def require_flag(holder: flags.FlagHolder) -> None:
    """Raise a `UserError` if a flag is missing that the choice made with another flag needs."""
    if holder.value is None:
        raise UserError(f"--{holder.name}: not given; see --help")


def run(main: Main, *, cache_near: flags.FlagHolder | None = None, joins_processes: bool = False) -> None:
    """Run the main function of a launch script.

    A `UserError` or a mistake in the flags ends with one line on standard error and exit code 1. Compiled programs are
    kept beside the folder of the flag `cache_near`. With `joins_processes` several processes can work together, see
    `process_group.join_processes`.
    """
    if {"--version", "-version"} & set(sys.argv[1:]):
        # Before absl asks for the required flags.
        print(versions.describe_versions())
        sys.exit()
    jax_environment.request_large_pages()
    # Imports and traced programs are millions of objects that stay. Looking for garbage among them, as often as Python
    # does by default (700), takes a seventh of the time to the first step.
    gc.set_threshold(100_000)
    if cache_near is not None:
        _show_in_help(_CACHE_DIR)
    for holder in (_VERSION, *((_COORDINATOR, _NUM_PROCESSES, _PROCESS_ID) if joins_processes else ())):
        _show_in_help(holder)

    def prepare_and_run(argv: list[str]) -> None:
        # Imported here so that `--help` does not wait for it.
        from fpgan_jax.host import signals

        signals.end_process_at_second_signal()
        try:
            jax_environment.choose_xla_flags()
            if cache_near is not None:
                jax_environment.keep_compiled_programs(cache_near.value, _CACHE_DIR.value)
        except UserError as error:
            _stop(str(error))
        own_main = jax_environment.explain_start_errors(main)
        if joins_processes:
            own_main = jax_environment.explain_start_errors(_work_with_others(own_main))
        _run_main(own_main, argv)

    app.run(prepare_and_run, flags_parser=_parse_flags)


def _parse_flags(argv: Sequence[str]) -> list[str]:
    try:
        rest = flags.FLAGS(argv, known_only=False)
        if "config" in flags.FLAGS and flags.FLAGS["config"].value is not None:
            flags.FLAGS["config"].value.items()  # raises the error of a file that could not be loaded
    except (AttributeError, KeyError) as error:
        _stop(_describe_unknown_field(str(error)))
    except (flags.Error, TypeError, ValueError) as error:
        _stop(str(error))
    except Exception as error:
        # A config file is a program and can raise anything.
        _stop(f"--config: cannot be loaded: {type(error).__name__}: {error}")
    if flags.FLAGS["verbosity"].using_default_value:
        # Orbax logs every file that it writes.
        logging.set_verbosity(logging.WARNING)
    return rest


def _run_main(main: Main, argv: list[str]) -> None:
    # Batch systems send SIGTERM before they kill; handled like Ctrl-C. A training catches both and saves first.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if len(argv) > 1:
        _stop(f"{argv[1]!r}: not a flag; all arguments are --NAME=VALUE, see --help")
    try:
        main()
    except UserError as error:
        _stop(str(error))
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            # The error of a write to an open file has no name.
            name = f"{error.filename}: " if error.filename else ""
            _stop(f"{name}{error.strerror}; free some space and run the same command again to resume")
        if error.filename is None:
            raise
        _stop(f"{error.filename}: {error.strerror}")
    except Interrupted as stop:
        print(f"INTERRUPTED: {stop}", file=sys.stderr, flush=True)
        _leave_at_once(EXIT_INTERRUPTED)
    except KeyboardInterrupt:
        print("INTERRUPTED: run the same command again to resume.", file=sys.stderr, flush=True)
        _end_others("interrupted", EXIT_INTERRUPTED)
        sys.exit(EXIT_INTERRUPTED)
    except Exception as error:
        # JAX has no error class for this.
        if not isinstance(error, MemoryError) and "RESOURCE_EXHAUSTED" not in str(error):
            raise
        reason = str(error) or "no details"
        _stop(f"out of memory ({reason}); use smaller batches, images or networks, or remat")


def _leave_at_once(code: int) -> NoReturn:
    """End this process without the seconds that Python and its libraries take to shut down.

    Everything is on disk, and whoever asked to stop may kill soon.
    """
    logging.flush()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _work_with_others(main: Main) -> Main:
    """Wrap a main function so that it first joins the other processes of the run."""

    def join_and_run() -> None:
        from fpgan_jax.host import process_group

        process_group.join_processes(_COORDINATOR.value, _NUM_PROCESSES.value, _PROCESS_ID.value)
        try:
            main()
        except Interrupted:
            # All processes stop after the same step.
            process_group.leave_processes()
            raise
        except (UserError, OSError, KeyboardInterrupt):
            raise
        except Exception as error:
            # Otherwise the other processes would wait for this one forever.
            traceback.print_exc()
            _end_others(f"{type(error).__name__}: {error}", 1)
            raise
        process_group.leave_processes()

    return join_and_run


def _end_others(reason: str, exit_code: int) -> None:
    """End all processes of the run, if there are several."""
    if process_group := sys.modules.get("fpgan_jax.host.process_group"):
        process_group.end_processes(reason, exit_code)


def _describe_unknown_field(text: str) -> str:
    # The text of ml_collections' KeyError is quoted twice.
    if "get_config" in text:
        return f"--config: the file defines no get_config() ({text})"
    match = re.search(r'Did you mean "(.+?)" instead of "(.+?)"', text)
    return (
        f"--config: no field {match[2]!r}; did you mean {match[1]!r}?"
        if match
        else f"--config: no field {text}"
    )


def _stop(message: str) -> NoReturn:
    line = " ".join(message.split())
    print(f"ERROR: {line}", file=sys.stderr, flush=True)
    _end_others(line, 1)
    sys.exit(1)
