"""What fails around the engine: memory, files, disks, threads, forks, standard streams. Programs are those of tests/robust."""
import errno
import io
import json
import os
import subprocess
import time

import numpy as np
import onnx
import PIL.Image
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from conftest import INGOT, ROOT, save_model

BUILD = os.environ.get("INGOT_BUILD") or os.path.join(ROOT, "build")
MYNET = os.path.join(ROOT, "models", "MyNet.onnx")
OK, LIMIT, IO = 0, 6, 7


def program(name, *arguments, timeout=120):
    path = os.path.join(BUILD, "tests", "robust", name)
    if not os.path.exists(path):
        pytest.skip(f"{name} is not built")
    done = subprocess.run([path, *map(str, arguments)], capture_output=True, text=True, timeout=timeout)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("name", ["mynet_ts_bn_dyn", "ctrl_loop", "ctrl_if", "ops_math", "ops_index", "gru", "det_nms", "bn_before_conv", "mynet_int8"])
def test_every_allocation_fails(corpus, name):
    assert "failures tried" in program("allocations", corpus(name) + "/model.onnx")


def everything(path):
    """A model with whatever a file can hold: a function with defaults and a subgraph, captures, sparse and string and external
    tensors, sequences and optionals, every kind of attribute, old forms, metadata; y = f(x)."""
    function = helper.make_function("own", "Twice", ["a", "flag"], ["b"], [
        helper.make_node("If", ["flag"], ["b"],
                         then_branch=helper.make_graph([helper.make_node("Add", ["a", "a"], ["t"])], "then", [], [helper.make_tensor_value_info("t", TensorProto.FLOAT, None)]),
                         else_branch=helper.make_graph([helper.make_node("LeakyRelu", ["a"], ["e"])], "else", [], [helper.make_tensor_value_info("e", TensorProto.FLOAT, None)]))],
        [helper.make_opsetid("", 17)], attributes=["unused"], attribute_protos=[helper.make_attribute("alpha", 0.5)])
    function.node[0].attribute[0].g.node[0].attribute.append(onnx.AttributeProto(name="alpha", ref_attr_name="alpha", type=onnx.AttributeProto.FLOAT))
    sparse = helper.make_sparse_tensor(numpy_helper.from_array(np.float32([1, 2]), "s"), numpy_helper.from_array(np.int64([0, 3]), "i"), [4])
    nodes = [helper.make_node("Twice", ["x", "yes"], ["a"], domain="own"), helper.make_node("Twice", ["a", "no"], ["b"], domain="own", alpha=0.25),
             helper.make_node("Add", ["b", "s"], ["c"]), helper.make_node("Constant", [], ["text"], value_strings=["one", "two"]),
             helper.make_node("Constant", [], ["numbers"], value_floats=[1.0, 2.0, 3.0, 4.0]), helper.make_node("Constant", [], ["n"], value_ints=[1, 4]),
             helper.make_node("Constant", [], ["t"], value=numpy_helper.from_array(np.float32([[3, 4, 5, 6]]), "t")),
             helper.make_node("Constant", [], ["p"], sparse_value=sparse), helper.make_node("Constant", [], ["word"], value_string="w"),
             helper.make_node("Reshape", ["c", "n"], ["r"]), helper.make_node("SequenceConstruct", ["r", "t", "r"], ["q"]),
             helper.make_node("SequenceAt", ["q", "one"], ["d"]), helper.make_node("SequenceEmpty", [], ["none"], dtype=1),
             helper.make_node("SequenceInsert", ["none", "numbers"], ["full"]), helper.make_node("Optional", ["full"], ["o"]),
             helper.make_node("OptionalGetElement", ["o"], ["g"]), helper.make_node("SequenceAt", ["g", "zero"], ["h"]),
             helper.make_node("Sum", ["d", "h", "p", "w"], ["i"]), helper.make_node("StringConcat", ["text", "word"], ["z"]),
             helper.make_node("LabelEncoder", ["text"], ["l"], domain="ai.onnx.ml", keys_strings=["one", "two"], values_floats=[1.0, 2.0]),
             helper.make_node("Loop", ["one", "yes", "i"], ["y"], body=helper.make_graph(
                 [helper.make_node("Identity", ["k"], ["k2"]), helper.make_node("Mul", ["v", "w"], ["v2"])], "body",
                 [helper.make_tensor_value_info("j", TensorProto.INT64, []), helper.make_tensor_value_info("k", TensorProto.BOOL, []),
                  helper.make_tensor_value_info("v", TensorProto.FLOAT, None)],
                 [helper.make_tensor_value_info("k2", TensorProto.BOOL, []), helper.make_tensor_value_info("v2", TensorProto.FLOAT, None)]))]
    constants = [("yes", np.array(True)), ("no", np.array(False)), ("zero", np.int64(0)), ("one", np.int64(1)), ("w", np.arange(4, dtype=np.float32)),
                 ("names", np.array(["a", "b"], object))]
    graph = helper.make_graph(nodes, "everything", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [4])],
                              [helper.make_tensor_value_info("y", TensorProto.FLOAT, None), helper.make_tensor_value_info("z", TensorProto.STRING, [2]),
                               helper.make_tensor_value_info("l", TensorProto.FLOAT, [2]), helper.make_tensor_value_info("names", TensorProto.STRING, [2]),
                               helper.make_tensor_sequence_value_info("q", TensorProto.FLOAT, None), helper.make_tensor_value_info("p", TensorProto.FLOAT, [4])],
                              [numpy_helper.from_array(a, k) for k, a in constants], sparse_initializer=[sparse])
    graph.sparse_initializer[0].values.name = "s"
    model = helper.make_model(graph, functions=[function], ir_version=8, producer_name="tests", producer_version="1", domain="d", model_version=2,
                              opset_imports=[helper.make_opsetid(d, v) for d, v in [("", 20), ("own", 1), ("ai.onnx.ml", 4)]])
    helper.set_model_props(model, {"key": "value"})
    for constant in model.graph.initializer:
        if constant.name == "w":
            onnx.external_data_helper.set_external_data(constant, "data", 0, 16)
            with open(os.path.join(os.path.dirname(path), "data"), "wb") as file:
                file.write(constant.raw_data)
            constant.ClearField("raw_data")
            constant.data_location = TensorProto.EXTERNAL
    with open(path, "wb") as file:
        file.write(model.SerializeToString())


