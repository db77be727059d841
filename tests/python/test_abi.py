"""The library's interface against tests/abi.txt, and that the comparison would notice what matters."""
import os
import re
import subprocess
import sys

import pytest
from conftest import ROOT

sys.path.insert(0, os.path.join(ROOT, "tests"))
import abi

BUILD = os.environ.get("INGOT_BUILD") or os.path.join(ROOT, "build")
NEEDS = "python3 tests/abi.py > tests/abi.txt, and another version in engine/ingot.h: see tests/abi.py"


def kept():
    with open(abi.KEPT, encoding="utf-8") as f:
        return f.read().splitlines()


def test_interface_is_the_one_that_is_written_down():
    assert abi.compare(kept(), abi.describe()) == ([], []), NEEDS


def test_every_exported_symbol_is_written_down():
    listed = subprocess.run(["nm", "-D", "--defined-only", os.path.join(BUILD, "libingot.so")], capture_output=True, text=True, check=True).stdout
    exported = {line.split()[2] for line in listed.splitlines() if line.split()[1] in "TDBR"}
    assert exported == {re.search(r"(ingot_\w+)\(", line).group(1) for line in kept() if line.startswith("function") and "typedef" not in line}


def test_one_version():
    """ingot.h says it: the soname, the built library and the change log follow."""
    with open(abi.HEADER, encoding="utf-8") as f:
        numbers = re.findall(r"#define INGOT_VERSION_(?:MAJOR|MINOR|PATCH) (\d+)", f.read())
    version = ".".join(numbers)
    soname = subprocess.run(["readelf", "-d", os.path.join(BUILD, "libingot.so")], capture_output=True, text=True, check=True).stdout
    assert f"[libingot.so.{numbers[0]}]" in soname and f"soname libingot.so.{numbers[0]}" in kept()
    assert os.path.basename(os.path.realpath(os.path.join(BUILD, "libingot.so"))) == "libingot.so." + version
    said = subprocess.run([os.path.join(BUILD, "ingot"), "--version"], capture_output=True, text=True, check=True).stdout
    assert re.search(rf"\b{re.escape(version)}\b", said)
    with open(os.path.join(ROOT, "CHANGELOG.md"), encoding="utf-8") as f:
        assert re.search(r"^## (\S+)", f.read(), re.M).group(1) == version


CHANGES = [
    (r"    int32_t rank; .*\n    int64_t shape", r"    int64_t rank;\n    int64_t shape", True),
    (r"(    void \*data;\n)\} ingot_tensor;", r"\1    int more;\n} ingot_tensor;", True),
    (r"    bool no_passes;.*\n", "", True),
    (r"INGOT_LIMIT = 6", "INGOT_LIMIT = 8", True),
    (r"INGOT_API void ingot_session_cancel\(ingot_session \*session\);", "", True),
    (r"(ingot_session_cancel\(ingot_session \*session)\);", r"\1, int how);", True),
    (r"\} ingot_session_options;", "    int more;\n} ingot_session_options;", False),
    (r"INGOT_API void ingot_session_cancel", "INGOT_API void ingot_session_pause(ingot_session *session);\nINGOT_API void ingot_session_cancel", False),
]


@pytest.mark.parametrize("pattern, replacement, breaks", CHANGES)
def test_changes_are_noticed(tmp_path, pattern, replacement, breaks):
    with open(abi.HEADER, encoding="utf-8") as f:
        text, n = re.subn(pattern, replacement, f.read(), count=1)
    assert n == 1
    (tmp_path / "ingot.h").write_text(text)
    gone, new = abi.compare(kept(), abi.describe(str(tmp_path / "ingot.h")))
    assert bool(gone) == breaks and (gone or new)
