"""The command line from outside: options, exit codes, files in and out."""
import json
import os
import re
import signal
import subprocess
import time
import zipfile

import numpy as np
import onnx
import pytest
from conftest import INGOT, identity, save_model
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

COMMANDS = ["run", "verify", "bench", "inspect", "optimize", "profile", "diff"]
X = np.array([[1.5, -2, 3], [-4, 5, -6]], np.float32)
Y = np.maximum(X, 0)


def fails(done, code, *words):
    """Exit code and exactly one line on standard error that starts with the tool's name and holds the words."""
    assert done.code == code, (done.code, done.err)
    lines = done.err.splitlines()
    assert len(lines) == 1 and lines[0].startswith("ingot: ") and len(lines[0]) < 520, done.err
    for word in words:
        assert word in lines[0], (word, lines[0])


def save_pb(path, array, name=""):
    path.write_bytes(numpy_helper.from_array(np.asarray(array), name).SerializeToString())
    return path


@pytest.fixture
def dump(tmp_path):
    """A function that writes a dump folder of the relu model with the given output."""
    def write(y, name="dump"):
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        save_pb(folder / "input_0.pb", X)
        save_pb(folder / "output_0.pb", y)
        return folder
    return write


# ---- options -----------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("command", COMMANDS)
def test_help(ingot, command):
    done = ingot(command, "--help")
    assert done.code == 0 and not done.err
    assert done.out.startswith(f"usage: ingot {command} {'A B' if command == 'diff' else 'MODEL'}")
    for common in ("--threads", "--disable-pass", "--max-memory", "--timeout", "--quiet", "--help"):
        assert common in done.out
    assert f"  ingot {command} " in done.out.split("examples:")[1]
    assert ingot("help", command).out == done.out
    assert max(map(len, done.out.splitlines())) <= 120


def test_overview(ingot):
    done = ingot("--help")
    assert done.code == 0 and all(re.search(rf"^  {c} ", done.out, re.M) for c in COMMANDS)
    lines = ingot("--version").out.splitlines()
    about = json.loads(ingot("--version", "--json").out)
    assert re.fullmatch(r"ingot \d+\.\d+\.\d+ \(\w+\)", lines[0]) and lines[0] == f"ingot {about['version']} ({about['isa']})"
    assert lines[1] == f"threads: {about['threads']}" and lines[2] == "built with: " + " ".join(about["features"])


@pytest.mark.parametrize("arguments, words", [
    ([], ["no command"]),
    (["rnu"], ["rnu", "did you mean 'run'"]),
    (["frobnicate"], ["no command 'frobnicate'", "--help"]),
    (["help", "nothing"], ["nothing"]),
    (["run"], ["needs MODEL"]),
    (["verify", "m.onnx"], ["needs MODEL DUMP"]),
    (["run", "a.onnx", "b.onnx"], ["b.onnx", "too many"]),
    (["run", "m.onnx", "--inptu", "x"], ["--inptu", "did you mean --input"]),
    (["run", "m.onnx", "--zzzzzz"], ["--zzzzzz"]),
    (["run", "m.onnx", "-z"], ["-z"]),
    (["run", "m.onnx", "--input"], ["--input needs a value"]),
    (["run", "m.onnx", "--quiet=1"], ["--quiet takes no value"]),
    (["run", "m.onnx", "--threads", "0"], ["--threads", "'0'"]),
    (["run", "m.onnx", "--threads", "two"], ["--threads", "'two'"]),
    (["run", "m.onnx", "--threads", "99999999999999999999"], ["--threads"]),
    (["run", "m.onnx", "--max-memory", "5Q"], ["--max-memory", "'5Q'"]),
    (["run", "m.onnx", "--max-memory", "-1"], ["--max-memory"]),
    (["run", "m.onnx", "--max-memory", "99999999999G"], ["--max-memory"]),
    (["run", "m.onnx", "--timeout", "nan"], ["--timeout"]),
    (["run", "m.onnx", "--format", "csv"], ["csv"]),
    (["run", "m.onnx", "--top", "0"], ["--top"]),
    (["verify", "m.onnx", "d", "--rtol", "-1"], ["--rtol"]),
    (["bench", "m.onnx", "--iterations", "0"], ["--iterations"]),
    (["inspect", "m.onnx", "--json", "--dot"], ["--json", "--dot"]),
    (["run", "m.onnx", "--disable-pass", "fold-constant"], ["did you mean 'fold-constants'"]),
    (["optimize", "m.onnx"], ["-o"]),
])
def test_wrong_usage(ingot, arguments, words):
    done = ingot(*arguments)
    fails(done, 2, *words)
    assert not done.out


def test_option_forms(ingot, relu, tmp_path):
    np.save(tmp_path / "x.npy", X)
    plain = ingot("run", relu, "--input", tmp_path / "x.npy")
    for arguments in (["--input=" + str(tmp_path / "x.npy"), relu], ["--input", f"x={tmp_path / 'x.npy'}", "--", relu],
                      [relu, "--input", tmp_path / "x.npy", "--threads=1", "--max-memory", "1G", "--timeout", "60"]):
        done = ingot("run", *arguments)
        assert (done.code, done.out) == (0, plain.out), done.err
    fails(ingot("run", relu, "--disable-pass", "no-such-pass"), 2, "no-such-pass")
    assert ingot("run", relu, "--disable-pass", "all").code == 0


