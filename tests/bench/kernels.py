"""Times the kernels alone, on one thread, on every distinct convolution and matrix product of some models, against the
processor's multiply-add peak.

    python tests/bench/kernels.py [--isa avx2] [--free N] [--bench build/tests/bench/bench_kernels] [--rows] MODEL.onnx [...]

--rows prints the shapes instead, in the form that bench_kernels reads. Shapes come from onnx's shape inference, every free
dimension being N. A line ends with how often its shape occurs.
"""
import argparse
import collections
import os
import subprocess
import sys

import onnx

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def shapes_of(graph):
    shapes = {i.name: list(i.dims) for i in graph.initializer}
    for info in [*graph.input, *graph.output, *graph.value_info]:
        shapes.setdefault(info.name, [d.dim_value for d in info.type.tensor_type.shape.dim])
    return shapes


def conv_row(node, x, w, y):
    """A convolution of one or two spatial axes; None for others."""
    rank = len(x) - 2
    attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    if rank not in (1, 2) or not all(x) or not all(y):
        return None
    two = lambda values, fill: [fill] * (2 - rank) + list(values)
    strides, dilations = (two(attributes.get(name, [1] * rank), 1) for name in ("strides", "dilations"))
    kernel, size, out = two(w[2:], 1), two(x[2:], 1), two(y[2:], 1)
    pads = two(attributes.get("pads", [0] * 2 * rank)[:rank], 0)
    if attributes.get("auto_pad", b"NOTSET") in (b"SAME_UPPER", b"SAME_LOWER"):
        pads = [max(0, (o - 1) * s + (k - 1) * d + 1 - n) // 2 for o, s, k, d, n in zip(out, strides, kernel, dilations, size)]
    return ("conv", x[0], x[1], w[0], attributes.get("group", 1), *size, *kernel, *strides, *dilations, *pads, *out)


def product_row(node, a, b):
    """A product with a matrix that is a constant."""
    attributes = {x.name: onnx.helper.get_attribute_value(x) for x in node.attribute}
    if len(b) != 2 or not all(a) or not a:
        return None
    k, n = (b[1], b[0]) if attributes.get("transB") else b
    m = 1
    for size in a:
        m *= size
    return ("gemm", m // k, n, k) if m >= k else None


def rows_of(path, free):
    model = onnx.load(path)
    for info in model.graph.input:
        for d in info.type.tensor_type.shape.dim:
            d.dim_value = d.dim_value or free
    for info in model.graph.output:
        info.type.tensor_type.ClearField("shape")
    del model.graph.value_info[:]
    model = onnx.shape_inference.infer_shapes(model, data_prop=True)
    shapes = shapes_of(model.graph)
    constants = {i.name for i in model.graph.initializer}
    rows = collections.Counter()
    for node in model.graph.node:
        known = [shapes.get(name) for name in [*node.input[:2], node.output[0]]]
        if node.op_type == "Conv" and all(known):
            rows[conv_row(node, *known)] += 1
        elif node.op_type in ("Gemm", "MatMul") and len(node.input) > 1 and node.input[1] in constants and all(known[:2]):
            rows[product_row(node, *known[:2])] += 1
    rows.pop(None, None)
    name = os.path.basename(os.path.dirname(path)) if os.path.basename(path) == "model.onnx" else os.path.basename(path)
    return [f"network {name}"] + [" ".join(map(str, [row[0], n, *row[1:]])) + f", {n} of them" * (n > 1) for row, n in rows.items()]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--isa", action="append", default=[])
    parser.add_argument("--bench", default=os.path.join(ROOT, "build", "tests", "bench", "bench_kernels"))
    parser.add_argument("--free", type=int, default=1, help="size of free dimensions (default 1)")
    parser.add_argument("--rows", action="store_true")
    parser.add_argument("models", nargs="+")
    options = parser.parse_args()
    rows = "\n".join(row for path in options.models for row in rows_of(path, options.free)) + "\n"
    if options.rows:
        print(rows, end="")
        return
    sys.exit(subprocess.run([options.bench, *options.isa], input=rows, text=True).returncode)


if __name__ == "__main__":
    main()
