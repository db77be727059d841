"""What a call from Python costs beside onnxruntime: microseconds for a run of one Relu of four floats, on one thread; and what two
Python threads get done in a second, over what one does, with a model of 20 ms whose runs have one thread each.

    python tests/bench/python_call.py          needs the installed package, onnx and onnxruntime
"""
import statistics
import threading
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


def matmuls():
    """Products of 512 x 512, some 20 ms of them."""
    weights = helper.make_tensor("w", TensorProto.FLOAT, [512, 512], np.full(512 * 512, 1 / 512, "float32"))
    nodes = [helper.make_node("MatMul", [f"t{i}" if i else "x", "w"], [f"t{i + 1}" if i < 7 else "y"]) for i in range(8)]
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 512]) for name in ("x", "y")]
    graph = helper.make_graph(nodes, "many", infos[:1], infos[1:], [weights])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()


def runs_in_a_second(run, feed, n_threads, seconds=1.0):
    counts, end = [0] * n_threads, time.perf_counter() + seconds

    def work(i):
        while time.perf_counter() < end:
            run(None, feed)
            counts[i] += 1

    threads = [threading.Thread(target=work, args=(i,)) for i in range(n_threads)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / seconds


def scaling():
    feed = {"x": np.ones((512, 512), "float32")}
    for name, engine in (("ingot", ingot), ("onnxruntime", onnxruntime)):
        run = session(engine, matmuls()).run
        rates = {n: [] for n in (1, 2)}
        for _ in range(3):
            for n in rates:
                rates[n].append(runs_in_a_second(run, feed, n))
        one, two = (statistics.median(rates[n]) for n in (1, 2))
        print(f"{name} {one:.0f} runs a second on one thread, {two:.0f} on two: {two / one:.2f} times")


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
    scaling()


if __name__ == "__main__":
    main()
