"""The scripts of tests/bench run, and tell what they measured; the times themselves are not tested."""
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
from conftest import INGOT, ROOT, save_model
from onnx import TensorProto, helper

BENCH = os.path.join(ROOT, "tests", "bench")


def script(name, *arguments):
    done = subprocess.run([sys.executable, os.path.join(BENCH, name), *map(str, arguments)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def net(tmp_path):
    """Three equal convolutions, one of another shape, a pool and a product, on images of any size."""
    random = np.random.default_rng(0)
    weights = [("w", random.standard_normal((8, 8, 3, 3)).astype(np.float32)), ("v", random.standard_normal((16, 8, 1, 1)).astype(np.float32)),
               ("p", random.standard_normal((16, 10)).astype(np.float32))]
    nodes = [helper.make_node("Conv", [x, "w"], [y], pads=[1] * 4) for x, y in ("xa", "ab", "bc")]
    nodes += [helper.make_node("Conv", ["c", "v"], ["d"], strides=[2, 2]), helper.make_node("GlobalAveragePool", ["d"], ["e"]),
              helper.make_node("Flatten", ["e"], ["f"]), helper.make_node("MatMul", ["f", "p"], ["y"])]
    return save_model(tmp_path / "net.onnx", nodes, [("x", TensorProto.FLOAT, ["N", 8, "H", "W"])], [("y", TensorProto.FLOAT, ["N", 10])], weights)


def test_kernel_rows(ingot, net):
    rows = script("kernels.py", "--rows", "--free", 12, net).splitlines()
    assert rows == ["network net.onnx", "conv 3 12 8 8 1 12 12 3 3 1 1 1 1 1 1 12 12, 3 of them",
                    "conv 1 12 8 16 1 12 12 1 1 2 2 1 1 0 0 6 6", "gemm 1 12 10 16"]


def test_kernel_times(ingot, net):
    program = os.path.join(os.path.dirname(INGOT), "tests", "bench", "bench_kernels")
    if not os.path.exists(program):
        pytest.skip("bench_kernels is not built")
    out = script("kernels.py", "--bench", program, "--isa", "baseline", "--free", 12, net)
    assert "conv 3x3/1 8 -> 8, 12x12, 3 of them" in out and "F(4)" in out and "gemm 12 x 10 x 16" in out and "us in all" in out


def test_hide_avx512(ingot):
    """Under the preloaded library no level above AVX2 is found, and a fault of the program's own still ends it."""
    hide = os.path.join(os.path.dirname(INGOT), "tests", "bench", "hide_avx512.so")
    if not os.path.exists(hide):
        pytest.skip("hide_avx512 is not built")
    environment = {**os.environ, "LD_PRELOAD": hide}
    done = subprocess.run([INGOT, "--version"], env=environment, capture_output=True, text=True, timeout=60)
    if "cannot let CPUID fault" in done.stderr:
        pytest.skip("CPUID does not fault here")
    assert done.returncode == 0 and done.stdout.splitlines()[0].rsplit("(", 1)[-1].rstrip(")") in ("avx2", "baseline"), done.stdout + done.stderr
    crash = subprocess.run([sys.executable, "-c", "import ctypes; ctypes.string_at(0)"], env=environment, capture_output=True, timeout=60)
    assert crash.returncode == -signal.SIGSEGV


def test_patch_cpuid(ingot, tmp_path):
    """A program whose CPUID instructions are patched is told of no AVX-512, and of all else; bytes that look like one stay."""
    hide = os.path.join(os.path.dirname(INGOT), "tests", "bench", "hide_avx512.so")
    if not os.path.exists(hide) or not all(map(shutil.which, ("gcc", "objdump", "readelf"))):
        pytest.skip("hide_avx512 or binutils are missing")
    (tmp_path / "probe.c").write_text("""#include <cpuid.h>
    #include <stdio.h>
    const unsigned char data[] = { 0x0f, 0xa2 };
    int main(void)
    {
        unsigned a, b, c, d, least = __get_cpuid_max(0, 0);
        __cpuid_count(7, 0, a, b, c, d);
        return printf("%u %u %u %x", least >= 7, b >> 5 & 1, b >> 16 & 1, data[1]) < 0;
    }""")
    probe = tmp_path / "probe.so"
    subprocess.run(["gcc", "-O1", "-o", probe, tmp_path / "probe.c"], check=True)
    plain = subprocess.run([probe], capture_output=True, text=True, check=True).stdout.split()
    assert script("patch_cpuid.py", tmp_path).split()[0].isdecimal() and script("patch_cpuid.py", tmp_path) == ""
    done = subprocess.run([probe], env={**os.environ, "LD_PRELOAD": hide, "HIDE_PATCHED": "1"}, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [plain[0], plain[1], "0", "a2"]
    missing = subprocess.run([sys.executable, os.path.join(BENCH, "patch_cpuid.py"), tmp_path / "none"], capture_output=True, text=True)
    assert missing.returncode == 1 and missing.stderr == f"patch_cpuid: {tmp_path / 'none'}: no such file or folder\n"


def test_growth(ingot, net, tmp_path):
    out = subprocess.run([sys.executable, os.path.join(BENCH, "growth.py"), "--ingot", INGOT, "--out", str(tmp_path / "plots"), "--threads", "1,2",
                          "--batches", "1,2", "--sides", "8,16", "--ms", "1", net], capture_output=True, text=True, timeout=120)
    assert out.returncode in (0, 1) and out.stdout.count("GFLOP/s") == 8, out.stderr
    for axis in "batch", "side":
        text = (tmp_path / "plots" / f"net.onnx_{axis}.svg").read_text()
        assert text.startswith("<svg") and text.count("<circle") == 4 and "2 threads" in text


def test_scaling(ingot, net):
    out = script("scaling.py", "--ingot", INGOT, "--rounds", 1, "--iterations", 2, net)
    assert out.startswith("\nnet.onnx: steps ") and "plans differ" not in out


def test_compare_page(ingot, tmp_path):
    """The page from stored rows: ratios are ours over theirs, missed aims are bold, the history keeps other commits."""
    spec = importlib.util.spec_from_file_location("compare_peers", os.path.join(BENCH, "compare_peers.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    row = lambda ratio: {"ms": 4.0 * ratio, "ratio": ratio, "load_ms": 1.0, "first_ms": 1.0, "peak_mib": 50.0, "failure": None}
    data = {f"resnet18/None/{t}": {"ingot": row(1), "ort": row(2.5), "mnn": row(1.1), "tract": dict(row(1), ratio=None)} for t in (1, 2)}
    (tmp_path / "data.json").write_text(json.dumps(data))
    page = tmp_path / "results.md"
    page.write_text("| 2020-01-01 | abc | machine | 0.5 / 0.5 | before |\n")
    arguments = ["--from-data", "--data", tmp_path / "data.json", "--page", page, "--ingot", INGOT, "--note", "a note"]
    script("compare_peers.py", *arguments)
    script("compare_peers.py", *arguments)
    text = page.read_text()
    line = next(line for line in text.splitlines() if line.startswith("| resnet18"))
    assert [c.strip() for c in line.split("|")[3:9]] == ["0.40", "–", "–", "0.91", "–", "**0.91**"]
    assert text.count("| 2020-01-01 | abc") == 1 and text.count("a note") == 1
    assert module.best_ratio(data["resnet18/None/1"]) == 1 / 1.1 and "4.000 | 4.000 | **1.00**" in text