def trees(kind):
    """Attributes of two trees of one test and two leaves each."""
    nodes = {"treeids": [0, 0, 0, 1, 1, 1], "nodeids": [0, 1, 2] * 2, "featureids": [1, 0, 0] * 2, "modes": ["BRANCH_LEQ", "LEAF", "LEAF"] * 2,
             "values": [0.5, 0.0, 0.0] * 2, "truenodeids": [1, 0, 0] * 2, "falsenodeids": [2, 0, 0] * 2}
    leaves = {"treeids": [0, 0, 1, 1], "nodeids": [1, 2] * 2, "ids": [0, 1] * 2, "weights": [1.0, 2.0, 3.0, 4.0]}
    return {f"nodes_{k}": v for k, v in nodes.items()} | {f"{kind}_{k}": v for k, v in leaves.items()}


def rarely_used(path):
    """A picture that is decoded, trees and other tables of ai.onnx.ml, quantized products and convolutions, a Loop that collects."""
    picture = io.BytesIO()
    PIL.Image.new("RGB", (5, 3), (10, 200, 30)).save(picture, "PNG")
    ml, body = {"domain": "ai.onnx.ml"}, helper.make_graph(
        [helper.make_node("Identity", ["go"], ["go_on"]), helper.make_node("Add", ["v", "x"], ["w"]), helper.make_node("Relu", ["w"], ["each"])], "body",
        [helper.make_tensor_value_info("i", TensorProto.INT64, []), helper.make_tensor_value_info("go", TensorProto.BOOL, []),
         helper.make_tensor_value_info("v", TensorProto.FLOAT, None)],
        [helper.make_tensor_value_info(n, t, None) for n, t in [("go_on", TensorProto.BOOL), ("w", TensorProto.FLOAT), ("each", TensorProto.FLOAT)]])
    nodes = [helper.make_node("Mul", ["x", "none"], ["off"]), helper.make_node("ReduceSum", ["off"], ["nothing"], keepdims=0),
             helper.make_node("Cast", ["nothing"], ["byte"], to=TensorProto.UINT8), helper.make_node("Add", ["png", "byte"], ["data"]),
             helper.make_node("ImageDecoder", ["data"], ["image"]), helper.make_node("TreeEnsembleRegressor", ["x"], ["scores"], n_targets=2, **ml, **trees("target")),
             helper.make_node("TreeEnsembleClassifier", ["x"], ["label", "odds"], classlabels_strings=["a", "b"], **ml, **trees("class")),
             helper.make_node("ZipMap", ["odds"], ["map"], classlabels_strings=["a", "b"], **ml),
             helper.make_node("SVMRegressor", ["x"], ["svm"], coefficients=[1.0, -1.0], support_vectors=[float(i) for i in range(8)], n_supports=2,
                              kernel_type="RBF", kernel_params=[0.1, 0.0, 3.0], rho=[0.5], **ml),
             helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["q"]), helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["dq"]),
             helper.make_node("DequantizeLinear", ["weights", "scale", "zero8"], ["dw"]), helper.make_node("MatMul", ["dq", "dw"], ["p"]),
             helper.make_node("QuantizeLinear", ["p", "scale", "zero"], ["product"]), helper.make_node("DynamicQuantizeLinear", ["x"], ["dyn", "s", "z"]),
             helper.make_node("MatMulInteger", ["dyn", "weights", "z"], ["sums"]), helper.make_node("Reshape", ["q", "pixels"], ["plane"]),
             helper.make_node("QLinearConv", ["plane", "scale", "zero", "taps", "scale", "zero8", "scale", "zero"], ["filtered"]),
             helper.make_node("Loop", ["three", "yes", "x"], ["last", "all"], body=body)]
    random = np.random.default_rng(0)
    constants = [("none", np.float32(0)), ("png", np.frombuffer(picture.getvalue(), np.uint8)), ("scale", np.float32(0.02)), ("zero", np.uint8(128)),
                 ("zero8", np.int8(0)), ("weights", random.integers(-99, 99, (4, 6), np.int8)), ("taps", random.integers(-99, 99, (3, 1, 2, 2), np.int8)),
                 ("pixels", np.int64([1, 1, 2, 4])), ("three", np.int64(3)), ("yes", np.array(True))]
    return save_model(path, nodes, [("x", TensorProto.FLOAT, [2, 4])], [
        ("image", TensorProto.UINT8, None), ("scores", TensorProto.FLOAT, None), ("label", TensorProto.STRING, None), ("svm", TensorProto.FLOAT, None),
        ("product", TensorProto.UINT8, None), ("sums", TensorProto.INT32, None), ("filtered", TensorProto.UINT8, None), ("last", TensorProto.FLOAT, None),
        ("all", TensorProto.FLOAT, None)], constants, opset=20, domains=[("ai.onnx.ml", 3)])


