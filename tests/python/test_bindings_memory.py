"""The Python package copies neither inputs nor outputs, and lets other threads work while a model runs."""
import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from conftest import save_model
from onnx import TensorProto, helper

if os.environ.get("INGOT_BINDINGS"):     # tests/run.py has built it: then it must import
    import ingot
else:
    ingot = pytest.importorskip("ingot")

MEASURE = """
import sys
import numpy as np
import ingot

MIB = 1 << 20

def grown(work):
    "MiB that the process needed at once, beyond those that it had before."
    with open("/proc/self/clear_refs", "w") as f:
        f.write("5")                      # the peak counts from here
    read = lambda key: next(int(line.split()[1]) / 1024 for line in open("/proc/self/status") if line.startswith(key))
    before = read("VmRSS")
    result = work()
    return read("VmHWM") - before, result

options = ingot.SessionOptions()
options.intra_op_num_threads = 1
session = ingot.InferenceSession(sys.argv[1], options)
x = np.full((64, MIB // 4), -1, np.float32)                                   # 64 MiB
session.run(None, {"x": x[:1]})
plain, (y,) = grown(lambda: session.run(None, {"x": x}))
assert not y.any() and y.shape == x.shape
del y
binding, out = session.io_binding(), np.ones_like(x)
binding.bind_cpu_input("x", x)
binding.bind_ortvalue_output("y", ingot.OrtValue.ortvalue_from_numpy(out))
bound, _ = grown(lambda: session.run_with_iobinding(binding))
assert not out.any()
print(plain, bound)
"""


def test_nothing_is_copied(tmp_path):
    """A run of 64 MiB in and 64 MiB out needs the result's memory and no more; where that is bound, none at all."""
    model = save_model(tmp_path / "m.onnx", [helper.make_node("Relu", ["x"], ["y"])], [("x", TensorProto.FLOAT, ["N", "M"])],
                       [("y", TensorProto.FLOAT, ["N", "M"])])
    done = subprocess.run([sys.executable, "-c", MEASURE, model], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    plain, bound = map(float, done.stdout.split())
    assert 60 < plain < 80 and bound < 16, done.stdout


@pytest.fixture
def slow(tmp_path):
    """A session whose runs take some tenths of a second, and its input."""
    w = np.ones((1024, 1024), np.float32)
    nodes = [helper.make_node("MatMul", [f"t{i}" if i else "x", "w"], [f"t{i + 1}" if i < 7 else "y"]) for i in range(8)]
    path = save_model(tmp_path / "slow.onnx", nodes, [("x", TensorProto.FLOAT, ["N", 1024])], [("y", TensorProto.FLOAT, ["N", 1024])], [("w", w)])
    options = ingot.SessionOptions()
    options.intra_op_num_threads = 1
    session, x = ingot.InferenceSession(path, options), np.zeros((1024, 1024), np.float32)
    session.run(None, {"x": x})
    return session, x


def test_other_threads_work_meanwhile(slow):
    """Two runs of one session object overlap: the second begins before the first has ended."""
    session, x = slow
    session.run(None, {"x": x})
    spans = []

    def work():
        begin = time.monotonic()
        for _ in range(3):
            session.run(None, {"x": x})
        spans.append((begin, time.monotonic()))

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    ticks = 0
    while any(thread.is_alive() for thread in threads):
        ticks += 1
        time.sleep(0.001)
    assert max(begin for begin, _ in spans) < min(end for _, end in spans)
    assert ticks >= 10       # this thread was awake meanwhile


def test_terminate(slow):
    session, x = slow
    options = ingot.RunOptions()
    timer = threading.Timer(0.05, setattr, (options, "terminate", True))
    timer.start()
    with pytest.raises(ingot.RunCancelled):
        for _ in range(1000):
            session.run(None, {"x": x}, options)
    with pytest.raises(ingot.RunCancelled):
        session.run(None, {"x": x}, options)
    options.terminate = False
    assert session.run(None, {"x": x}, options)[0].shape == x.shape
    assert session.run(None, {"x": x})[0].shape == x.shape


def test_results_of_large_runs_are_the_callers(slow):
    """Arrays that the run wrote to in place stay as they were when the next run comes."""
    session, x = slow
    first = session.run(None, {"x": x})[0]
    second = session.run(["y"], {"x": x + 1})[0]
    third = session.run(None, {"x": x[:3] + 1})[0]
    assert not first.any() and second.all() and third.shape == (3, 1024) and np.array_equal(third, second[:3])
