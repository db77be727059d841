"""Files of tensors that others wrote: torch.save in both of its formats, safetensors; and files made to do harm."""
import io
import json
import os
import pickle
import struct
import sys
import types
import zipfile
from collections import OrderedDict

import numpy as np
import pytest
from onnx import TensorProto, helper

from conftest import save_model

TORCH_NAMES = {np.dtype(t): n for t, n in [("float32", "FloatStorage"), ("float64", "DoubleStorage"), ("float16", "HalfStorage"),
                                           ("int64", "LongStorage"), ("int32", "IntStorage"), ("uint8", "ByteStorage"), ("bool", "BoolStorage")]}
ONNX_TYPES = {np.dtype(t): helper.np_dtype_to_tensor_dtype(np.dtype(t)) for t in TORCH_NAMES}


class Storage:
    def __init__(self, array):
        self.array = array


class Tensor:
    """A view of a storage; pickles as PyTorch's tensors do."""

    def __init__(self, array, storage=None, offset=0, strides=None):
        self.storage = storage or Storage(np.ascontiguousarray(array).ravel())
        self.offset, self.shape = offset, array.shape
        self.strides = strides or tuple(s // array.itemsize for s in np.ascontiguousarray(array).strides)

    def __reduce__(self):
        rebuild = sys.modules["torch._utils"]._rebuild_tensor_v2
        return rebuild, (self.storage, self.offset, tuple(self.shape), tuple(self.strides), False, OrderedDict())


@pytest.fixture(autouse=True)
def fake_torch(monkeypatch):
    """Just enough of torch's names for pickle to write them: PyTorch itself is not needed to test its format."""
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
    utils._rebuild_tensor_v2 = lambda *a: None
    utils._rebuild_tensor_v2.__module__, utils._rebuild_tensor_v2.__qualname__ = "torch._utils", "_rebuild_tensor_v2"
    for name in TORCH_NAMES.values():
        setattr(torch, name, type(name, (), {"__module__": "torch"}))
    monkeypatch.setitem(sys.modules, "torch", torch)
    monkeypatch.setitem(sys.modules, "torch._utils", utils)


def pickled(value):
    """The pickle of a value, and its storages by key in the order of their first use."""
    storages, file = {}, io.BytesIO()

    class Pickler(pickle.Pickler):
        def persistent_id(self, thing):
            if not isinstance(thing, Storage):
                return None
            key = next((k for k, s in storages.items() if s is thing), str(len(storages)))
            storages[key] = thing
            kind = getattr(sys.modules["torch"], TORCH_NAMES[thing.array.dtype])
            return ("storage", kind, key, "cpu", len(thing.array))

    Pickler(file, protocol=2).dump(value)
    return file.getvalue(), storages


def save_zip(path, value):
    data, storages = pickled(value)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", data)
        for key, storage in storages.items():
            archive.writestr(f"archive/data/{key}", storage.array.tobytes())


def legacy_bytes(value):
    data, storages = pickled(value)
    head = [pickle.dumps(v, protocol=2) for v in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True})]
    tail = [struct.pack("<q", len(s.array)) + s.array.tobytes() for s in storages.values()]
    return b"".join(head + [data, pickle.dumps(list(storages), protocol=2)] + tail)


def save_legacy(path, value):
    path.write_bytes(legacy_bytes(value))


def identity(path, arrays):
    """A model that hands each of its inputs through, all named as in `arrays`."""
    nodes = [helper.make_node("Identity", [k], [f"y{i}"]) for i, k in enumerate(arrays)]
    rows = [(k, ONNX_TYPES[a.dtype], a.shape) for k, a in arrays.items()]
    return save_model(path, nodes, rows, [(f"y{i}", *r[1:]) for i, r in enumerate(rows)])


def check_reads(ingot, tmp_path, file, arrays):
    done = ingot("run", identity(tmp_path / "identity.onnx", arrays), "--input", file, "--output-dir", tmp_path / "out")
    assert done.code == 0, done.err
    for i, (key, want) in enumerate(arrays.items()):
        np.testing.assert_array_equal(np.load(tmp_path / "out" / f"y{i}.npy"), want, err_msg=key)


