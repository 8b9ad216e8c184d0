#!/usr/bin/env bash
# Sets up an environment and runs the tests.
# Usage: bash launch/test.sh [PYTEST_ARGUMENTS]    (by default everything that is not marked slow, extended, compare or slurm)
set -euo pipefail
cd "$(dirname "$0")/.."
bash launch/setup_environment.sh test
if [ $# -eq 0 ]; then
  set -- -m "not slow and not extended and not compare and not slurm" -n 2 --dist worksteal
  # Not so the slow tests: they use all cores, as users' programs do.
  export FPGAN_JAX_ONE_CORE_A_WORKER=1
fi
export JAX_PLATFORMS="${JAX_PLATFORMS:-cpu}"
# Each of the many processes would compile the project's and the tests' files anew.
unset PYTHONDONTWRITEBYTECODE
exec "${FPGAN_JAX_VENV:-.venv}/bin/python" -m pytest "$@"
