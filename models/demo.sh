#!/usr/bin/env bash
# demo.sh - builds Ingot, lets MyNet read handwritten digits, and verifies it against what PyTorch computed.
# On Debian and Ubuntu it first installs what the build needs and the machine does not have. Exit code 0 means that the
# verification passed and that at least 9 of 10 digits were read correctly.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
packages=(gcc libc6-dev meson ninja-build pkg-config protobuf-c-compiler protobuf-compiler libprotobuf-c-dev
          libzip-dev libpng-dev libjpeg-dev libjson-c-dev)
minimum_percent=90

step() { printf '\n== %s\n' "$*"; }
fail() { printf 'demo: %s\n' "$*" >&2; exit 1; }

install_packages()
{
    if ! command -v apt-get >/dev/null; then
        printf 'no apt-get here; the build needs what these Debian packages hold: %s\n' "${packages[*]}"
        return
    fi
    local missing=() package root=()
    for package in "${packages[@]}"; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
    done
    if [ ${#missing[@]} -eq 0 ]; then
        echo 'nothing is missing'
        return
    fi
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || fail "run as root, or install first: ${missing[*]}"
        root=(sudo)
    fi
    echo "installing ${missing[*]}"
    "${root[@]}" apt-get update -qq
    "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

build()
{
    [ -f build/build.ninja ] || meson setup build --buildtype=release
    ninja -C build ingot
}

# The file name starts with the digit that the image shows; line digit + 1 of digits.txt is its name.
read_digits()
{
    local image digit expected got right=0 total=0 names
    mapfile -t names <models/digits.txt
    for image in models/digits/*.png; do
        digit=${image##*/}
        expected=${names[${digit%%_*}]}
        got=$(build/ingot run models/MyNet.onnx --input "$image" --top 1 --labels models/digits.txt)
        got=$(grep -owFm1 -f models/digits.txt <<<"$got") || fail "$image: 'ingot run' named no class"
        total=$((total + 1))
        if [ "$got" = "$expected" ]; then
            right=$((right + 1))
            printf '%s  %s\n' "$image" "$got"
        else
            printf '%s  %s  (it is a %s)\n' "$image" "$got" "$expected"
        fi
    done
    printf 'accuracy: %d of %d\n' "$right" "$total"
    [ $((right * 100)) -ge $((total * minimum_percent)) ] || fail "fewer than $minimum_percent % were right"
}

step 'Packages'
install_packages
step 'Build'
build
step 'MyNet reads digits it was not trained on'
read_digits
step "Verify against PyTorch's output"
for data in models/MyNet/test_data_set_*; do
    build/ingot verify models/MyNet.onnx "$data" || fail "MyNet differs from PyTorch on $data"
done
printf '\nMyNet runs, and agrees with PyTorch.\n'