@pytest.mark.parametrize("pieces", [[], ["--pieces"]])
def test_every_allocation_of_rare_operators_fails(tmp_path, pieces):
    assert "failures tried" in program("allocations", *pieces, rarely_used(tmp_path / "model.onnx"), timeout=300)


def test_every_allocation_of_everything_fails(tmp_path):
    """Every piece of every arena, too, over all that a file can hold."""
    everything(tmp_path / "model.onnx")
    assert "failures tried" in program("allocations", "--pieces", tmp_path / "model.onnx", timeout=300)


@pytest.mark.parametrize("name", ["mynet_ts_bn_dyn", "ctrl_loop"])
def test_every_piece_fails(corpus, name):
    assert "failures tried" in program("allocations", "--pieces", corpus(name) + "/model.onnx", timeout=300)


def test_forks():
    assert "none hung" in program("forks", MYNET, 90)


def test_surroundings():
    assert "nothing else changed" in program("surroundings", MYNET)


def test_crowd():
    assert "all bits equal" in program("crowd", 6, 5, 2, MYNET)


def test_cancel_returns_at_once():
    for limit_ms in (20, 20, 50):  # other tests run beside this one: a machine that is busy for a moment is asked again
        try:
            return program("cancel", 20, limit_ms, MYNET)
        except AssertionError as late:
            seen = late
    raise seen


def test_memory_stays_flat():
    program("soak", 20000, MYNET)


