"""Owns running a module in a separate process, where JAX can start with other environment variables."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from typing import Any


def ask_module(module: str, request: Any, environment: Mapping[str, str]) -> Any:
    """Run a module that reads a request as JSON from standard input and prints its answer as JSON on the last line.

    Raises:
      RuntimeError: the module failed; the message is its last line on standard error.
    """
    result = subprocess.run(
        [sys.executable, "-m", module],
        check=False,
        input=json.dumps(request),
        capture_output=True,
        text=True,
        env=os.environ | environment,
    )
    if result.returncode:
        raise RuntimeError(find_message(result.stderr))
    return json.loads(result.stdout.splitlines()[-1])


def find_message(output: str) -> str:
    """Return the last line of what a process that failed printed."""
    return (output.strip().splitlines() or ["no message"])[-1]
