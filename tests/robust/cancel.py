"""How long a cancelled run goes on: cancel.py [--build DIR] [--moments 200] [--limit 20] CORPUS [NAME ...]

Each model is cancelled at random moments by ingot_session_cancel() and by a deadline, on one thread and on all (cancel.c). Without
names: models of CORPUS that are measured otherwise too, and ones of a single long node, made here.
"""
import argparse
import os
import subprocess
import sys
import tempfile

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BENCH = ["mynet_ts_bn_dyn", "resnet18", "resnet50", "mobilenet_v2", "efficientnet_b0", "unet", "dcgan", "yolo", "vit_tiny", "bert6",
         "diffusion_block", "char_lstm", "densenet121", "squeezenet1_1", "shufflenet_v2", "googlenet", "regnet_x_400mf", "convnext_atto", "gru",
         "bilstm", "espcn", "mobilenet_v3_small", "decoder_step"]


def single(folder, name, node, inputs, weights, output):
    """A model of one node: inputs and output by shape, weights by name and shape, or as they are."""
    random = np.random.default_rng(0)
    constants = [numpy_helper.from_array(given if isinstance(given, np.ndarray) else random.standard_normal(given, np.float32) * 0.05, key)
                 for key, given in weights.items()]
    values = [helper.make_tensor_value_info(key, TensorProto.FLOAT, shape) for key, shape in inputs.items()]
    graph = helper.make_graph([node], name, values, [helper.make_tensor_value_info("y", TensorProto.FLOAT, output)], constants)
    path = os.path.join(folder, name + ".onnx")
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def long_nodes(folder):
    """Nodes of up to a second: Winograd and other convolutions, products, what fills or moves memory, a recurrent cell."""
    conv = {"pads": [1, 1, 1, 1]}
    return [
        single(folder, "conv3x3", helper.make_node("Conv", ["x", "w"], ["y"], **conv), {"x": [1, 128, 384, 384]}, {"w": [256, 128, 3, 3]},
               [1, 256, 384, 384]),
        single(folder, "conv1x1", helper.make_node("Conv", ["x", "w"], ["y"]), {"x": [1, 512, 256, 256]}, {"w": [1024, 512, 1, 1]}, [1, 1024, 256, 256]),
        single(folder, "conv7x7", helper.make_node("Conv", ["x", "w"], ["y"], pads=[3] * 4), {"x": [1, 32, 384, 384]}, {"w": [128, 32, 7, 7]},
               [1, 128, 384, 384]),
        single(folder, "product", helper.make_node("MatMul", ["x", "w"], ["y"]), {"x": [3000, 3000]}, {"w": [3000, 3000]}, [3000, 3000]),
        single(folder, "large_weights", helper.make_node("MatMul", ["x", "w"], ["y"]), {"x": [16, 6000]}, {"w": [6000, 6000]}, [16, 6000]),
        single(folder, "product_of_inputs", helper.make_node("MatMul", ["x", "w"], ["y"]), {"x": [2500, 2500], "w": [2500, 2500]}, {}, [2500, 2500]),
        single(folder, "erf", helper.make_node("Erf", ["x"], ["y"]), {"x": [1, 64, 1024, 1024]}, {}, [1, 64, 1024, 1024]),
        single(folder, "sum_of_two", helper.make_node("Add", ["x", "z"], ["y"]), dict.fromkeys("xz", [64, 1024, 1024]), {}, [64, 1024, 1024]),
        single(folder, "transpose", helper.make_node("Transpose", ["x"], ["y"], perm=[2, 1, 0]), {"x": [64, 1024, 1024]}, {}, [1024, 1024, 64]),
        single(folder, "maxpool", helper.make_node("MaxPool", ["x"], ["y"], kernel_shape=[3, 3], pads=[1] * 4), {"x": [1, 64, 768, 768]}, {}, [1, 64, 768, 768]),
        single(folder, "repeat", helper.make_node("Tile", ["x", "n"], ["y"]), {"x": [1, 64, 1024]}, {"n": np.array([64, 16, 1])}, [64, 1024, 1024]),
        single(folder, "pad", helper.make_node("Pad", ["x", "n"], ["y"]), {"x": [8, 64, 64]}, {"n": np.array([0, 1400, 1400] * 2)}, [8, 2864, 2864]),
        single(folder, "resize", helper.make_node("Resize", ["x", "", "n"], ["y"]), {"x": [1, 8, 180, 180]},
               {"n": np.array([1, 1, 16, 16], np.float32)}, [1, 8, 2880, 2880]),
        single(folder, "running_sum", helper.make_node("CumSum", ["x", "n"], ["y"]), {"x": [64, 1024, 1024]}, {"n": np.array([0])}, [64, 1024, 1024]),
        single(folder, "softmax", helper.make_node("Softmax", ["x"], ["y"]), {"x": [64, 1024, 1024]}, {}, [64, 1024, 1024]),
        single(folder, "lstm", helper.make_node("LSTM", ["x", "w", "r"], ["y"], hidden_size=512), {"x": [200, 32, 512]},
               {"w": [1, 2048, 512], "r": [1, 2048, 512]}, [200, 1, 32, 512]),
    ]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("corpus")
    parser.add_argument("names", nargs="*")
    parser.add_argument("--build", default=os.path.join(ROOT, "build"))
    parser.add_argument("--moments", type=int, default=200)
    parser.add_argument("--limit", type=float, default=20)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        made = {os.path.basename(path)[:-5]: path for path in long_nodes(folder)}
        late = []
        for name in given.names or BENCH + list(made):
            path = made.get(name) or os.path.join(given.corpus, name, "model.onnx")
            if not os.path.exists(path):
                sys.exit(f"{path}: no such model")
            done = subprocess.run([os.path.join(given.build, "tests", "robust", "cancel"), str(given.moments), str(given.limit), path],
                                  capture_output=True, text=True)
            print(done.stdout.replace(path, name), done.stderr, sep="", end="", flush=True)
            late += [name] * (done.returncode != 0)
    print("late:", *late or ["none"])
    sys.exit(len(late) > 0)


if __name__ == "__main__":
    main()
