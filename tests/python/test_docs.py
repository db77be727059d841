"""Every code block of the documentation runs, page by page, in a folder that has models/ and the files it speaks of.

Blocks of C, CMake, Meson and Python that begin with a comment naming a file are written to it; other Python runs. `sh` blocks run with the installed package at hand; a `text` block right behind one is what it prints, where ... stands
for anything. `console` blocks change the machine: each line must be one that a script of the repository runs. Blocks that begin
with "# needs torch" run where it is installed.
"""
import doctest
import importlib.util
import os
import re
import shutil
import subprocess
import sys

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PAGES = os.path.join(ROOT, "engine", "docs")
BUILD = os.environ.get("INGOT_BUILD") or os.path.join(ROOT, "build")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.M | re.S)
NAMED = re.compile(r"(?:/\*|#|//) ([\w.]+\.(?:c|cpp|py|txt|build))\b")
PLAIN = {"text", "console"}
TORCH = all(importlib.util.find_spec(name) for name in ("torch", "onnxscript"))


def pages():
    return sorted(name for name in os.listdir(PAGES) if name.endswith(".md"))


def blocks(name):
    with open(os.path.join(PAGES, name), encoding="utf-8") as f:
        return [(m[1], m[2]) for m in BLOCK.finditer(f.read())]


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The environment of a user who has installed Ingot."""
    folder = str(tmp_path_factory.mktemp("installed"))
    subprocess.run(["meson", "install", "-C", BUILD, "--no-rebuild", "--destdir", folder], check=True, capture_output=True)
    where = {n: root for root, _, names in os.walk(folder) for n in names if n in ("ingot.pc", "ingot", "ingotConfig.cmake", "libingot.so")}
    path = os.pathsep.join([where["ingot"], os.path.dirname(sys.executable), os.environ["PATH"]])
    return dict(os.environ, PATH=path, PKG_CONFIG_PATH=where["ingot.pc"],
                PKG_CONFIG_SYSROOT_DIR=folder, ingot_DIR=where["ingotConfig.cmake"], LD_LIBRARY_PATH=where["libingot.so"])


@pytest.fixture
def place(tmp_path):
    for name in os.listdir(os.path.join(ROOT, "models")):
        source = os.path.join(ROOT, "models", name)
        (shutil.copytree if os.path.isdir(source) else shutil.copy)(source, tmp_path / name)
    os.symlink(tmp_path, tmp_path / "models")
    return tmp_path


def run_shell(text, place, environment):
    done = subprocess.run(["bash", "-e", "-o", "pipefail", "-c", text], cwd=place, env=environment, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300)
    assert done.returncode == 0, text + done.stdout
    return done.stdout


def run_python(text, place, environment):
    """In a process of its own: a block says itself what it needs."""
    done = subprocess.run([sys.executable, "-c", text], cwd=place, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, text + done.stdout + done.stderr
    return done.stdout


def expect(wanted, got, text):
    assert doctest.OutputChecker().check_output(wanted, got, doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE), f"{text}wanted:\n{wanted}got:\n{got}"


@pytest.mark.parametrize("name", pages())
def test_page(name, place, installed):
    got = text = None
    for kind, body in blocks(name):
        if kind == "text" and got is not None:
            expect(body, got, text)
            got = None
            continue
        got, text = None, body
        file = NAMED.match(body) if kind != "sh" else None
        if body.startswith("# needs torch") and not TORCH:
            continue
        if kind == "console":
            runs = "".join(open(os.path.join(ROOT, script), encoding="utf-8").read() for script in ("models/demo.sh", "tests/run.sh", "README.md"))
            words = [w for line in body.splitlines() for w in line.split() if w not in ("sudo",)]
            assert all(word in runs for word in words), f"{name}: no script runs {body}"
        elif file:
            (place / file[1]).write_text(body)
        elif kind == "sh":
            got = run_shell(body, place, installed)
        elif kind == "python":
            got = run_python(body, place, installed)
        else:
            assert kind in PLAIN, f"{name}: a block of '{kind}' that no test runs"


def test_every_page_is_listed():
    with open(os.path.join(PAGES, "index.md"), encoding="utf-8") as f:
        index = f.read()
    assert all(re.search(rf"^{re.escape(name[:-3])}$", index, re.M) for name in pages() if name != "index.md")