def test_misspelt_names_get_a_hint(ingot, tmp_path):
    model = save_model(tmp_path / "m.onnx", [helper.make_node("Add", ["pixels", "mask"], ["y"])],
                       [("pixels", TensorProto.FLOAT, ["batch", 3]), ("mask", TensorProto.FLOAT, ["batch", 3])],
                       [("y", TensorProto.FLOAT, ["batch", 3])])
    np.save(tmp_path / "x.npy", X)
    fails(ingot("run", model, "--input", f"pixel={tmp_path / 'x.npy'}"), 5, "no input 'pixel'", "did you mean 'pixels'?")
    fails(ingot("run", model, "--input", f"zzz={tmp_path / 'x.npy'}"), 5, "no input 'zzz'", "ingot inspect")
    fails(ingot("run", model, "--dim", "batches=2"), 2, "'batches'", "did you mean 'batch'?")


# ---- exit codes --------------------------------------------------------------------------------------------------

def test_no_such_model(ingot, tmp_path):
    fails(ingot("run", tmp_path / "no.onnx"), 7, "no.onnx")


def test_message_is_bounded_and_escaped(ingot):
    fails(ingot("run", "a\nb\x1b[31m" + "x" * 3000), 7, "\\x0a")


@pytest.mark.parametrize("command", ["run", "bench", "inspect"])
def test_malformed_model(ingot, tmp_path, command):
    path = tmp_path / "bad.onnx"
    path.write_bytes(b"\xff\xff\xff\xff not a model")
    fails(ingot(command, path), 4, "bad.onnx")


@pytest.fixture
def alien(tmp_path):
    nodes = [helper.make_node("Frobnicate", ["x"], ["t"], name="first", domain="alien"),
             helper.make_node("Twist", ["t"], ["y"], name="second", domain="alien")]
    graph = helper.make_graph(nodes, "g", [helper.make_tensor_value_info("x", 1, [3])], [helper.make_tensor_value_info("y", 1, [3])])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("alien", 1)], ir_version=8),
              str(tmp_path / "alien.onnx"))
    return tmp_path / "alien.onnx"


def test_unsupported(ingot, alien):
    fails(ingot("run", alien), 3, "Frobnicate")
    done = ingot("inspect", alien)
    fails(done, 3)
    assert "Frobnicate" in done.out and "Twist" in done.out       # everything at once
    done = ingot("inspect", alien, "--json")
    assert done.code == 3 and len(json.loads(done.out)["problems"]) == 2


