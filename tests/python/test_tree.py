"""The source tree: who includes whom, headers that compile alone, folders at the top, no file name twice."""
import collections
import os
import re
import subprocess

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("INGOT_BUILD") or os.path.join(ROOT, "build")

# A folder may include itself and what is listed; the longest matching name decides.
REACH = {"cli": ["engine/ingot.h"], "engine": ["engine", "onnx", "ops"], "onnx": ["engine/core", "engine/ingot.h"],
         "ops": ["engine/core", "engine/ingot.h"], "ops/kernels": [], "engine/core": ["engine/ingot.h"]}


def tracked(*endings):
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True).stdout.split("\n")
    return [p for p in listed if p.endswith(endings)]


def test_includes_point_one_way():
    wrong = []
    for path in tracked(".c", ".h"):
        here = max((k for k in REACH if path.startswith(k + "/")), key=len, default=None)
        if not here:
            continue
        for name in re.findall(r'^\s*#\s*include\s+"([^"]+)"', open(os.path.join(ROOT, path)).read(), re.M):
            allowed = "/" not in name or any(name == r or name.startswith(r + "/") for r in REACH[here] + [here])
            if not allowed:
                wrong.append(f"{path} includes {name}")
    assert not wrong


def test_every_header_compiles_alone(tmp_path):
    # simd headers are one file in parts: isa.h picks them
    headers = [p for p in tracked(".h") if p.startswith(("engine", "onnx", "ops", "cli")) and "simd_" not in p and "_loops" not in p]
    pb = [os.path.dirname(root) for root, _, names in os.walk(BUILD) if "onnx.pb-c.h" in names][:1]
    source = tmp_path / "alone.c"
    for header in headers:
        source.write_text(f'#include "{header}"\n')
        done = subprocess.run(["gcc", "-std=c11", "-D_GNU_SOURCE", "-DINGOT_ISA=baseline", "-fsyntax-only", "-Wall", "-Wno-unused", "-I", ROOT,
                               *(f"-I{p}" for p in pb), str(source)], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


def test_top_level_folders():
    folders = {p.split("/")[0] for p in tracked("") if "/" in p}
    assert folders <= {"engine", "onnx", "ops", "cli", "models", "tests", ".ci"}


def test_file_names_are_unique():
    counts = collections.Counter(os.path.basename(p) for p in tracked(".c", ".h"))
    assert [name for name, n in counts.items() if n > 1] == []


def test_nothing_large_is_kept():
    sizes = [os.path.getsize(os.path.join(ROOT, p)) for p in tracked("")  if os.path.exists(os.path.join(ROOT, p))]
    assert sum(sizes) < 10 << 20


@pytest.mark.parametrize("word", ["TO" + "DO", "FIX" + "ME"])
def test_nothing_is_left_open(word):
    assert [p for p in tracked(".c", ".h", ".py", ".build") if word in open(os.path.join(ROOT, p), errors="replace").read()] == []
