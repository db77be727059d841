"""Writes what fuzzing begins with: the models of tests/malformed, small ones of the conformance cases where build/cases has them,
Einsum equations, locations of external data, small files of every form. python3 tests/fuzz/seeds.py FOLDER; files that are there
stay."""
import glob
import io
import os
import pickle
import struct
import sys

import numpy as np
from onnx import numpy_helper

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "malformed"))
import rows_bytes, rows_fuzzing, rows_operators, rows_operators_more, rows_running, rows_structure, rows_tensors  # noqa: E401,E402,F401
from models import TABLE  # noqa: E402


def write(folder, target, name, content):
    path = os.path.join(folder, target, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    if not os.path.exists(path):
        with open(path, "wb") as file:
            file.write(content)


# What torch.save writes of a tensor of shape (2, 3) in storage 0, and of a dictionary of two, as pickles.
TENSOR = (b"ctorch._utils\n_rebuild_tensor_v2\n((X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpuK\x06tQ"
          b"K\0K\x02K\x03\x86K\x03K\x01\x86\x89ccollections\nOrderedDict\n)RtR")
DICTIONARY = b"\x80\x02}q\0(X\x01\0\0\0a" + TENSOR + b"X\x01\0\0\0b]q\x01" + TENSOR + b"aK\x07N\x88u."
LEGACY = (pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps(1001, 2) + pickle.dumps({"little_endian": True}, 2) + DICTIONARY +
          pickle.dumps(["0"], 2) + struct.pack("<q", 6) + bytes(24))


def main():
    folder = sys.argv[1]
    for i, row in enumerate(TABLE):
        if callable(row["model"]):
            continue
        content = row["model"] if isinstance(row["model"], bytes) else row["model"].SerializeToString()
        if len(content) <= 4096:
            write(folder, "model", f"row-{i}", content)
            write(folder, "run", f"row-{i}", content)
    for path in sorted(glob.glob(os.path.join(HERE, "..", "..", "build", "cases", "*", "*", "model.onnx"))):
        if os.path.getsize(path) <= 2048:
            with open(path, "rb") as file:
                write(folder, "run", "case-" + os.path.basename(os.path.dirname(path)), file.read())
    for i, (ranks, equation) in enumerate([((2, 2), "ij,jk->ik"), ((3, 3), "bij,bjk->bik"), ((2,), "ii->i"), ((2,), "...ij->...ji"), ((1, 1), "i,j"),
                                           ((2, 3), "...i,...ij->j"), ((4,), "abcd->dcba"), ((2, 2, 2), "ij,jk,kl->il")]):
        sizes = b"".join(bytes([rank]) + bytes([2] * rank) for rank in ranks)
        write(folder, "einsum", f"seed-{i}", bytes([len(ranks) - 1]) + sizes + equation.encode())
    for i, text in enumerate(["data\n0\n16", "link\n16", "down/data\n48\n16", "out\n0\n16", "up/outside", "d/../data", "pipe", "loop", "/etc/passwd", ".//data"]):
        write(folder, "external", f"seed-{i}", text.encode())
    npy, npz = io.BytesIO(), io.BytesIO()
    np.save(npy, np.arange(6, dtype=np.float32).reshape(2, 3))
    np.savez(npz, a=np.arange(3), input_0=np.zeros((2, 2), np.float32))
    safetensors = b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}'
    files = [npy.getvalue(), npz.getvalue(), LEGACY, len(safetensors).to_bytes(8, "little") + safetensors + bytes(8),
             numpy_helper.from_array(np.arange(4), "a").SerializeToString()]
    try:
        import PIL.Image
        for form in ("PNG", "JPEG"):
            picture = io.BytesIO()
            PIL.Image.new("RGB", (4, 3), (10, 200, 30)).save(picture, form)
            files.append(picture.getvalue())
    except ImportError:
        pass
    files += [b""] * (7 - len(files)) + [DICTIONARY]
    for form, content in enumerate(files):
        write(folder, "dump", f"seed-{form}", bytes([form]) + content)
    write(folder, "dump", "seed-8", b"\x07\x80\x02" + TENSOR + b".")


if __name__ == "__main__":
    main()
