#!/usr/bin/env bash
# All measurements that need a GPU, in one command for a machine that has one, JAX and PyTorch, and no network.
# Usage: bash launch/gpu_check.sh prepare SOCOFING_FOLDER
#          where there is a network: the wheels, the prints and the commit that the other machine lacks, into .gpu
#        bash launch/gpu_check.sh run [FLAGS of launch.gpu_check]
#          there, in a copy of the checkout with .gpu; the same command continues with what is not done
#        bash launch/gpu_check.sh --tiny    rehearses `run` on a CPU; the times mean nothing
# prepare uses the environment in .venv, or where FPGAN_JAX_VENV says; run uses PYTHON, or python3.
set -euo pipefail
cd "$(dirname "$0")/.."
# What JAX's and PyTorch's own requirements do not bring along.
wheels=(ml_collections==1.1.0 tensorboardX==2.6.5)
# The paper's sets and their controls need 30 persons at most.
persons=30

prepare() {
  local socofing="${1:?names the folder that holds Real and Altered}" python="${FPGAN_JAX_VENV:-.venv}/bin/python"
  mkdir -p .gpu
  rm -f .gpu/*.whl
  # Pure Python, whatever the version there is.
  "$python" -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: --dest .gpu "${wheels[@]}"
  tfds="$(mktemp -d)" # not local: the trap comes after this function
  trap 'rm -rf "$tfds"' EXIT
  for made in "paper_p50 prints_256 $persons" "test_size prints_128 3"; do
    read -r config name number <<< "$made"
    "$python" -m launch.make_pairs --config="configs/$config.py" --config.data.socofing_dir="$socofing" \
      --config.data.tfds_dir="$tfds" --npz=".gpu/$name.npz" --npz_num_persons="$number"
  done
  git describe --match= --always --abbrev=40 --dirty > .gpu/commit
  du -sh .gpu
}

run() {
  local python="${PYTHON:-python3}" workdir="$PWD/runs/gpu_check"
  if [ "${1:-}" = --tiny ]; then
    workdir="$PWD/runs/gpu_check_tiny"
    export JAX_PLATFORMS=cpu
  fi
  export PYTHONPATH="$workdir/site${PYTHONPATH:+:$PYTHONPATH}"
  # Found, not imported: tensorboardX would import PyTorch.
  if ! "$python" -c 'import sys, importlib.util as i; sys.exit(not all(map(i.find_spec, sys.argv[1:])))' \
    ml_collections tensorboardX; then
    compgen -G '.gpu/*.whl' > /dev/null || { echo "ERROR: .gpu: holds no wheels; run 'prepare' first" >&2; exit 1; }
    "$python" -m pip install --quiet --disable-pip-version-check --no-index --no-deps --upgrade \
      --target "$workdir/site" .gpu/*.whl
  fi
  # Later processes use the programs that earlier ones compiled, and their choices of kernels.
  export JAX_COMPILATION_CACHE_DIR="$workdir/jax_cache" JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS=0.3
  export TORCHINDUCTOR_CACHE_DIR="$workdir/torch_cache" PYTHONUNBUFFERED=1
  exec "$python" -m launch.gpu_check --workdir="$workdir" ${OUT:+--out_dir="$OUT"} "$@"
}

case "${1:-}" in
  prepare) shift; prepare "$@" ;;
  run) shift; run "$@" ;;
  --tiny) run "$@" ;;
  *) sed -n '2,8s/^# //p' "$0" >&2; exit 1 ;;
esac
