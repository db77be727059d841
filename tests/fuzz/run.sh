#!/usr/bin/env bash
# Fuzzes for a while: tests/fuzz/run.sh [--afl] SECONDS [TARGET ...]
#
# Builds the targets with clang under the address and undefined sanitizers into build/fuzz (set FUZZ_BUILD for another folder) and
# runs each for SECONDS, beginning with the kept corpus, the models of tests/malformed, and what earlier runs found
# (build/fuzz/found). With --afl the engine is AFL++ (afl-clang-fast, build/afl), which goes on where it stopped and changes models
# by mutate.c too (set MUTATOR where the ordinary build is not build/). An input that fails is left in build/fuzz/failed, or
# build/afl/out/TARGET/default/crashes, and ends the script with 1: minimize it (fuzz_TARGET -minimize_crash=1 FILE), fix the
# cause, and keep it in tests/fuzz/corpus/TARGET. Each target appends a line to build/fuzz/log: engine, target, executions, seconds.
set -euo pipefail
cd "$(dirname "$0")/../.."
engine=libfuzzer
[ "${1:-}" != --afl ] || { engine=afl; shift; }
seconds=${1:?SECONDS}
shift
targets=("$@")
[ ${#targets[@]} -gt 0 ] || targets=(model run einsum external dump)
build=${FUZZ_BUILD:-build/fuzz}
found=$build/found
compiler=${CC:-clang}
[ $engine = libfuzzer ] || { build=${AFL_BUILD:-build/afl}; compiler=afl-clang-fast; }
if [ ! -e "$build/build.ninja" ]; then
    CC=$compiler meson setup "$build" --buildtype=debugoptimized -Dfuzz=true -Db_sanitize=address,undefined -Db_lundef=false >/dev/null
fi
ninja -C "$build" "${targets[@]/#/tests/fuzz/fuzz_}" >/dev/null
mkdir -p "$build/failed"
"${PYTHON:-python3}" tests/fuzz/seeds.py "$found"
export UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 ASAN_OPTIONS=detect_leaks=1:allocator_may_return_null=1
status=0

run_libfuzzer() {
    "$build/tests/fuzz/fuzz_$1" "$found/$1" "tests/fuzz/corpus/$1" -max_total_time="$seconds" -max_len=16384 \
        -timeout="${HANG_SECONDS:-10}" -rss_limit_mb=2048 -print_final_stats=1 -verbosity="${VERBOSITY:-0}" -artifact_prefix="$build/failed/$1-" \
        >"$build/last" 2>&1 || status=1
    grep -E "ERROR|SUMMARY|runtime error|not so|with passes|    #[0-9]+ .* in ingot|    #[0-9]+ .*/(onnx|ops|engine|cli)/|Test unit" "$build/last" || true
    executions=$(sed -n 's/.*number_of_executed_units: *//p' "$build/last")
}

run_afl() {
    local out=$build/out/$1 seeds=$build/seeds/$1
    if [ -e "$out/default/fuzzer_stats" ]; then
        seeds=-
    else
        rm -rf "$out" # of a start that failed
        mkdir -p "$seeds" "$out"
        # one by one, as the two folders may have files of one name
        find "$found/$1" "tests/fuzz/corpus/$1" -type f -size -5k -size +0 | sort | head -n 500 |
            xargs -r -I FILE cp FILE "$seeds"
    fi
    case $1 in
    model | run) export AFL_CUSTOM_MUTATOR_LIBRARY=$PWD/${MUTATOR:-build}/tests/fuzz/mutate_afl.so ;;
    *) unset AFL_CUSTOM_MUTATOR_LIBRARY ;;
    esac
    ASAN_OPTIONS=abort_on_error=1:symbolize=0:detect_leaks=0:allocator_may_return_null=1 UBSAN_OPTIONS=halt_on_error=1:abort_on_error=1:symbolize=0 \
        AFL_NO_UI=1 AFL_SKIP_CPUFREQ=1 AFL_I_DONT_CARE_ABOUT_MISSING_CRASHES=1 AFL_NO_AFFINITY=1 AFL_IGNORE_SEED_PROBLEMS=1 AFL_FAST_CAL=1 \
        AFL_CMPLOG_ONLY_NEW=1 afl-fuzz -V "$seconds" -i "$seeds" -o "$out" -m none -t "${HANG_SECONDS:-5}000+" -g 1 -G 16384 -- "$build/tests/fuzz/fuzz_$1" \
        >"$build/last" 2>&1 || { status=1; tail -n 5 "$build/last"; }
    executions=$(sed -n 's/^execs_done *: *//p' "$out/default/fuzzer_stats")
    ls "$out"/default/crashes/id* "$out"/default/hangs/id* 2>/dev/null && status=1
    return 0
}

for target in "${targets[@]}"; do
    mkdir -p "$found/$target"
    echo "== $engine $target"
    start=$(date +%s)
    run_$engine "$target"
    echo "$engine $target ${executions:-0} $(($(date +%s) - start))" | tee -a "$build/log"
done
exit $status
