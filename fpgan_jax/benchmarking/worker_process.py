"""Owns one request to a module that runs in a process of its own, where JAX starts with another environment.

Does not know what is asked.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from typing import Any


def ask_module(module: str, request: Any, environment: Mapping[str, str]) -> Any:
    """Run a module with a request on its standard input.

    Args:
      module: its name; it prints its answer as its last line. Both are JSON.
      request: what it is asked.
      environment: variables that it has besides this process's.

    Returns:
      The answer.

    Raises:
      RuntimeError: it failed; the message is its last line.
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
        raise RuntimeError((result.stderr.strip().splitlines() or ["no message"])[-1])
    return json.loads(result.stdout.splitlines()[-1])