@pytest.mark.parametrize("save", [save_zip, save_legacy])
def test_torch_save(ingot, tmp_path, save):
    base = np.arange(24, dtype=np.float32)
    shared = Storage(base)
    whole = base.reshape(2, 3, 4)
    view = Tensor(whole[1:, ::2], shared, 12, (12, 8, 1))
    turned = Tensor(whole.transpose(2, 1, 0), shared, 0, (1, 4, 12))
    spread = Tensor(np.zeros((3, 2)), Storage(np.array([5.0])), 0, (0, 0))
    value = {"a": Tensor(whole), "half": Tensor(base.astype(np.float16)), "view": view, "turned": turned, "spread": spread,
             "deep": {"list": [{"x": Tensor(base[:3].astype(np.int64))}]}, 7: Tensor(np.array([True, False])), "other": 3.5, "none": None}
    save(tmp_path / "t.pt", value)
    check_reads(ingot, tmp_path, tmp_path / "t.pt", {
        "a": whole, "half": base.astype(np.float16), "view": whole[1:, ::2], "turned": whole.transpose(2, 1, 0),
        "spread": np.full((3, 2), 5.0), "deep.list.0.x": np.arange(3), "7": np.array([True, False])})


def safetensors_bytes(arrays, changes=(), tail=b""):
    names = {"float32": "F32", "float16": "F16", "int64": "I64", "bool": "BOOL"}
    header, data = {"__metadata__": {"format": "pt"}}, b""
    for key, a in arrays.items():
        header[key] = {"dtype": names[str(a.dtype)], "shape": list(a.shape), "data_offsets": [len(data), len(data) + a.nbytes]}
        data += a.tobytes()
    for key, field, value in changes:
        header[key][field] = value
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data + tail


ARRAYS = {"x": np.arange(6, dtype=np.float32).reshape(2, 3), "h": np.arange(4, dtype=np.float16), "n": np.arange(3), "empty": np.zeros((0, 2), np.float32)}


def test_safetensors(ingot, tmp_path):
    (tmp_path / "t.safetensors").write_bytes(safetensors_bytes(ARRAYS))
    check_reads(ingot, tmp_path, tmp_path / "t.safetensors", ARRAYS)


def rejected(ingot, tmp_path, name, data, codes=(5, 6)):
    """One line, no crash, and soon."""
    (tmp_path / name).write_bytes(data)
    model = identity(tmp_path / "identity.onnx", {"x": ARRAYS["x"]})
    done = ingot("verify", model, tmp_path / name, timeout=10)
    assert done.code in codes and done.err.count("\n") == 1 and done.err.startswith("ingot: "), (done.code, done.err)
    assert not done.out
    return done.err


@pytest.mark.parametrize("change", [
    [("x", "data_offsets", [0, 25])], [("x", "data_offsets", [0, 1 << 62])], [("x", "data_offsets", [24, 0])], [("x", "data_offsets", [-1, 23])],
    [("x", "shape", [2, 1 << 40])], [("x", "shape", [1 << 32, 1 << 32])], [("x", "shape", [-2, -3])], [("x", "shape", [2.5])], [("x", "shape", [1] * 17)],
    [("x", "dtype", "F33")], [("x", "dtype", 3)], [("x", "data_offsets", [0, 24]), ("h", "data_offsets", [0, 8])], [("h", "data_offsets", "0")]])
def test_safetensors_that_lie(ingot, tmp_path, change):
    rejected(ingot, tmp_path, "bad.safetensors", safetensors_bytes(ARRAYS, change))


@pytest.mark.parametrize("data", [
    b"", b"\0" * 7, struct.pack("<Q", 1 << 63) + b"{}", struct.pack("<Q", 100) + b"{}", struct.pack("<Q", 2) + b"[]", struct.pack("<Q", 2) + b"{]",
    struct.pack("<Q", 200000) + b"[" * 200000, struct.pack("<Q", 9) + b'{"x":{}} ', safetensors_bytes(ARRAYS, tail=b"more"), safetensors_bytes(ARRAYS)[:-1]])
def test_safetensors_that_are_none(ingot, tmp_path, data):
    rejected(ingot, tmp_path, "bad.safetensors", data)


class Command:
    """What a hostile pickle is made of."""

    def __reduce__(self):
        return os.system, ("touch /tmp/ingot-was-here",)


@pytest.mark.parametrize("value", [Command(), {"x": Command()}, [Command(), Tensor(ARRAYS["x"])]])
@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_pickled_code_is_never_run(ingot, tmp_path, value, protocol):
    mark = "/tmp/ingot-was-here"
    data = pickled(value)[0] if protocol == 2 else pickle.dumps(value if not isinstance(value, list) else value[0], protocol=protocol)
    with zipfile.ZipFile(tmp_path / "bad.pt", "w") as archive:
        archive.writestr("a/data.pkl", data)
    rejected(ingot, tmp_path, "copy.pt", (tmp_path / "bad.pt").read_bytes())
    assert not os.path.exists(mark)


