"""What a call from Python costs beside onnxruntime: microseconds for a run of one Relu of four floats, on one thread.

    python tests/bench/python_call.py          needs the installed package, onnx and onnxruntime
"""
import statistics
import time

import numpy as np
import onnxruntime
from onnx import TensorProto, helper

import ingot

CALLS, ROUNDS = 20000, 9


def session(engine, model):
    options = engine.SessionOptions()
    options.intra_op_num_threads = 1
    return engine.InferenceSession(model, options)


def microseconds(run, feed):
    start = time.perf_counter()
    for _ in range(CALLS):
        run(None, feed)
    return (time.perf_counter() - start) / CALLS * 1e6


def main():
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 4]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "one", infos[:1], infos[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()
    feed = {"x": np.ones((1, 4), "float32")}
    runs = {name: session(engine, model).run for name, engine in (("ingot", ingot), ("onnxruntime", onnxruntime))}
    times = {name: [] for name in runs}
    for _ in range(ROUNDS):
        for name, run in runs.items():
            times[name].append(microseconds(run, feed))
    ratio = statistics.median(a / b for a, b in zip(times["ingot"], times["onnxruntime"]))
    print(*(f"{name} {statistics.median(t):.2f} us" for name, t in times.items()), f"ratio {ratio:.2f}", sep="   ")


if __name__ == "__main__":
    main()
