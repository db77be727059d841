"""Writes what fuzzing begins with: the models of tests/malformed, Einsum equations, locations of external data, small files of
every form. python3 tests/fuzz/seeds.py FOLDER; files that are there stay."""
import io
import os
import sys

import numpy as np
from onnx import numpy_helper

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "malformed"))
import rows_bytes, rows_operators, rows_operators_more, rows_running, rows_structure, rows_tensors  # noqa: E401,E402,F401
from models import TABLE  # noqa: E402


def write(folder, target, name, content):
    path = os.path.join(folder, target, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    if not os.path.exists(path):
        with open(path, "wb") as file:
            file.write(content)


def main():
    folder = sys.argv[1]
    for i, row in enumerate(TABLE):
        if callable(row["model"]):
            continue
        content = row["model"] if isinstance(row["model"], bytes) else row["model"].SerializeToString()
        if len(content) <= 4096:
            write(folder, "model", f"row-{i}", content)
            write(folder, "run", f"row-{i}", content)
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
    files = [npy.getvalue(), npz.getvalue(), None, len(safetensors).to_bytes(8, "little") + safetensors + bytes(8),
             numpy_helper.from_array(np.arange(4), "a").SerializeToString()]
    try:
        import PIL.Image
        for form in ("PNG", "JPEG"):
            picture = io.BytesIO()
            PIL.Image.new("RGB", (4, 3), (10, 200, 30)).save(picture, form)
            files.append(picture.getvalue())
    except ImportError:
        pass
    for form, content in enumerate(files):
        if content is not None:
            write(folder, "dump", f"seed-{form}", bytes([form]) + content)


if __name__ == "__main__":
    main()