@pytest.fixture
def external(tmp_path):
    """A model with external data, which also keeps an optimized copy of itself busy: y = x + w."""
    folder = tmp_path / "model"
    folder.mkdir()
    path = save_model(folder / "model.onnx", [helper.make_node("Add", ["x", "w"], ["y"])], [("x", TensorProto.FLOAT, [64])],
                      [("y", TensorProto.FLOAT, [64])], [("w", np.arange(64, dtype=np.float32))])
    made = onnx.load(path)
    onnx.save(made, path, save_as_external_data=True, location="data", size_threshold=0)
    np.save(tmp_path / "x.npy", np.ones(64, np.float32))
    return tmp_path


def faulty(fault, *arguments, **options):
    library = os.path.join(BUILD, "tests", "robust", "faults.so")
    if not os.path.exists(library) or "sanitize" in BUILD:
        pytest.skip("the library that makes calls fail cannot be preloaded here")
    return subprocess.run([INGOT, *map(str, arguments)], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
                          env=dict(os.environ, LD_PRELOAD=library, INGOT_FAULT=fault), **options)


@pytest.mark.parametrize("call, number", [("open", errno.EMFILE), ("open", errno.EACCES), ("fstat", errno.EIO), ("openat2", errno.EMFILE),
                                          ("openat2", errno.ENOSYS), ("openat2", errno.EPERM),
                                          ("pread", errno.EIO), ("pread", errno.EINTR), ("pread", 0), ("read", errno.EIO), ("read", errno.EINTR),
                                          ("write", errno.ENOSPC), ("write", errno.EINTR), ("write", 0),
                                          ("close", errno.EIO), ("fsync", errno.EIO), ("fsync", errno.ENOSPC), ("rename", errno.EACCES)])
def test_io_faults(external, call, number):
    """The k-th call fails, for every k that there is: done as if nothing was, or one line and the old output."""
    out = external / "out"
    out.mkdir()
    old = out / "y.npy"
    np.save(old, np.zeros(3))
    before = old.read_bytes()
    clean = 0
    for k in range(1, 60):
        done = faulty(f"{call} {k} {number}", "run", "model/model.onnx", "--input", "x=x.npy", "--output-dir", "out", "--threads", "1", cwd=external)
        assert done.returncode in (OK, LIMIT, IO, 5), (k, done.returncode, done.stderr)
        assert os.listdir(out) == ["y.npy"], (k, done.stderr)
        if done.returncode:
            assert done.stderr.count("\n") == 1 and done.stderr.startswith("ingot: "), done.stderr
            assert old.read_bytes() == before, (k, done.stderr)
            clean = 0
        else:
            assert np.load(old)[5] == 6
            old.write_bytes(before)
            clean += 1
        if clean == 8:
            break


@pytest.mark.parametrize("call, number", [("open", errno.EMFILE), ("open", errno.EACCES), ("fsync", errno.EIO), ("rename", errno.EACCES), ("fstat", errno.EIO),
                                          ("pread", errno.EIO), ("pread", 0)])
def test_io_faults_while_saving(external, call, number):
    """As above, for a model that is saved over an old one."""
    out = external / "out.onnx"
    clean = 0
    for k in range(1, 60):
        out.write_bytes(b"old")
        done = faulty(f"{call} {k} {number}", "optimize", "model/model.onnx", "-o", "out.onnx", "--threads", "1", cwd=external)
        assert done.returncode in (OK, LIMIT, IO), (k, done.returncode, done.stderr)
        assert not [name for name in os.listdir(external) if name.endswith(".tmp")]
        assert (out.read_bytes() == b"old") == (done.returncode != OK) and done.stderr.count("\n") == (done.returncode != OK), (k, done.stderr)
        clean = 0 if done.returncode else clean + 1
        if clean == 8:
            break
    assert clean == 8


@pytest.mark.parametrize("location, make, code", [
    ("data", None, OK), ("d/data", None, OK), ("d//data", None, OK), ("link", "data", 4), ("d/link", "data", 4), ("../outside", None, 4),
    ("up/data", "..", 4), ("d/../data", None, 4), ("d", None, IO), ("nothing", None, IO), ("d/" + "n" * 300, None, (IO, 4)), ("data/", None, IO),
    ("data/data", None, IO)])
