#!/usr/bin/env bash
# Builds the library and the command twice, in folders of different names, and compares every byte.
set -euo pipefail
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for folder in first second/below; do
    meson setup "$work/$folder" . --buildtype=release >/dev/null
    ninja -C "$work/$folder" ingot libingot.so.0.1.0 libingot.a >/dev/null
done
status=0
for file in ingot libingot.so.0.1.0; do
    cmp "$work/first/$file" "$work/second/below/$file" && sha256sum <"$work/first/$file" || status=1
done
exit $status
