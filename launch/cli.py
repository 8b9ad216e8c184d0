"""Owns what all launch scripts share: running, and turning a user's mistake into one line.

Does not own flags; each script defines its own.
"""

import os
import sys
from collections.abc import Callable, Sequence

from absl import app, flags, logging
from ml_collections import config_flags


def define_config_flag(default: str | None = None) -> flags.FlagHolder:
    """Define `--config`, with overrides such as `--config.lambda_l1=50`.

    Args:
      default: the config file where none is given; None makes the flag required.

    Returns:
      The flag's holder; `.value` is a ConfigDict.
    """
    holder = config_flags.DEFINE_config_file(
        "config", default, "Config file; --config.FIELD=VALUE overrides a field, as --config.lambda_l1=50."
    )
    if default is None:
        flags.mark_flag_as_required("config")
    return holder


def run(main: Callable[[Sequence[str]], None]) -> None:
    """Run a launch script's main function.

    A `UserError`, and a mistake in the flags, ends in one line on standard error and exit code 1.

    Args:
      main: gets the arguments that are not flags.
    """
    # Before anything imports TensorFlow, whose start-up notes hide what the user wants to read.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    logging.use_absl_handler()
    app.run(lambda argv: _run_main(main, argv), flags_parser=_parse_flags)


def _parse_flags(argv: Sequence[str]) -> list[str]:
    try:
        return flags.FLAGS(argv, known_only=False)
    except (flags.Error, AttributeError, KeyError, TypeError, ValueError, OSError, SyntaxError) as error:
        # ml_collections raises whatever it meets: an unknown field is an AttributeError or KeyError.
        _stop(str(error.args[0] if error.args else error))


def _run_main(main: Callable[[Sequence[str]], None], argv: Sequence[str]) -> None:
    # Imported here so that `--help` does not wait for it.
    from fpgan_jax.errors import UserError

    if len(argv) > 1:
        _stop(f"{argv[1]!r}: not a flag; all arguments are --NAME=VALUE, see --help")
    try:
        main(argv)
    except UserError as error:
        _stop(str(error))


def _stop(message: str) -> None:
    line = " ".join(message.split())
    print(f"ERROR: {line}", file=sys.stderr, flush=True)
    sys.exit(1)