@pytest.mark.parametrize("number", [0, errno.ENOSYS, errno.EPERM])
def test_external_data_without_openat2(external, location, make, code, number):
    """Where the kernel has no openat2, or a sandbox does not let it pass: the same rules, but no links at all and no "..";
    with it (number 0) links and ".." that stay within the folder are fine."""
    folder = external / "model"
    (folder / "d").mkdir()
    for path in (folder / "d" / "data", external / "outside"):
        path.write_bytes((folder / "data").read_bytes())
    if make:
        os.symlink(make, folder / location.split("/data")[0])
    model = onnx.load(folder / "model.onnx", load_external_data=False)
    model.graph.initializer[0].external_data[0].value = location
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    done = faulty(f"openat2 {1 if number else 0} {number}", "run", "model/model.onnx", "--input", "x=x.npy", "--quiet", cwd=external)
    stays = location in ("link", "d/link", "d/../data")
    code = code if isinstance(code, int) else code[number > 0]
    assert done.returncode == (OK if not number and stays else code), done.stderr
    assert done.stderr.count("\n") == (done.returncode != OK)
    assert "Not a directory" not in done.stderr or location == "data/data" or location == "data/", done.stderr


@pytest.fixture(scope="module")
def dumped(tmp_path_factory):
    """A folder with MyNet's input, its output, and the values inside it as their names and as a list of labels."""
    folder = tmp_path_factory.mktemp("dumped")
    model = onnx.load(MYNET)
    names = [n.output[0] for n in model.graph.node if n.output[0] != model.graph.output[0].name]
    model.graph.output.extend(helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in names)
    x = np.random.default_rng(0).standard_normal([1, 3, 32, 32]).astype(np.float32)
    outputs = ReferenceEvaluator(model).run(None, {model.graph.input[0].name: x})
    np.savez(folder / "x.npz", x=x)
    np.savez(folder / "dump.npz", input_0=x, output_0=outputs[0])
    np.savez(folder / "layers.npz", **dict(zip(names, outputs[1:])))
    (folder / "labels").write_text("\n".join("abcdefghij"))
    return folder


@pytest.mark.parametrize("command", ["run MODEL --input x.npz --output-dir out --format pb --labels labels --checksum",
                                     "verify MODEL dump.npz --layers layers.npz --json", "verify MODEL dump.npz --bisect-passes",
                                     "verify MODEL dump.npz --layers layers.npz --html page.html", "inspect MODEL --json", "inspect MODEL --dot",
                                     "inspect MODEL", "inspect --support --json", "bench MODEL --iterations 2 --warmup 1 --json",
                                     "optimize MODEL -o out.onnx", "profile MODEL --iterations 1 --html page.html --trace trace.json"])
def test_memory_that_cannot_be_had(dumped, command):
    """The k-th allocation fails, for every k that there is: one line and exit code 6, or done as if nothing was."""
    arguments = command.replace("MODEL", MYNET).split()
    clean = failed = 0
    for k in range(1, 2000):
        done = faulty(f"malloc {k} {errno.ENOMEM}", *arguments, "--threads", "1", cwd=dumped)
        assert done.returncode in (OK, LIMIT), (k, done.returncode, done.stderr)
        assert done.stderr.count("\n") == (done.returncode == LIMIT), (k, done.stderr)
        failed += done.returncode == LIMIT
        clean = 0 if done.returncode else clean + 1
        if clean == 8:
            break
    assert clean == 8 and failed > 2


@pytest.mark.parametrize("k", [1, 2, 3])
def test_threads_that_cannot_be_had(external, k):
    done = faulty(f"pthread_create {k} {errno.EAGAIN}", "run", MYNET, "--threads", "4", "--quiet", cwd=external)
    assert done.returncode == OK, done.stderr


