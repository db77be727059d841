#!/usr/bin/env bash
# Fuzzes for a while: tests/fuzz/run.sh SECONDS [TARGET ...]
#
# Builds the targets with clang under the address and undefined sanitizers into build/fuzz (set FUZZ_BUILD for another folder) and
# runs each for SECONDS, beginning with the kept corpus, the models of tests/malformed, and what earlier runs found
# (build/fuzz/found). An input that fails is left in build/fuzz/failed and ends the script with 1: minimize it
# (fuzz_TARGET -minimize_crash=1 FILE), fix the cause, and keep it in tests/fuzz/corpus/TARGET.
#
# The second engine: CC=afl-clang-fast meson setup build/afl, ninja -C build/afl, and
# afl-fuzz -i build/fuzz/found/run -o build/afl/out -- build/afl/tests/fuzz/replay_run @@
set -euo pipefail
cd "$(dirname "$0")/../.."
seconds=${1:?SECONDS}
shift
targets=("$@")
[ ${#targets[@]} -gt 0 ] || targets=(model run einsum external dump)
build=${FUZZ_BUILD:-build/fuzz}
if [ ! -e "$build/build.ninja" ]; then
    CC="${CC:-clang}" meson setup "$build" --buildtype=debugoptimized -Dfuzz=true -Db_sanitize=address,undefined -Db_lundef=false >/dev/null
fi
ninja -C "$build" >/dev/null
mkdir -p "$build/failed"
"${PYTHON:-python3}" tests/fuzz/seeds.py "$build/found"
export UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 ASAN_OPTIONS=detect_leaks=1:allocator_may_return_null=1
status=0
for target in "${targets[@]}"; do
    mkdir -p "$build/found/$target"
    echo "== $target"
    "$build/tests/fuzz/fuzz_$target" "$build/found/$target" "tests/fuzz/corpus/$target" -max_total_time="$seconds" -max_len=16384 \
        -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 -verbosity="${VERBOSITY:-0}" -artifact_prefix="$build/failed/$target-" 2>&1 |
        grep -E "stat::number_of_executed|ERROR|SUMMARY|runtime error|not so|    #[0-9]+ .* in ingot|    #[0-9]+ .*/(onnx|ops|engine|cli)/|Test unit" ||
        true
    [ "${PIPESTATUS[0]}" = 0 ] || status=1
done
exit $status
