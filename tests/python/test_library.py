"""The installed library: what it exports, that a program builds against it with pkg-config, threads and memory."""
import os
import platform
import re
import shutil
import subprocess

import numpy as np
import onnx
import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("INGOT_BUILD") or os.path.join(ROOT, "build")
MYNET = os.path.join(ROOT, "models", "MyNet.onnx")
IMAGE = os.path.join(ROOT, "models", "digits", "2_0.png")


@pytest.fixture(scope="module")
def prefix(tmp_path_factory):
    folder = tmp_path_factory.mktemp("prefix")
    subprocess.run(["meson", "install", "-C", BUILD, "--no-rebuild", "--destdir", str(folder)], check=True, capture_output=True)
    return folder


def find(prefix, name):
    for root, _, names in os.walk(prefix):
        if name in names:
            return os.path.join(root, name)
    raise AssertionError(f"{name} is not installed")


def test_only_public_symbols_are_exported(prefix):
    listed = subprocess.run(["nm", "-D", "--defined-only", find(prefix, "libingot.so")], capture_output=True, text=True, check=True).stdout
    names = {line.split()[2] for line in listed.splitlines() if line.split()[1] in "TDBR"}
    header = open(os.path.join(ROOT, "engine", "ingot.h")).read()
    assert names == set(re.findall(r"\b(ingot_\w+)\(", "\n".join(re.findall(r"^INGOT_API[^;]*;", header, re.M))))


def plain(symbol):
    """An imported symbol as a program would write it: no version, and no spelling that libc's headers put in its place."""
    name = symbol.split("@")[0]
    name = re.sub(r"^__(\w+?)(?:64)?(?:_chk|_2)$", r"\1", name)
    name = re.sub(r"^__isoc\d+_", "", name)
    return re.sub(r"^(f?open|f?stat|fstatat|openat|pread)64$", r"\1", name)


def test_imports_are_those_of_the_list(prefix):
    """Anything that ends the process, prints, handles signals, reaches a network or starts programs would be new to the list."""
    listed = subprocess.run(["nm", "-D", "--undefined-only", find(prefix, "libingot.so")], capture_output=True, text=True, check=True).stdout
    names = {plain(line.split()[-1]) for line in listed.splitlines()}
    with open(os.path.join(ROOT, "tests", "imports.txt"), encoding="utf-8") as file:
        allowed = {name for line in file for name in line.split("#")[0].split()}
    assert "pread" in names and "open" in names   # they are read as they should be
    assert names <= allowed, sorted(names - allowed)


def features(path):
    """What of Intel's CET each file of an archive, or the one file, is marked with: {name: {"IBT", "SHSTK"}}."""
    notes = subprocess.run(["readelf", "-nW", path], capture_output=True, text=True, check=True).stdout
    files = re.split(r"^File: ", "\n" + notes, flags=re.M)[1:] or [str(path) + "\n" + notes]
    return {text.splitlines()[0]: set(re.findall(r"\b(?:IBT|SHSTK)\b", " ".join(re.findall(r"x86 feature:.*", text)))) for text in files}


@pytest.mark.skipif(platform.machine() != "x86_64", reason="of x86-64 alone")
def test_control_flow_is_protected(prefix):
    """Every object of ours is marked; the whole is for indirect branches where the system's start files are (Debian's are not)."""
    objects = features(find(prefix, "libingot.a"))
    assert len(objects) > 100 and all(marks == {"IBT", "SHSTK"} for marks in objects.values()), objects
    start = subprocess.run(["cc", "-print-file-name=crti.o"], capture_output=True, text=True, check=True).stdout.strip()
    wanted = {"SHSTK"} | features(start)[start]
    for name in ("libingot.so", "ingot"):
        assert wanted <= features(find(prefix, name))[find(prefix, name)]


def test_library_is_small(prefix, tmp_path):
    stripped = tmp_path / "libingot.so"
    subprocess.run(["strip", "-o", str(stripped), find(prefix, "libingot.so")], check=True)
    assert stripped.stat().st_size < 2 << 20


