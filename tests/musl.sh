#!/usr/bin/env bash
# Builds Ingot for musl, with nothing but protobuf-c, no OpenMP and no kernels for AVX-512, and runs the unit tests, MyNet
# and an example on that build. musl has no packages of the two libraries that are needed: they are compiled from Debian's
# sources.
#
#     bash tests/musl.sh [FOLDER]        default: build/musl. The last line is 'N passed, N failed'
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p "${1:-build/musl}"
work=$(cd "${1:-build/musl}" && pwd)
export CC=musl-gcc

# Sources from where the machine gets its packages: apt's own lists say where that is.
fetch()
{
    local apt
    mkdir -p "$work/source" "$work/lists/partial"
    apt-get indextargets --format 'deb-src $(REPO_URI) $(CODENAME) $(COMPONENT)' 'Created-By: Packages' |
        grep -v 'security\|updates' | grep ' main$' | sort -u >"$work/sources.list"
    apt=(apt-get -qq -o "Dir::Etc::SourceList=$work/sources.list" -o Dir::Etc::SourceParts=/dev/null
         -o "Dir::State::Lists=$work/lists" -o APT::Sandbox::User=root)
    "${apt[@]}" update
    (cd "$work/source" && "${apt[@]}" source --download-only protobuf-c cmocka)
    for archive in "$work"/source/*.orig.tar.*z; do
        tar -xf "$archive" -C "$work/source"
    done
}

# library NAME VERSION SOURCE HEADER FOLDER [FLAG]...: one file each, a static library and its .pc
library()
{
    local name=$1 version=$2 source=$3 header=$4 folder=$5
    shift 5
    mkdir -p "$work/include/$folder" "$work/lib/pkgconfig"
    $CC -O2 -fPIC "$@" -c "$source" -o "$work/$name.o"
    ar rcs "$work/lib/lib$name.a" "$work/$name.o"
    cp "$header" "$work/include/$folder/"
    printf 'Name: %s\nDescription: %s\nVersion: %s\nCflags: -I%s/include\nLibs: -L%s/lib -l%s\n' \
           "$name" "$name" "$version" "$work" "$work" "$name" >"$work/lib/pkgconfig/${name/#protobuf-c/libprotobuf-c}.pc"
}

libraries()
{
    local protobuf cmocka
    [ -d "$work/source" ] || fetch
    protobuf=$(echo "$work"/source/protobuf-c-[0-9]*/) cmocka=$(echo "$work"/source/cmocka-[0-9]*/)
    library protobuf-c "$(basename "$protobuf" | cut -d- -f3)" "$protobuf/protobuf-c/protobuf-c.c" \
            "$protobuf/protobuf-c/protobuf-c.h" protobuf-c "-I$protobuf"
    library cmocka "$(basename "$cmocka" | cut -d- -f2)" "$cmocka/src/cmocka.c" "$cmocka/include/cmocka.h" . \
            "-I$cmocka/include" -DHAVE_STDLIB_H -DHAVE_STRING_H -DHAVE_INTTYPES_H -DHAVE_SIGNAL_H -DHAVE_STRUCT_TIMESPEC \
            -DHAVE_CLOCK_GETTIME -DHAVE_CLOCK_REALTIME -DHAVE_UNISTD_H -DHAVE_GCC_THREAD_LOCAL_STORAGE -w
}

passed=0 failed=0
check()
{
    if "${@:2}" >"$work/log" 2>&1; then
        passed=$((passed + 1))
        echo "passed: $1"
    else
        failed=$((failed + 1))
        tail -30 "$work/log"
        echo "FAILED: $1"
    fi
}

options=(-Davx512=false -Dopenmp=disabled)
for option in zip png jpeg json regex webp tiff jp2; do
    options+=("-D$option=disabled")
done
[ -f "$work/lib/libcmocka.a" ] || libraries
export PKG_CONFIG_LIBDIR=$work/lib/pkgconfig
[ -f "$work/build/build.ninja" ] || meson setup "$work/build" "${options[@]}" >"$work/log" 2>&1 || { cat "$work/log"; exit 1; }
check 'builds without a warning' bash -c 'ninja -C "$0" 2>&1 | tee "$0/build.log" && ! grep -E "warning:|FAILED|error:" "$0/build.log"' "$work/build"
check 'needs libc alone' bash -c '[ "$(readelf -d "$0/ingot" | grep -c NEEDED)" = 1 ]' "$work/build"
check 'unit tests' meson test -C "$work/build" --no-rebuild
grep -E '^(Ok|Fail|Timeout):' "$work/log" || true
for data in models/MyNet/test_data_set_*; do
    check "MyNet, $(basename "$data")" "$work/build/ingot" verify models/MyNet.onnx "$data"
done
check 'a static program' $CC -static models/custom_operator.c -Iengine "$work/build/libingot.a" "$work/lib/libprotobuf-c.a" -o "$work/static"
check 'that brings an operator' bash -c '"$0" models/custom_operator.onnx | grep "3 6 9 12"' "$work/static"
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