@pytest.mark.parametrize("command", [["run"], ["inspect"], ["bench", "--iterations", "1"]])
def test_full_disk(ingot, relu, command):
    with open("/dev/full", "w") as full:
        done = subprocess.run([INGOT, command[0], relu, *command[1:]], stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 7 and done.stderr.startswith("ingot: cannot write") and done.stderr.count("\n") == 1


def test_memory_limit(ingot, relu):
    fails(ingot("run", relu, "--dim", "N=100000000", "--max-memory", "10M"), 6)


@pytest.fixture
def endless(tmp_path):
    """A loop of 2**62 rounds."""
    body = helper.make_graph([helper.make_node("Identity", ["c"], ["c2"]), helper.make_node("Add", ["v", "v"], ["v2"])], "body",
                             [helper.make_tensor_value_info("i", 7, []), helper.make_tensor_value_info("c", 9, []),
                              helper.make_tensor_value_info("v", 1, [3])],
                             [helper.make_tensor_value_info("c2", 9, []), helper.make_tensor_value_info("v2", 1, [3])])
    return save_model(tmp_path / "endless.onnx", [helper.make_node("Loop", ["n", "", "x"], ["y"], body=body)],
                      [("x", TensorProto.FLOAT, [3]), ("n", TensorProto.INT64, [])], [("y", TensorProto.FLOAT, [3])])


def test_timeout(ingot, endless, tmp_path):
    np.save(tmp_path / "n.npy", np.int64(2**62))
    fails(ingot("run", endless, "--input", f"n={tmp_path / 'n.npy'}", "--timeout", "0.2", timeout=20), 130)


def test_interrupt(ingot, endless, tmp_path):
    np.save(tmp_path / "n.npy", np.int64(2**62))
    process = subprocess.Popen([INGOT, "run", endless, "--input", f"n={tmp_path / 'n.npy'}"], stderr=subprocess.PIPE, text=True,
                               preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130 and err.startswith("ingot: ") and err.count("\n") == 1


# ---- inputs ------------------------------------------------------------------------------------------------------

NUMPY_TYPES = {"float32": 1, "uint8": 2, "int8": 3, "uint16": 4, "int16": 5, "int32": 6, "int64": 7, "bool": 9, "float16": 10,
               "float64": 11, "uint32": 12, "uint64": 13, "complex64": 14, "complex128": 15}


def through(ingot, tmp_path, model, *inputs):
    """Run the model on files and give back its output y."""
    out = tmp_path / "out" / "deep"
    done = ingot("run", model, *[a for path in inputs for a in ("--input", path)], "--output-dir", out)
    assert done.code == 0, done.err
    return np.load(out / "y.npy")


@pytest.mark.parametrize("name", NUMPY_TYPES)
def test_npy_types(ingot, tmp_path, name):
    random = np.random.default_rng(1)
    for shape in [(), (0, 2), (3,), (2, 3, 4)]:
        model = identity(tmp_path / "m.onnx", NUMPY_TYPES[name], list(shape))
        array = np.asarray((random.standard_normal(shape) * 50)).astype(name)
        swapped = array.astype(array.dtype.newbyteorder(">"))
        for stored in [array, swapped] + ([np.asfortranarray(array)] if shape else []):
            np.save(tmp_path / "x.npy", stored)
            got = through(ingot, tmp_path, model, tmp_path / "x.npy")
            assert got.dtype == array.dtype and got.shape == shape and got.tobytes() == array.tobytes()


def test_npy_strings(ingot, tmp_path):
    model = identity(tmp_path / "m.onnx", TensorProto.STRING, [2, 2])
    texts = np.array([["a", ""], ["h\u00e9llo", "\u20ac\U0001f600"]])
    for stored in (texts, np.asfortranarray(texts), texts.astype(texts.dtype.newbyteorder(">"))):
        np.save(tmp_path / "x.npy", stored)
        assert (through(ingot, tmp_path, model, tmp_path / "x.npy") == texts).all()


@pytest.mark.parametrize("name, elem_type", [("bfloat16", 16), ("float8_e4m3fn", 17), ("float8_e5m2", 19)])
def test_npy_raw_types(ingot, tmp_path, name, elem_type):
    ml_dtypes = pytest.importorskip("ml_dtypes")
    array = np.array([1.5, -2, 0.25, 240]).astype(getattr(ml_dtypes, name))
    np.save(tmp_path / "x.npy", array)
    got = through(ingot, tmp_path, identity(tmp_path / "m.onnx", elem_type, [4]), tmp_path / "x.npy")
    assert got.tobytes() == array.tobytes()


def test_npz(ingot, relu, tmp_path):
    for save in (np.savez, np.savez_compressed):
        for arrays in ({"x": X}, {"input_0": X, "output_0": Y}, {"arr_0": X, "other": Y}, {"lone": X}):
            save(tmp_path / "x.npz", **arrays)
            assert (through(ingot, tmp_path, relu, tmp_path / "x.npz") == Y).all()
        assert (through(ingot, tmp_path, relu, f"x={tmp_path / 'x.npz'}") == Y).all()
    np.savez(tmp_path / "x.npz", a=X, b=X)
    fails(ingot("run", relu, "--input", tmp_path / "x.npz"), 5, "x.npz")
    fails(ingot("run", relu, "--input", f"x={tmp_path / 'x.npz'}"), 5, "x.npz", "'x'")


def test_pb_in_and_out(ingot, relu, tmp_path):
    save_pb(tmp_path / "x.pb", X)
    assert (through(ingot, tmp_path, relu, tmp_path / "x.pb") == Y).all()
    assert ingot("run", relu, "--input", tmp_path / "x.pb", "--output-dir", tmp_path / "o", "--format", "pb").code == 0
    tensor = onnx.TensorProto.FromString((tmp_path / "o" / "output_0.pb").read_bytes())
    assert tensor.name == "y" and (numpy_helper.to_array(tensor) == Y).all()


def test_pipe(ingot, relu, tmp_path):
    np.save(tmp_path / "x.npy", X)
    done = subprocess.run(["bash", "-c", f"'{INGOT}' run '{relu}' --input x=<(cat '{tmp_path}/x.npy')"], capture_output=True, text=True)
    assert done.returncode == 0 and "float [2,3]" in done.stdout, done.stderr


def test_random_inputs_are_seeded(ingot, relu):
    first = ingot("run", relu, "--dim", "N=5")
    assert first.code == 0 and "[5,3]" in first.out and first.out == ingot("run", relu, "--dim", "N=5").out
    assert "[1,3]" in ingot("run", relu).out


def test_dims_of_given_inputs_are_shared(ingot, tmp_path):
    model = save_model(tmp_path / "add.onnx", [helper.make_node("Add", ["a", "b"], ["y"])],
                       [("a", TensorProto.FLOAT, ["N", 3]), ("b", TensorProto.FLOAT, ["N", 3])], [("y", TensorProto.FLOAT, ["N", 3])])
    np.save(tmp_path / "a.npy", X)
    assert "y  float [2,3]" in ingot("run", model, "--input", f"b={tmp_path / 'a.npy'}").out


def test_wrong_inputs(ingot, relu, tmp_path):
    np.save(tmp_path / "x.npy", X)
    np.save(tmp_path / "wide.npy", X.T.copy())
    np.save(tmp_path / "double.npy", X.astype(np.float64))
    np.save(tmp_path / "object.npy", np.array([{}], object), allow_pickle=True)
    np.save(tmp_path / "fields.npy", np.zeros(2, [("a", "f4")]))
    x = tmp_path / "x.npy"
    for arguments, code, words in [
        ([f"q={x}"], 5, ["q"]),
        ([x, x], 5, ["x.npy", "1 input"]),
        ([x, f"x={x}"], 2, ["'x'", "twice"]),
        ([tmp_path / "no.npy"], 7, ["no.npy"]),
        ([tmp_path], 7, [os.path.basename(tmp_path)]),
        ([tmp_path / "wide.npy"], 5, ["wide.npy", "'x'"]),
        ([tmp_path / "double.npy"], 5, ["double.npy", "double"]),
        ([tmp_path / "object.npy"], 5, ["object.npy", "Python objects"]),
        ([tmp_path / "fields.npy"], 5, ["fields.npy", "fields"]),
    ]:
        fails(ingot("run", relu, *[a for i in arguments for a in ("--input", i)]), code, *words)
    fails(ingot("run", relu, "--dim", "M=3"), 2, "'M'")
    fails(ingot("run", relu, "--dim", "N"), 2, "NAME=N")
    fails(ingot("run", relu, "--dim", "N=9223372036854775807"), 2)
    fails(ingot("run", relu, "--dim", "N=-1"), 2)


def npy(header, data=b"", version=1):
    raw = header.encode()
    return b"\x93NUMPY" + bytes([version, 0]) + len(raw).to_bytes(2 if version == 1 else 4, "little") + raw + data


@pytest.mark.parametrize("content", [
    b"", b"\x93NUMPY", b"\x93NUMPY\x09\x00\x01\x00 ", b"\x93NUMPY\x01\x00\xff\xff{",
    npy("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }", bytes(23)),
    npy("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }", bytes(25)),
    npy("{'descr': '<f4', 'fortran_order': False, 'shape': (-2, 3), }", bytes(24)),
    npy("{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296, 4294967296), }"),
    npy("{'descr': '<f4', 'fortran_order': False, 'shape': (0, 9223372036854775807, 9223372036854775807), }"),
    npy("{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,), }"),
    npy("{'descr': '<f4', 'fortran_order': False, 'shape': (" + "1, " * 17 + ")}", bytes(4)),
    npy("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3"),
    npy("{'descr': '<f4', 'shape': (2, 3), }", bytes(24)),
    npy("{'descr': '<U99999999999', 'fortran_order': False, 'shape': (2,), }"),
    npy("{'descr': '<f3', 'fortran_order': False, 'shape': (2, 3), }", bytes(18)),
    npy("{'descr': '<f4', 'fortran_order': maybe, 'shape': (2, 3), }", bytes(24)),
    npy("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), 'x': 1}", bytes(24), version=2),
], ids=iter(map(str, range(99))))
def test_malformed_npy(ingot, relu, tmp_path, content):
    (tmp_path / "bad.npy").write_bytes(content)
    fails(ingot("run", relu, "--input", tmp_path / "bad.npy"), 5, "bad.npy")


class Saver:
    """Writes what torch.save writes of a dictionary of tensors, opcode by opcode, without needing PyTorch."""
    def __init__(self):
        self.pickle, self.storages = b"\x80\x02}(", []

    @staticmethod
    def text(value):
        return b"X" + len(value.encode()).to_bytes(4, "little") + value.encode()

    @staticmethod
    def integers(values):
        return b"(" + b"".join(b"J" + int(v).to_bytes(4, "little", signed=True) for v in values) + b"t"

    def tensor(self, key, storage, kind, shape, strides, offset=0):
        identity = b"(" + self.text("storage") + f"ctorch\n{kind}\n".encode() + self.text(str(len(self.storages))) + self.text("cpu") + b"K\x01tQ"
        self.pickle += (self.text(key) + b"ctorch._utils\n_rebuild_tensor_v2\n(" + identity + b"J" + offset.to_bytes(4, "little", signed=True)
                        + self.integers(shape) + self.integers(strides) + b"\x89ccollections\nOrderedDict\n)RtR")
        self.storages.append(storage)
        return self

    def save(self, path, tail=b""):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("x/data.pkl", self.pickle + tail + b"u.")
            for k, storage in enumerate(self.storages):
                archive.writestr(f"x/data/{k}", storage.tobytes())
        return path


def test_pt(ingot, relu, tmp_path):
    path = Saver().tensor("x", X, "FloatStorage", (2, 3), (3, 1)).save(tmp_path / "x.pt")
    assert (through(ingot, tmp_path, relu, path) == Y).all()
    path = Saver().tensor("x", X, "FloatStorage", (1, 3), (3, 1), 3).save(tmp_path / "x.pt")
    assert (through(ingot, tmp_path, relu, path) == Y[1:]).all()
    path = Saver().tensor("x", X.T.copy(), "FloatStorage", (2, 3), (1, 2)).save(tmp_path / "x.pt")
    assert (through(ingot, tmp_path, relu, path) == Y).all()
    for y, code in ((Y, 0), (Y + 1, 1)):
        path = Saver().tensor("input", X, "FloatStorage", (2, 3), (3, 1)).tensor("output", y, "FloatStorage", (2, 3), (3, 1)).save(tmp_path / "d.pt")
        assert ingot("verify", relu, path).code == code


def test_pt_executes_nothing(ingot, relu, tmp_path):
    call = Saver.text("harm") + b"cos\nsystem\n(" + Saver.text(f"touch {tmp_path / 'harm'}") + b"tR"
    path = Saver().tensor("x", X, "FloatStorage", (2, 3), (3, 1)).save(tmp_path / "x.pt", tail=call)
    assert (through(ingot, tmp_path, relu, path) == Y).all() and not (tmp_path / "harm").exists()


@pytest.mark.parametrize("shape, strides, offset", [
    ((2, 4), (4, 1), 0), ((2, 3), (3, 1), 1), ((2, 3), (3, 1), -1), ((2, 3), (-3, 1), 3), ((-2, 3), (3, 1), 0),
    ((2**31 - 1, 2**31 - 1, 2**31 - 1), (2**31 - 1,) * 3, 0), ((2, 3), (3,), 0)])
def test_malformed_pt(ingot, relu, tmp_path, shape, strides, offset):
    path = Saver().tensor("x", X, "FloatStorage", shape, strides, offset).save(tmp_path / "bad.pt")
    fails(ingot("run", relu, "--input", path), 5, "bad.pt")


@pytest.mark.parametrize("pickle", [b"", b".", b"\x80\x02]q\x00h\x00a.", b"(" * 5000, b"h\x09.", b"cfoo", b"R.", b"\xff.", b"X\xff\xff\xff\xff."],
                         ids=iter(map(str, range(9))))
def test_malformed_pickle(ingot, relu, tmp_path, pickle):
    with zipfile.ZipFile(tmp_path / "bad.pt", "w") as archive:
        archive.writestr("x/data.pkl", pickle)
    fails(ingot("run", relu, "--input", tmp_path / "bad.pt"), 5, "bad.pt")


def test_malformed_files(ingot, relu, tmp_path):
    np.savez_compressed(tmp_path / "x.npz", x=X)
    Image.fromarray(np.zeros((9, 9, 3), np.uint8)).save(tmp_path / "x.png")
    Image.fromarray(np.zeros((9, 9, 3), np.uint8)).save(tmp_path / "x.jpg")
    save_pb(tmp_path / "x.pb", X)
    for name in ("x.npz", "x.png", "x.jpg", "x.pb"):
        whole = (tmp_path / name).read_bytes()
        for part in (whole[:0], whole[:len(whole) // 3], whole[:-5], b"\x00" * 50, whole[: len(whole) // 2] + bytes(40)):
            (tmp_path / ("bad" + name)).write_bytes(part)
            done = ingot("run", relu, "--input", tmp_path / ("bad" + name))
            fails(done, 5, "bad" + name)


def test_zip_bomb_is_bounded(ingot, relu, tmp_path):
    with zipfile.ZipFile(tmp_path / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", npy("{'descr': '<f4', 'fortran_order': False, 'shape': (5000000, 3), }", bytes(60_000_000)))
    fails(ingot("run", relu, "--input", tmp_path / "bomb.npz", "--max-memory", "10M"), 6, "bomb.npz")
    raw = bytearray((tmp_path / "bomb.npz").read_bytes())
    at = raw.rfind(b"PK\x01\x02") + 24                           # the member's size in the central directory
    raw[at:at + 4] = (0xFFFFFFF0).to_bytes(4, "little")
    (tmp_path / "lies.npz").write_bytes(raw)
    fails(ingot("run", relu, "--input", tmp_path / "lies.npz"), 5, "lies.npz")


# ---- pictures ----------------------------------------------------------------------------------------------------

def planes(pixels):
    return np.moveaxis(pixels, 2, 0)[None].astype(np.float32) / np.float32(255)


def test_pictures(ingot, tmp_path):
    random = np.random.default_rng(2)
    rgb = random.integers(0, 256, (5, 7, 3), dtype=np.uint8)
    alpha = random.integers(0, 256, (5, 7, 1), dtype=np.uint8)
    gray = rgb[..., :1]
    colour = identity(tmp_path / "colour.onnx", TensorProto.FLOAT, ["N", 3, "H", "W"])
    mono = identity(tmp_path / "mono.onnx", TensorProto.FLOAT, ["N", 1, "H", "W"])
    raw = identity(tmp_path / "raw.onnx", TensorProto.UINT8, [1, 3, 5, 7])
    path = tmp_path / "p.png"
    for image, model, want in [
        (Image.fromarray(rgb), colour, planes(rgb)),
        (Image.fromarray(np.concatenate([rgb, alpha], 2)), colour, planes(rgb)),
        (Image.fromarray(gray[..., 0]), colour, planes(np.repeat(gray, 3, 2))),
        (Image.fromarray(gray[..., 0]), mono, planes(gray)),
        (Image.fromarray(rgb).quantize(16), colour, planes(np.array(Image.fromarray(rgb).quantize(16).convert("RGB")))),
        (Image.fromarray(rgb), raw, np.moveaxis(rgb, 2, 0)[None]),
    ]:
        image.save(path)
        got = through(ingot, tmp_path, model, path)
        assert got.dtype == want.dtype and np.array_equal(got, want)
    smooth = Image.fromarray(random.integers(0, 256, (8, 6, 3), dtype=np.uint8)).resize((96, 64))
    for options in ({}, {"progressive": True}):
        smooth.save(tmp_path / "p.jpg", quality=95, **options)
        want = planes(np.array(Image.open(tmp_path / "p.jpg")))
        assert np.abs(through(ingot, tmp_path, colour, tmp_path / "p.jpg") - want).max() <= 3 / 255


def test_pictures_that_do_not_fit(ingot, relu, tmp_path):
    Image.fromarray(np.zeros((4, 6, 3), np.uint8)).save(tmp_path / "p.png")
    fails(ingot("run", relu, "--input", tmp_path / "p.png"), 5, "p.png", "'x'")
    model = identity(tmp_path / "m.onnx", TensorProto.FLOAT, [1, 3, 6, 6])
    fails(ingot("run", model, "--input", tmp_path / "p.png"), 5, "p.png", "6 x 4", "[1,3,6,6]")
    model = identity(tmp_path / "m.onnx", TensorProto.FLOAT, [1, 1, 4, 6])
    fails(ingot("run", model, "--input", tmp_path / "p.png"), 5, "p.png", "3 channels")


# ---- run ---------------------------------------------------------------------------------------------------------

def test_summary(ingot, relu, tmp_path):
    np.save(tmp_path / "x.npy", X)
    done = ingot("run", relu, "--input", tmp_path / "x.npy")
    assert done.out == "y  float [2,3]  min 0  max 5  mean 1.58333  = 1.5 0 3 0 ...\n"
    assert ingot("run", relu, "--quiet").out == ""


def test_top_classes(ingot, relu, tmp_path):
    np.save(tmp_path / "x.npy", X)
    (tmp_path / "labels.txt").write_text("ant\r\nbee\ncat")
    done = ingot("run", relu, "--input", tmp_path / "x.npy", "--top", "2", "--labels", tmp_path / "labels.txt")
    rows = [line.split() for line in done.out.splitlines()[1:]]
    assert rows == [["row", "0"], ["1.", "3", "class", "2", "cat"], ["2.", "1.5", "class", "0", "ant"],
                    ["row", "1"], ["1.", "5", "class", "1", "bee"], ["2.", "0", "class", "0", "ant"]]
    fails(ingot("run", relu, "--labels", tmp_path / "none.txt"), 7, "none.txt")


def test_output_names_become_file_names(ingot, tmp_path):
    names = ["../../etc/x", "a/b", "a:b", ".hidden", "ok-1.2"]
    model = save_model(tmp_path / "m.onnx", [helper.make_node("Relu", ["x"], [n]) for n in names],
                       [("x", TensorProto.FLOAT, [3])], [(n, TensorProto.FLOAT, [3]) for n in names])
    out = tmp_path / "out"
    assert ingot("run", model, "--output-dir", out).code == 0
    files = sorted(os.listdir(out))
    assert len(files) == len(names) and "ok-1.2.npy" in files and all(re.fullmatch(r"[\w-][\w.-]*\.npy", f) for f in files)
    assert sorted(os.listdir(tmp_path)) == ["m.onnx", "out"]


def test_output_dir_that_cannot_be(ingot, relu, tmp_path):
    (tmp_path / "file").write_text("")
    fails(ingot("run", relu, "--output-dir", tmp_path / "file"), 7, "file")
    fails(ingot("run", relu, "--output-dir", tmp_path / "file" / "deeper"), 7, "deeper")


def test_sequence_outputs_need_pb(ingot, tmp_path):
    node = helper.make_node("SequenceConstruct", ["x", "x"], ["s"])
    graph = helper.make_graph([node], "g", [helper.make_tensor_value_info("x", 1, [3])],
                              [helper.make_tensor_sequence_value_info("s", 1, None)])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(tmp_path / "m.onnx"))
    fails(ingot("run", tmp_path / "m.onnx", "--output-dir", tmp_path / "o"), 2, "--format pb")
    done = ingot("run", tmp_path / "m.onnx", "--output-dir", tmp_path / "o", "--format", "pb")
    assert done.code == 0 and "sequence of 2" in done.out
    sequence = onnx.SequenceProto.FromString((tmp_path / "o" / "output_0.pb").read_bytes())
    assert len(sequence.tensor_values) == 2


# ---- verify ------------------------------------------------------------------------------------------------------

def test_verify(ingot, relu, dump, tmp_path):
    done = ingot("verify", relu, dump(Y))
    assert done.code == 0 and done.out.splitlines()[-1].startswith("1 of 1 outputs agree")
    wrong = Y.copy()
    wrong[1, 1] += 0.1
    done = ingot("verify", relu, dump(wrong))
    assert done.code == 1 and not done.err and "1 of 6 elements; the first: [1,1] is 5, expected 5.1" in done.out
    assert done.out.splitlines()[-1].startswith("0 of 1 outputs agree")
    assert ingot("verify", relu, dump(wrong), "--rtol", "0", "--atol", "0.11").code == 0
    assert ingot("verify", relu, dump(wrong), "--rtol", "0.03", "--atol", "0").code == 0
    assert ingot("verify", relu, dump(wrong), "--rtol", "0.01", "--atol", "0.01").code == 1
    quiet = ingot("verify", relu, dump(wrong), "--quiet")
    assert (quiet.code, quiet.out, quiet.err) == (1, "", "")
    for other in (Y[:1], Y.astype(np.float64), Y.reshape(3, 2)):
        assert ingot("verify", relu, dump(other)).code == 1


def test_verify_npz(ingot, relu, tmp_path):
    for arrays, code in [({"input_0": X, "output_0": Y}, 0), ({"x": X, "y": Y}, 0), ({"x": X, "y": Y + 1}, 1),
                         ({"x": X}, 5), ({"y": Y}, 5), ({"x": X, "y": Y, "output_1": Y}, 5)]:
        np.savez(tmp_path / "d.npz", **arrays)
        assert ingot("verify", relu, tmp_path / "d.npz").code == code


def test_verify_special_values(ingot, tmp_path):
    model = identity(tmp_path / "m.onnx", TensorProto.FLOAT, [3])
    x = np.array([np.nan, np.inf, -np.inf], np.float32)
    for y, code in [(x, 0), (-x, 1), (np.array([0, np.inf, -np.inf], np.float32), 1), (np.array([np.nan, 3e38, -np.inf], np.float32), 1)]:
        np.savez(tmp_path / "d.npz", x=x, y=y)
        assert ingot("verify", model, tmp_path / "d.npz", "--rtol", "1e6").code == code


def test_verify_integers_exactly(ingot, tmp_path):
    model = identity(tmp_path / "m.onnx", TensorProto.INT64, [2])
    x = np.array([2**53, 7])
    for y, code in [(x, 0), (x + [1, 0], 1)]:
        np.savez(tmp_path / "d.npz", x=x, y=y)
        done = ingot("verify", model, tmp_path / "d.npz", "--rtol", "1", "--atol", "1")
        assert done.code == code
    assert "9007199254740992, expected 9007199254740993" in done.out


def test_verify_json(ingot, relu, dump):
    done = ingot("verify", relu, dump(Y + np.float32(0.5)), "--json")
    report = json.loads(done.out)
    assert done.code == 1 and not report["agrees"]
    row = report["outputs"][0]
    assert row["name"] == "y" and row["differing"] == 6 and abs(row["max_abs"] - 0.5) < 1e-6


def test_bad_dumps(ingot, relu, dump, tmp_path):
    fails(ingot("verify", relu, tmp_path / "nowhere"), 7, "nowhere")
    fails(ingot("verify", relu, relu), 5, "relu.onnx")
    (tmp_path / "empty").mkdir()
    fails(ingot("verify", relu, tmp_path / "empty"), 5)
    folder = dump(Y)
    (folder / "output_0.pb").write_bytes(b"\xff\xff")
    fails(ingot("verify", relu, folder), 5, "output_0.pb")
    folder = dump(Y)
    (folder / "output_0.pb").unlink()
    fails(ingot("verify", relu, folder), 5, "no output")


@pytest.mark.parametrize("name", ["mynet_bn", "mynet", "bn_residual", "ops_math", "char_lstm", "mynet_train"])
def test_verify_corpus(ingot, corpus, name):
    folder = corpus(name)
    with open(os.path.join(os.path.dirname(folder), "manifest.json")) as f:
        entry = json.load(f)[name]
    for data in sorted(d for d in os.listdir(folder) if d.startswith("test_data_set")):
        done = ingot("verify", os.path.join(folder, "model.onnx"), os.path.join(folder, data), "--rtol", entry["rtol"], "--atol", entry["atol"])
        assert done.code == 0, done.out + done.err


# ---- bench, inspect, optimize, profile ---------------------------------------------------------------------------

def test_bench_json(ingot, relu):
    done = ingot("bench", relu, "--iterations", "7", "--warmup", "2", "--threads", "1", "--json")
    assert done.code == 0 and done.out.count("\n") == 1 and not done.err
    report = json.loads(done.out)
    for key in "median_ms min_ms p90_ms p99_ms load_ms first_ms peak_mib".split():
        assert isinstance(report[key], float) and report[key] > 0, key
    assert report["min_ms"] <= report["median_ms"] <= report["p90_ms"] <= report["p99_ms"]
    assert report["iterations"] == 7 and report["threads"] == 1 and report["isa"]


def test_bench_table(ingot, relu):
    done = ingot("bench", relu, "--iterations", "3", "--warmup", "0", "--dim", "N=4")
    assert done.code == 0 and "median" in done.out and "3 runs" in done.out
    assert ingot("bench", relu, "--iterations", "3", "--quiet").out == ""


def test_inspect(ingot, tmp_path):
    weights = np.ones((3, 4), np.float32)
    model = save_model(tmp_path / "m.onnx", [helper.make_node("MatMul", ["x", "w"], ["t"]), helper.make_node("Erf", ["t"], ["y"])],
                       [("x", TensorProto.FLOAT, ["N", 3])], [("y", TensorProto.FLOAT, ["N", 4])], [("w", weights)])
    done = ingot("inspect", model)
    assert done.code == 0, done.err
    assert "float [N,3]" in done.out and "parameters: 12" in done.out and re.search(r"1\s+Erf", done.out)
    report = json.loads(ingot("inspect", model, "--json", "--dim", "N=5").out)
    assert report["inputs"] == [{"name": "x", "kind": "tensor", "type": "float", "shape": ["N", 3]}]
    assert report["parameters"] == 12 and report["opset"] == 17 and report["problems"] == []
    assert 2 * 5 * 3 * 4 <= report["flops"] < 2 * 5 * 3 * 4 + 500
    assert {"domain": "", "op_type": "Erf", "count": 1} in report["operators"]
    dot = ingot("inspect", model, "--dot").out
    assert dot.startswith("digraph") and '"x" -> node0;' in dot and dot.rstrip().endswith("}")


def test_optimize(ingot, corpus, tmp_path):
    folder = corpus("mynet_bn")
    out = tmp_path / "small.onnx"
    done = ingot("optimize", os.path.join(folder, "model.onnx"), "-o", out)
    assert done.code == 0 and "fold-batch-normalization" in done.out, done.err
    onnx.checker.check_model(str(out))
    ops = [n.op_type for n in onnx.load(str(out)).graph.node]
    assert "BatchNormalization" not in ops
    assert ingot("verify", out, os.path.join(folder, "test_data_set_0")).code == 0
    fails(ingot("optimize", os.path.join(folder, "model.onnx"), "-o", tmp_path / "no" / "such.onnx"), 7)


def test_profile(ingot, relu):
    done = ingot("profile", relu, "--iterations", "2", "--dim", "N=1000")
    assert done.code == 0 and "Relu" in done.out and "1 steps" in done.out, done.err


def test_profile_trace(ingot, relu, tmp_path):
    done = ingot("profile", relu, "--iterations", "2", "--dim", "N=1000", "--trace", tmp_path / "trace.json", "--quiet")
    assert (done.code, done.out) == (0, ""), done.err
    (event,) = [e for e in json.loads((tmp_path / "trace.json").read_text())["traceEvents"] if e["ph"] == "X"]
    assert event["name"] == "Relu" and event["ph"] == "X" and event["dur"] > 0 and event["args"]["output"] == "float [1000,3]"
    fails(ingot("profile", relu, "--trace", tmp_path / "no" / "trace.json", "--quiet"), 7, "trace.json")


def test_manual_and_completions(ingot):
    """They name every command and option that help does."""
    overview = ingot("--help").out
    commands = re.findall(r"^  (\w+) ", overview, re.M)
    assert len(commands) >= 6
    for form in ("manual", "bash", "zsh", "fish"):
        text = ingot("--describe", form).out.replace("\\", "")
        for command in commands:
            for option in re.findall(r"^  --?([\w-]+)", ingot(command, "--help").out, re.M):
                assert option in text, f"{form} lacks {command} --{option}"
    bash = subprocess.run(["bash", "-c", """eval "$("$0" --describe bash)"; COMP_WORDS=(ingot run --out) COMP_CWORD=2; _ingot; echo "${COMPREPLY[@]}" """,
                           os.environ.get("INGOT", "build/ingot")], capture_output=True, text=True)
    assert bash.stdout.strip() == "--output-dir", bash.stderr
    assert ingot("--describe", "csh").code == 2


def test_strict(ingot, tmp_path):
    """Wrong declarations do not matter, unless they are asked about: then the line names the value."""
    relu = [helper.make_node("Relu", ["x"], ["h"], name="r"), helper.make_node("Neg", ["h"], ["y"], name="n")]
    for shapes, words in (([2, 3], [2, 4]), "size 4 in dimension 1"), (([2, 3], [2, 3, 1]), "rank 3"), ((["N", "N"], None), "dimension 'N'"):
        model = save_model(tmp_path / "m.onnx", relu, [("x", TensorProto.FLOAT, shapes[0])], [("y", TensorProto.FLOAT, shapes[1])])
        np.save(tmp_path / "x.npy", np.ones((2, 3), "float32"))
        arguments = ("run", model, "--input", tmp_path / "x.npy")
        assert ingot(*arguments).code == 0
        done = ingot(*arguments, "--strict")
        assert done.code == 4 and words in done.err and done.err.count("\n") == 1, done.err
    good = save_model(tmp_path / "g.onnx", relu, [("x", TensorProto.FLOAT, ["N", 3])], [("y", TensorProto.FLOAT, ["N", 3])])
    assert ingot("run", good, "--input", tmp_path / "x.npy", "--strict").code == 0
