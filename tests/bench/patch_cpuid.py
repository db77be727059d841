"""Puts UD2 in the place of every CPUID instruction of the shared libraries in folders, for hide_avx512.c to answer.

    python tests/bench/patch_cpuid.py FOLDER_OR_FILE...

For processors that cannot fault on CPUID, AMD's among them. The folders are those of the other engines (onnxruntime, openvino and
so on) in a virtual environment that is made for this: they do not run any more without HIDE_PATCHED=1 and hide_avx512.so preloaded.
Needs objdump and readelf of binutils: which bytes are instructions only a disassembler knows. A second pass finds nothing to do.
"""
import argparse
import os
import re
import subprocess
import sys

CPUID, UD2 = b"\x0f\xa2", b"\x0f\x0b"


def output(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def segments(path):
    """(address, offset in the file, bytes) of what is loaded."""
    found = re.findall(r"^ +LOAD +0x(\w+) 0x(\w+) 0x\w+ 0x(\w+)", output("readelf", "-lW", path), re.M)
    return [(int(address, 16), int(offset, 16), int(size, 16)) for offset, address, size in found]


def patch(path):
    """How many instructions were replaced."""
    addresses = [int(a, 16) for a in re.findall(r"^ *(\w+):\tcpuid", output("objdump", "-d", "--no-show-raw-insn", path), re.M)]
    if not addresses:
        return 0
    loaded = segments(path)
    with open(path, "r+b") as file:
        for address in addresses:
            start, offset, _ = next(s for s in loaded if s[0] <= address < s[0] + s[2])
            file.seek(address - start + offset)
            assert file.read(len(CPUID)) == CPUID, (path, hex(address))
            file.seek(address - start + offset)
            file.write(UD2)
    return len(addresses)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", metavar="FOLDER_OR_FILE", nargs="+")
    paths = parser.parse_args().paths
    for missing in (p for p in paths if not os.path.exists(p)):
        sys.exit(f"patch_cpuid: {missing}: no such file or folder")
    inside = (os.path.join(folder, name) for root in paths for folder, _, names in os.walk(root) for name in names)
    for path in [p for p in paths if os.path.isfile(p)] + sorted(inside):
        if re.search(r"\.so(\.|$)", path) and not os.path.islink(path) and (n := patch(path)):
            print(f"{n:4} {path}")


if __name__ == "__main__":
    main()