def test_library_needs_little(prefix):
    needed = subprocess.run(["readelf", "-d", find(prefix, "libingot.so")], capture_output=True, text=True).stdout
    libraries = set(re.findall(r"NEEDED.*\[(\w+[-\w]*)", needed))
    assert libraries <= {"libc", "libm", "libprotobuf-c", "libgomp", "libomp", "ld-linux-x86-64", "libpthread", "libpcre2-8"}   # pcre2: optional


@pytest.mark.parametrize("static", [False, True])
def test_example_builds_with_pkg_config(prefix, tmp_path, static):
    pc = find(prefix, "ingot.pc")
    flags = subprocess.run(["pkg-config", "--cflags", "--libs", "ingot"] + ["--static"] * static, capture_output=True, text=True, check=True,
                           env=dict(os.environ, PKG_CONFIG_PATH=os.path.dirname(pc), PKG_CONFIG_SYSROOT_DIR=str(prefix))).stdout.split()
    if static:
        flags = [find(prefix, "libingot.a") if f == "-lingot" else f for f in flags]
    program = tmp_path / "embed"
    subprocess.run(["cc", "-Wall", "-Wextra", "-Werror", os.path.join(ROOT, "models", "embed.c"), *flags, "-fopenmp", "-o", str(program)], check=True)
    done = subprocess.run([str(program), MYNET], capture_output=True, text=True,
                          env=dict(os.environ, LD_LIBRARY_PATH=os.path.dirname(find(prefix, "libingot.so"))))
    assert done.returncode == 0 and "looks like a 2" in done.stdout
    lines = open(os.path.join(ROOT, "models", "embed.c")).read().count("\n")
    assert lines < 60