def test_full_disk(external):
    with open("/dev/full", "w") as full:
        done = subprocess.run([INGOT, "run", "model/model.onnx"], cwd=external, stdin=subprocess.DEVNULL, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == IO and done.stderr == "ingot: cannot write standard output: No space left on device\n"


@pytest.fixture
def tiny(tmp_path):
    """A file system of 64 KiB; skips where none may be mounted."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder], capture_output=True).returncode:
        pytest.skip("nothing can be mounted here")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_disk_that_is_full(tiny, large):
    """Outputs and models that do not fit leave what was there, and nothing else."""
    old = tiny / "y.npy"
    np.save(old, np.zeros(3))
    model = tiny / "out.onnx"
    model.write_bytes(b"old")
    before = old.read_bytes()
    (tiny / "rest").write_bytes(bytes(40 << 10))
    for arguments in (["run", large / "large.onnx", "--output-dir", tiny, "--quiet"], ["optimize", large / "large.onnx", "-o", model]):
        done = subprocess.run([INGOT, *map(str, arguments)], stdin=subprocess.DEVNULL, capture_output=True, text=True)
        assert done.returncode == IO and done.stderr.count("\n") == 1 and "No space left" in done.stderr, done.stderr
    assert sorted(os.listdir(tiny)) == ["out.onnx", "rest", "y.npy"] and old.read_bytes() == before and model.read_bytes() == b"old"


def test_killed_while_writing(large, ingot):
    """Whenever the process is killed, the output is the old file or the new one, whole."""
    new = large / "new.onnx"
    assert ingot("optimize", large / "large.onnx", "-o", new).code == OK
    whole = {b"old", new.read_bytes()}
    random = np.random.default_rng(0)
    begun = time.monotonic()
    ingot("optimize", large / "large.onnx", "-o", new)
    takes = time.monotonic() - begun
    seen = set()
    for moment in random.uniform(0, 1.2 * takes, 60):
        new.write_bytes(b"old")
        with subprocess.Popen([INGOT, "optimize", str(large / "large.onnx"), "-o", str(new)]) as process:
            time.sleep(moment)
            process.kill()
        seen.add(new.read_bytes())
        assert seen <= whole
    assert seen


def test_quota_of_a_control_group(external):
    """Threads and memory as the process's own group is granted them, not only the root."""
    groups = {line.split(":")[1]: line.split(":")[2] for line in open("/proc/self/cgroup").read().splitlines()}
    version2 = "cpu" not in ",".join(groups)
    above = "/sys/fs/cgroup" + ("" if version2 else "/cpu")
    outer = os.path.join(above, f"ingot-test-{os.getpid()}")
    inner = os.path.join(outer, "inner")
    try:
        os.makedirs(inner)
        with open(os.path.join(outer, "cpu.max" if version2 else "cpu.cfs_quota_us"), "w") as file:
            file.write("100000 100000" if version2 else "100000")
    except OSError as error:
        for folder in (inner, outer):
            if os.path.isdir(folder):
                os.rmdir(folder)
        pytest.skip(f"no group can be made here: {error}")
    try:
        command = f'echo $$ > {inner}/cgroup.procs && exec {INGOT} bench {MYNET} --iterations 1 --json'
        done = subprocess.run(["sh", "-c", command], capture_output=True, text=True)
        assert done.returncode == OK and json.loads(done.stdout)["threads"] == 1, done.stdout + done.stderr
    finally:
        os.rmdir(inner)
        os.rmdir(outer)


def test_affinity_is_respected():
    one = min(os.sched_getaffinity(0))
    done = subprocess.run(["taskset", "-c", str(one), INGOT, "bench", MYNET, "--iterations", "1", "--json"], capture_output=True, text=True)
    assert json.loads(done.stdout)["threads"] == 1


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", ">&- 2>&- <&-"])
def test_closed_streams(external, closed):
    command = f"exec {INGOT} run model/model.onnx --input x=x.npy --output-dir out {closed}"
    assert subprocess.run(["sh", "-c", command], cwd=external).returncode == OK
    assert np.load(external / "out" / "y.npy")[5] == 6


def test_files_opened(external):
    """The model, its data, the inputs and outputs, and the system's own files: nothing else, and no network."""
    if subprocess.run(["strace", "-V"], capture_output=True).returncode if os.path.exists("/usr/bin/strace") else True:
        pytest.skip("strace is not here")
    log = external / "log"
    subprocess.run(["strace", "-f", "-qq", "-o", log, "-e", "trace=open,openat,openat2,creat,socket,connect,execve", INGOT, "run", "model/model.onnx",
                    "--input", "x=x.npy", "--output-dir", "out"], cwd=external, check=True, capture_output=True)
    lines = log.read_text().splitlines()
    assert not any("socket(" in line or "connect(" in line for line in lines)
    assert sum("execve(" in line for line in lines) == 1
    opened = {line.split('"')[1] for line in lines if "open" in line and '"' in line}
    ours = {path for path in opened if not path.startswith(("/lib", "/usr/lib", "/etc/ld.so", "/sys/", "/proc/", "/dev/"))}
    assert ours <= {"model/model.onnx", "model/", "data", "x.npy"} | {path for path in ours if path.startswith("out/y.npy")}, ours


@pytest.fixture
def large(tmp_path):
    """A model of 6 MiB, of which most stays in its file until it is run: y = (x w) v + b; and the same with external data."""
    random = np.random.default_rng(0)
    path = save_model(tmp_path / "large.onnx", [helper.make_node("MatMul", ["x", "w"], ["t"]), helper.make_node("MatMul", ["t", "v"], ["u"]),
                                                helper.make_node("Add", ["u", "b"], ["y"])],
                      [("x", TensorProto.FLOAT, [16, 1024])], [("y", TensorProto.FLOAT, [16, 1024])],
                      [("w", random.standard_normal((1024, 512), np.float32)), ("v", random.standard_normal((512, 1024), np.float32)),
                       ("b", random.standard_normal((16, 1024), np.float32))])
    onnx.save(onnx.load(path), tmp_path / "apart.onnx", save_as_external_data=True, location="large.data", size_threshold=0)
    return tmp_path


@pytest.mark.parametrize("files", [["large.onnx"], ["apart.onnx", "large.data"]])
def test_files_that_change(large, tmp_path_factory, files):
    """Cut short, written over, removed or replaced, between load and run and at random moments: an error or the right bits."""
    assert "no signal" in program("changing", 60, tmp_path_factory.mktemp("copies"), *(large / name for name in files))


@pytest.mark.parametrize("number", [errno.EIO, errno.EINTR, 0])
@pytest.mark.parametrize("name", ["large.onnx", "apart.onnx"])
def test_reads_that_fail(large, name, number):
    """The k-th read of a model that stays in its file: refused in one line, until there is no k-th read."""
    failed = 0
    for k in range(1, 200):
        done = faulty(f"pread {k} {number}", "run", large / name, "--threads", "1", "--quiet")
        assert done.returncode in (OK, IO) and (done.returncode == OK or done.stderr.count("\n") == 1), (k, done.stderr)
        failed += done.returncode == IO
        if k > 2 and done.returncode == OK and number != errno.EINTR:
            break
    assert failed == 0 if number == errno.EINTR else 2 < failed < 150


def test_a_shrinking_file_is_refused(external, ingot):
    """External data that is shorter than the model says, whenever it was cut."""
    with open(external / "model" / "data", "r+b") as data:
        data.truncate(100)
    done = ingot("run", external / "model" / "model.onnx")
    assert done.code == 4 and "'data'" in done.err


def test_dynamic_steps_need_no_more_each_time(ingot, tmp_path):
    """A product with something fused behind it, whose shapes only the run tells: a thousand runs take the memory of one."""
    nodes = [helper.make_node("Compress", ["x", "shown"], ["some"], axis=0), helper.make_node("Reshape", ["some", "shape"], ["a"]),
             helper.make_node("MatMul", ["a", "b"], ["m"]), helper.make_node("Add", ["m", "mask"], ["y"])]
    path = save_model(tmp_path / "m.onnx", nodes, [("x", TensorProto.FLOAT, [4, 100, 4]), ("shown", TensorProto.BOOL, [4]), ("b", TensorProto.FLOAT, [2, 2, 4, 600])],
                      [("y", TensorProto.FLOAT, None)], [("shape", np.int64([2, 2, 50, 4])), ("mask", np.random.default_rng(1).random((1, 1, 50, 600), np.float32))])
    np.save(tmp_path / "shown.npy", np.array([1, 0, 1, 0], bool))
    done = ingot("bench", path, "--input", f"shown={tmp_path}/shown.npy", "--threads", "1", "--iterations", "1000", "--max-memory", "4M", "--quiet")
    assert done.code == 0, done.err
