#!/usr/bin/env bash
# Installs what the tests need, builds, runs every test. The last line is 'N passed, N failed'.
#
#     bash tests/run.sh [PART ...]        the parts are listed at the top of tests/run.py; default: all
set -euo pipefail
cd "$(dirname "$0")/.."

packages=(gcc g++ cmake libc6-dev meson ninja-build pkg-config protobuf-compiler protobuf-c-compiler libprotobuf-c-dev libzip-dev
          libpng-dev libjpeg-dev libwebp-dev libtiff-dev libopenjp2-7-dev libjson-c-dev libpcre2-dev libcmocka-dev python3
          python3-dev python3-venv strace valgrind zsh fish man-db groff clang libomp-dev gcc-aarch64-linux-gnu
          libc6-dev-arm64-cross qemu-user universal-ctags doxygen musl-tools git)
missing=()
for package in "${packages[@]}"; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ]; then
    sudo=$([ "$(id -u)" = 0 ] || echo sudo)
    $sudo apt-get update -qq
    $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

# What the ONNX project's cases expect is computed by these three. ml_dtypes 0.7 casts what int4 and int2 cannot hold to 0, where
# the releases before it keep the low bits; the standard leaves it open.
pinned='onnx==1.23.2 numpy==2.4.6 ml_dtypes==0.6.0'
venv=build/venv
if ! $venv/bin/python -c 'import breathe, cffi, furo, linkcheck, mesonbuild, myst_parser, onnx, onnxruntime, PIL, pytest
import sys, importlib.metadata as m
sys.exit(any(m.version(name) != v for name, v in (p.split("==") for p in sys.argv[1:])))' $pinned 2>/dev/null; then
    rm -rf build/cases                           # which other releases wrote
    python3 -m venv $venv
    $venv/bin/pip install -q --disable-pip-version-check $pinned pillow onnxruntime pytest cffi 'meson>=1.3' \
        sphinx myst-parser furo breathe linkchecker
fi
exec $venv/bin/python tests/run.py "$@"
