"""Shows why bert2_dynint8 of the corpus cannot agree with its stored outputs: they were computed by products of unsigned and signed
bytes whose pairs saturate at 16 bits (vpmaddubsw), not by the exact sums that MatMulInteger defines and Ingot computes.

    python tests/saturation.py FOLDER        a folder with model.onnx and test_data_set_K; needs onnx, numpy and onnxruntime

Runs the model with onnx.reference, once with exact products and once with saturating ones, and with the onnxruntime of this machine
(exact where the processor has VNNI), and prints the largest difference of each output from the stored one.
"""
import glob
import os
import sys

import numpy as np
import onnx
from onnx import numpy_helper
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun


def products(saturate):
    """MatMulInteger of bytes, with the sum of every two neighbouring products clipped to 16 bits or not."""

    class MatMulInteger(OpRun):
        def _run(self, a, b, a_zero_point=None, b_zero_point=None):
            x, w = a.astype(np.int64), b.astype(np.int64)
            zero = 0 if a_zero_point is None else int(np.ravel(a_zero_point)[0])
            if b_zero_point is not None and np.any(b_zero_point):
                return ((x - zero) @ (w - b_zero_point.astype(np.int64))).astype(np.int32),
            total = np.zeros(x.shape[:-1] + (w.shape[1],), np.int64)
            for k in range(0, x.shape[-1], 2):
                pair = x[..., k:k + 2] @ w[k:k + 2]
                total += np.clip(pair, -32768, 32767) if saturate else pair
            return (total - zero * w.sum(0)).astype(np.int32),

    return MatMulInteger


class GatherElements(OpRun):
    """The evaluator's own cannot gather one row."""

    def _run(self, data, indices, axis=0):
        return np.take_along_axis(data, np.where(indices < 0, indices + data.shape[axis], indices), axis),


def tensors(folder, kind):
    paths = sorted(glob.glob(os.path.join(folder, f"{kind}_*.pb")))
    return [numpy_helper.to_array(onnx.load_tensor(path)) for path in paths]


def load(folder):
    model = onnx.load(os.path.join(folder, "model.onnx"))
    for opset in model.opset_import:
        if opset.domain in ("", "ai.onnx"):
            opset.version = max(opset.version, 19)       # the evaluator has no older DequantizeLinear
    return model


def evaluate(model, inputs, saturate):
    session = ReferenceEvaluator(model, new_ops=[products(saturate), GatherElements])
    return session.run(None, dict(zip([i.name for i in model.graph.input], inputs)))


def by_onnxruntime(folder, inputs):
    import onnxruntime
    session = onnxruntime.InferenceSession(os.path.join(folder, "model.onnx"), providers=["CPUExecutionProvider"])
    return session.run(None, dict(zip([i.name for i in session.get_inputs()], inputs)))


def main():
    folder = sys.argv[1]
    model = load(folder)
    ways = {"exact": lambda x: evaluate(model, x, False), "saturating": lambda x: evaluate(model, x, True),
            "onnxruntime here": lambda x: by_onnxruntime(folder, x)}
    for data in sorted(glob.glob(os.path.join(folder, "test_data_set_*"))):
        for name, way in ways.items():
            worst = [float(np.abs(o - e).max()) for o, e in zip(way(tensors(data, "input")), tensors(data, "output"))]
            print(os.path.basename(data), name, *(f"{w:.3g}" for w in worst))


if __name__ == "__main__":
    main()
