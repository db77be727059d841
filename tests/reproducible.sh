#!/usr/bin/env bash
# Builds the library and the command twice, in folders of different names, and compares every byte.
set -euo pipefail
cd "$(dirname "$0")/.."
work=$(mktemp -d)
library=libingot.so.$(sed -n 's/^#define INGOT_VERSION_[A-Z]* \([0-9]*\)$/\1/p' engine/ingot.h | paste -sd.)
trap 'rm -rf "$work"' EXIT
for folder in first second/below; do
    meson setup "$work/$folder" . --buildtype=release >/dev/null
    ninja -C "$work/$folder" ingot "$library" libingot.a >/dev/null
done
status=0
for file in ingot "$library"; do
    cmp "$work/first/$file" "$work/second/below/$file" && sha256sum <"$work/first/$file" || status=1
done
exit $status
