#!/usr/bin/env bash
# Makes the virtual environment that quickstart.sh and test.sh use, or brings it up to date.
# Usage: bash launch/setup_environment.sh [EXTRA]    (an extra of setup.cfg: test, gpu, compare)
# The environment is .venv, or where FPGAN_JAX_VENV says. PYTHON names the interpreter.
set -euo pipefail
cd "$(dirname "$0")/.."
extra="${1:-}"
environment="${FPGAN_JAX_VENV:-.venv}"
python="${PYTHON:-python3}"

if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
  echo "ERROR: $("$python" --version) is too old; set PYTHON to a Python 3.11 or newer" >&2
  exit 1
fi
# The mark holds what was asked for, so that an unchanged environment is not installed again.
wanted="$(cat setup.cfg pyproject.toml | cksum) $extra"
mark="$environment/.fpgan_jax_installed_$extra"
if [ -f "$mark" ] && [ "$(cat "$mark")" = "$wanted" ]; then
  exit 0
fi
echo "Installing into $environment (a few minutes the first time)"
[ -x "$environment/bin/python" ] || "$python" -m venv "$environment"
"$environment/bin/python" -m pip install --quiet --disable-pip-version-check --editable ".${extra:+[$extra]}"
echo "$wanted" > "$mark"