def test_legacy_files_that_lie(ingot, tmp_path):
    good = legacy_bytes({"input_0": Tensor(ARRAYS["x"]), "output_0": Tensor(ARRAYS["x"])})
    (tmp_path / "good.pt").write_bytes(good)
    assert ingot("verify", identity(tmp_path / "identity.onnx", {"x": ARRAYS["x"]}), tmp_path / "good.pt").code == 0
    rejected(ingot, tmp_path, "a.pt", good[:-1])
    rejected(ingot, tmp_path, "b.pt", good.replace(struct.pack("<q", 6), struct.pack("<q", 1 << 61)))
    rejected(ingot, tmp_path, "c.pt", good.replace(struct.pack("<q", 6), struct.pack("<q", -1)))
    for n in range(0, len(good) - 60, 7):
        rejected(ingot, tmp_path, "d.pt", good[:n])
    rng = np.random.default_rng(1)
    for _ in range(60):
        bad = bytearray(good)
        for at in rng.integers(0, len(good), 4):
            bad[at] = rng.integers(256)
        (tmp_path / "e.pt").write_bytes(bad)
        done = ingot("verify", tmp_path / "identity.onnx", tmp_path / "e.pt", timeout=10)
        assert done.code in (0, 1, 5, 6) and done.err.count("\n") <= 1, done.err


def test_small_files_that_would_be_large(ingot, tmp_path):
    """Strides that repeat one element, a member that claims too much, and one that is all zeros."""
    spread = Tensor(np.zeros(1, np.float32))
    spread.shape, spread.strides = (1 << 15, 1 << 15), (0, 0)
    save_zip(tmp_path / "s.pt", {"input_0": spread})
    assert "repeat" in rejected(ingot, tmp_path, "spread.pt", (tmp_path / "s.pt").read_bytes())
    with zipfile.ZipFile(tmp_path / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("input_0.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", 70) +
                         b"{'descr': '<f4', 'fortran_order': False, 'shape': (1 << 40,)}".ljust(69) + b"\n" + bytes(1 << 24))
    rejected(ingot, tmp_path, "copy.npz", (tmp_path / "bomb.npz").read_bytes())
    packed = bytearray((tmp_path / "bomb.npz").read_bytes())
    at = packed.rindex(b"PK\x01\x02")
    packed[at + 24:at + 28] = struct.pack("<I", 0xFFFFFFF0)
    rejected(ingot, tmp_path, "lying.npz", bytes(packed))


@pytest.mark.parametrize("kind", ["zip.pt", "legacy.pt", "npz", "safetensors", "layers.npz"])
def test_layers_of_a_network_from_every_kind_of_file(ingot, corpus, tmp_path, kind):
    """PyTorch's layers of MyNet, as dump_layers.py would write them: the table has all, whichever file they come in."""
    folder = corpus("mynet_bn")             # with its BatchNormalization, so that every layer is in the graph
    x, y = (np.load(os.path.join(folder, f"{name}.npy")) for name in ("input", "output"))
    layers = dict(np.load(os.path.join(folder, "layers.npz")))
    dump, file = tmp_path / f"dump.{kind}", tmp_path / f"dump.{kind}"
    if kind.endswith("pt"):
        value = {"inputs": [Tensor(x)], "outputs": [Tensor(y)], "layers": {k: Tensor(a) for k, a in layers.items()}}
        (save_zip if kind == "zip.pt" else save_legacy)(dump, value)
    elif kind == "npz":
        np.savez(dump, input_0=x, output_0=y, **layers)
    elif kind == "safetensors":
        dump.write_bytes(safetensors_bytes({"input_0": x, "output_0": y, **layers}))
    else:
        dump, file = os.path.join(folder, "test_data_set_0"), os.path.join(folder, "layers.npz")
    done = ingot("verify", os.path.join(folder, "model.onnx"), dump, "--layers", file, "--json")
    assert done.code == 0, done.err + done.out
    report = json.loads(done.out)
    rows = {row["key"]: row for row in report["layers"]}
    assert all(any(key.endswith(k) for key in rows) for k in layers), sorted(rows)
    assert {row["verdict"] for row in rows.values()} <= {"agrees", "rounding"}
    assert all(row["cosine"] > 0.99999 for row in rows.values())