def test_cpp_example(prefix, tmp_path):
    """The C++ header, with exceptions and without."""
    include, program = os.path.dirname(find(prefix, "ingot.hpp")), tmp_path / "embed"
    environment = dict(os.environ, LD_LIBRARY_PATH=os.path.dirname(find(prefix, "libingot.so")))
    flags = ["-std=c++17", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-I", include]
    link = ["-L", environment["LD_LIBRARY_PATH"], "-lingot", "-o", str(program)]
    subprocess.run(["c++", *flags, os.path.join(ROOT, "models", "embed.cpp"), *link], check=True)
    done = subprocess.run([str(program), MYNET], capture_output=True, text=True, env=environment)
    assert done.returncode == 0 and done.stdout.count("frames") == 4, done.stderr
    done = subprocess.run([str(program), "nowhere.onnx"], capture_output=True, text=True, env=environment)
    assert done.returncode == 7 and "nowhere.onnx" in done.stderr
    quiet = tmp_path / "quiet.cpp"
    quiet.write_text('''#include <ingot.hpp>
        int main() { ingot_error e; ingot::model m("nowhere.onnx", nullptr, e); return m ? 1 : e.status; }''')
    subprocess.run(["c++", *flags, "-fno-exceptions", str(quiet), *link], check=True)
    assert subprocess.run([str(program)], env=environment).returncode == 7
    bound = tmp_path / "bound.cpp"
    bound.write_text('''#include <ingot.hpp>
        int main(int, char **argv)
        {
            float pixels[3 * 32 * 32] = {}, scores[10] = {};
            ingot::model m(argv[1]);
            ingot::session s(m);
            s.set_input(m.input(0)->name, ingot::tensor(pixels, {1, 3, 32, 32}));
            s.set_output(m.output(0)->name, ingot::tensor(scores, {1, 10}));
            s.run();
            return s.output(0).elements<float>().data() == scores && scores[0] != 0 ? 0 : 1;
        }''')
    subprocess.run(["c++", *flags, str(bound), *link], check=True)
    assert subprocess.run([str(program), MYNET], env=environment).returncode == 0


@pytest.mark.parametrize("static", ["OFF", "ON"])
def test_cmake_package(prefix, tmp_path, static):
    (tmp_path / "CMakeLists.txt").write_text(f"""cmake_minimum_required(VERSION 3.16)
        project(app C CXX)
        set(ingot_USE_STATIC {static})
        find_package(ingot 0.1 REQUIRED)
        add_executable(app {ROOT}/models/embed.cpp)
        target_compile_features(app PRIVATE cxx_std_17)
        target_link_libraries(app PRIVATE ingot::ingot)""")
    where = os.path.dirname(find(prefix, "ingotConfig.cmake"))
    subprocess.run(["cmake", "-S", tmp_path, "-B", tmp_path / "b", f"-Dingot_DIR={where}"], check=True, capture_output=True)
    subprocess.run(["cmake", "--build", tmp_path / "b"], check=True, capture_output=True)
    done = subprocess.run([tmp_path / "b" / "app", MYNET], capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.count("frames") == 4, done.stderr


def outputs(ingot, model, inputs, folder, *options):
    done = ingot("run", model, *inputs, "--output-dir", folder, "--quiet", *options)
    assert done.code == 0, done.err
    return {name: open(os.path.join(folder, name), "rb").read() for name in sorted(os.listdir(folder))}


@pytest.mark.parametrize("name", ["mynet_bn", "bn_grouped", "bn_depthwise", "ops_conv", "ops_pool", "bn_convtranspose", "gru", "ops_reduce"])
def test_bits_do_not_depend_on_threads(ingot, corpus, tmp_path, name):
    folder = corpus(name)
    data = os.path.join(folder, "test_data_set_0")
    inputs = [a for k in range(len([f for f in os.listdir(data) if f.startswith("input")])) for a in ("--input", f"{data}/input_{k}.pb")]
    first = outputs(ingot, folder + "/model.onnx", inputs, tmp_path / "1", "--threads", "1")
    for threads in (2, 3, 5):
        assert outputs(ingot, folder + "/model.onnx", inputs, tmp_path / str(threads), "--threads", threads) == first


def test_image_is_classified(ingot):
    done = ingot("run", MYNET, "--input", IMAGE, "--top", "1", "--labels", os.path.join(ROOT, "models", "digits.txt"))
    assert done.code == 0 and "two" in done.out


@pytest.mark.skipif(not shutil.which("valgrind"), reason="needs valgrind")
@pytest.mark.parametrize("damage", ["missing", "empty", "truncated", "text", "shape", "operator"])
def test_bad_input_leaks_nothing(ingot, tmp_path, damage):
    model, arguments = tmp_path / "bad.onnx", []
    data = open(MYNET, "rb").read()
    if damage == "empty":
        model.write_bytes(b"")
    elif damage == "truncated":
        model.write_bytes(data[: len(data) // 2])
    elif damage == "text":
        model.write_text("this is no model\n" * 50)
    elif damage == "shape":
        model = MYNET
        np.save(tmp_path / "x.npy", np.zeros((1, 3, 30, 32), np.float32))
        arguments = ["--input", tmp_path / "x.npy"]
    elif damage == "operator":
        proto = onnx.load(MYNET)
        proto.graph.node[0].op_type = "Nonesuch"
        onnx.save(proto, str(model))
    expected = {"missing": 7, "empty": 4, "truncated": 4, "text": 4, "shape": 5, "operator": 3}[damage]
    plain = ingot("run", model, *arguments)
    assert plain.code == expected and plain.err.startswith("ingot: ") and plain.err.count("\n") == 1, plain.err
    done = subprocess.run(["valgrind", "-q", "--leak-check=full", "--error-exitcode=99", "--errors-for-leak-kinds=definite",
                           os.environ.get("INGOT") or os.path.join(BUILD, "ingot"), "run", str(model), "--threads", "1", *map(str, arguments)],
                          capture_output=True, text=True, env=dict(os.environ, INGOT_ISA="avx2"))
    assert done.returncode == expected, done.stderr[-2000:]
