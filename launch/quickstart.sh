#!/usr/bin/env bash
# Sets up an environment and runs both experiments on the P50 twin, from noise to table 2.
# Usage: bash launch/quickstart.sh [SOCOFING_FOLDER] [WORKDIR]
# Without a folder it makes procedural prints and uses them. Start it again to go on after a stop.
set -euo pipefail
here="$(cd "$(dirname "$0")/.." && pwd)"
prints="${1:+$(realpath -m "$1")}"
workdir="$(realpath -m "${2:-$here/runs/quickstart${1:+_socofing}}")"
if [ -n "$prints" ] && [ ! -d "$prints" ]; then
  echo "ERROR: $prints is not a folder; name the one that holds Real/ and Altered/" >&2
  exit 1
fi
cd "$here"
bash launch/setup_environment.sh
python="${FPGAN_JAX_VENV:-.venv}/bin/python"
if [ -z "$prints" ]; then
  prints="$here/runs/procedural_prints"
  echo "No SOCOFing folder given: making procedural prints in $prints"
  "$python" -m launch.make_prints --out_dir="$prints" --num_persons=10
fi
exec "$python" -m launch.reproduce --config=configs/twin_p50.py \
  --config.data.socofing_dir="$prints" --workdir="$workdir"
