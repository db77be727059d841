"""Seeded faults: breaks one thing in each of 30 models and asks `ingot verify --layers` which node it was.

    build/venv/bin/python tests/faults.py [--corpus DIR] [--models N] [--only NAME] [--keep DIR]

The dump of layers is what onnxruntime computes of the sound model, every value of it. Prints a line for each model and the
share that was found; exits 1 unless all were.
"""
import argparse
import collections
import json
import os
import subprocess
import sys
import tempfile

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
INGOT = os.environ.get("INGOT") or os.path.join(ROOT, "build", "ingot")
LEAST = 2e-6        # of the size of the node's output: what moves it by less is near the rounding of float32, or meets zeros only
MODELS = """mynet mynet_ts mynet_op23 bn_conv bn_depthwise_ts bn_grouped bn_linear bn_convtranspose bn_residual_ts bn_conv1d bn_conv3d_ts
bn_after_relu bn_large_eps bn_tiny_var_ts bn_two_users_ts bn_relu6_hardswish espcn ops_norm ops_conv ops_activations_ts char_lstm yolo yolo_ts
bert2_ts diffusion_block squeezenet1_1 mobilenet_v3_small shufflenet_v2 mobilenet_v2 resnet18""".split()


# ---- faults: each takes a node and the initializers by name, and returns what it did or None where it cannot ----

def replace(model, node, slot, array):
    """Give the node an initializer of its own at `slot`."""
    name = f"{node.input[slot]}.broken"
    model.graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
    node.input[slot] = name


def weight_of(node, weights, slot=1):
    name = node.input[slot] if len(node.input) > slot else ""
    return numpy_helper.to_array(weights[name]) if name in weights else None


def break_weight(model, node, weights, rng):
    w = weight_of(node, weights) if node.op_type in ("Conv", "ConvTranspose", "Gemm", "MatMul") else None
    if w is None or w.dtype != np.float32 or w.size < 4:
        return None
    w = w.copy()
    at = tuple(rng.integers(n) for n in w.shape)
    w[at] += np.float32(3 * w.std())
    replace(model, node, 1, w)
    return f"weight {list(map(int, at))} changed"


def break_epsilon(model, node, weights, rng):
    if node.op_type not in ("BatchNormalization", "LayerNormalization", "InstanceNormalization", "GroupNormalization"):
        return None
    old = next((a.f for a in node.attribute if a.name == "epsilon"), 1e-5)
    kept = [a for a in node.attribute if a.name != "epsilon"]
    del node.attribute[:]
    node.attribute.extend([*kept, helper.make_attribute("epsilon", 1e-3 if old < 5e-4 else 10 * old)])
    return f"epsilon {old:g} changed"


def break_pad(model, node, weights, rng):
    pads = next((a for a in node.attribute if a.name == "pads"), None)
    if node.op_type not in ("Conv", "MaxPool", "AveragePool") or pads is None or not any(pads.ints):
        return None
    half = len(pads.ints) // 2
    axis = next(i for i in range(half) if pads.ints[i] or pads.ints[half + i])
    moved = pads.ints[axis]
    pads.ints[axis], pads.ints[half + axis] = (0, pads.ints[half + axis] + moved) if moved else (pads.ints[half + axis], 0)
    return "a pad moved to the other side"


def break_kernel(model, node, weights, rng):
    w = weight_of(node, weights) if node.op_type in ("Conv", "ConvTranspose") else None
    if w is None or w.ndim < 4 or w.shape[-1] != w.shape[-2] or w.shape[-1] < 2:
        return None
    replace(model, node, 1, np.swapaxes(w, -1, -2))
    return "kernel transposed"


def break_statistics(model, node, weights, rng):
    if node.op_type != "BatchNormalization" or any(node.input[i] not in weights for i in (3, 4)):
        return None
    node.input[3], node.input[4] = node.input[4], node.input[3]
    return "mean and variance swapped"


def break_activation(model, node, weights, rng):
    others = {"Relu": ("LeakyRelu", {"alpha": 0.01}), "LeakyRelu": ("Relu", {}), "Sigmoid": ("HardSigmoid", {}), "HardSwish": ("Mish", {}),
              "Tanh": ("Softsign", {}), "Elu": ("Selu", {}), "PRelu": ("Mul", {}), "Erf": ("Tanh", {})}
    if node.op_type == "Gelu":
        changed = {"approximate": "none" if any(a.name == "approximate" and a.s == b"tanh" for a in node.attribute) else "tanh"}
        name = "Gelu"
    elif node.op_type in others:
        name, changed = others[node.op_type]
    else:
        return None
    old, node.op_type = node.op_type, name
    del node.attribute[:]
    node.attribute.extend(helper.make_attribute(k, v) for k, v in changed.items())
    return f"{old} made {name} {changed or ''}".strip()


FAULTS = {"weight": break_weight, "epsilon": break_epsilon, "pad": break_pad, "kernel": break_kernel, "statistics": break_statistics,
          "activation": break_activation}


# ---- one model ----

def feeds(folder, model):
    constants = {i.name for i in model.graph.initializer}
    names = [i.name for i in model.graph.input if i.name not in constants]
    return {name: numpy_helper.to_array(onnx.load_tensor(os.path.join(folder, "test_data_set_0", f"input_{k}.pb"))) for k, name in enumerate(names)}


def every_value(model, inputs):
    """What onnxruntime computes without optimizations, by value name."""
    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    declared = {o.name for o in watched.graph.output}
    watched.graph.output.extend(onnx.ValueInfoProto(name=o) for n in model.graph.node for o in n.output if o and o not in declared)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(watched.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [o.name for o in session.get_outputs()]
    return {k: v for k, v in zip(names, session.run(names, inputs)) if isinstance(v, np.ndarray) and v.dtype != object}


def seed(model, wanted, rng):
    """Break a node, by the kinds of fault in the order `wanted`, and return its name and what was done."""
    weights = {i.name: i for i in model.graph.initializer}
    for kind in wanted:
        nodes = list(model.graph.node)
        for i in rng.permutation(len(nodes)):
            done = FAULTS[kind](model, nodes[i], weights, rng)
            if done:
                return nodes[i], kind, done
    raise LookupError("nothing to break")


def run(name, corpus, place, rng, count):
    folder = os.path.join(corpus, name)
    model = onnx.load(os.path.join(folder, "model.onnx"))
    for i, node in enumerate(model.graph.node):
        node.name = node.name or f"node_{i}"
    inputs = feeds(folder, model)
    values = every_value(model, inputs)
    outputs = {f"output_{i}": values[o.name] for i, o in enumerate(model.graph.output)}
    np.savez(os.path.join(place, "dump.npz"), **{f"input_{i}": v for i, v in enumerate(inputs.values())}, **outputs)
    np.savez(os.path.join(place, "layers.npz"), **values)
    sound = model.SerializeToString()
    for _ in range(20):                     # a weight that only meets zeros changes nothing: take another fault
        model = onnx.ModelProto.FromString(sound)
        node, kind, done = seed(model, sorted(FAULTS, key=lambda k: count[k]), rng)
        changed, before = every_value(model, inputs)[node.output[0]], values[node.output[0]]
        if changed.shape != before.shape or not np.allclose(changed, before, rtol=0, atol=LEAST * np.sqrt(np.mean(np.square(before)))):
            break
    count[kind] += 1
    onnx.save(model, os.path.join(place, "broken.onnx"))
    command = [INGOT, "verify", os.path.join(place, "broken.onnx"), os.path.join(place, "dump.npz"), "--layers", os.path.join(place, "layers.npz"), "--json"]
    result = subprocess.run(command, capture_output=True, timeout=120, text=True)
    found = json.loads(result.stdout).get("first", {}).get("node", "nothing") if result.stdout else result.stderr.strip()
    good = found == node.name and result.returncode == 1
    print(f"{'found ' if good else 'MISSED'}  {name:20} {kind:10} {node.name} ({node.op_type}): {done}{'' if good else '; verify says ' + found}", flush=True)
    return good


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", default=os.environ.get("CORPUS") or os.path.join(ROOT, "build", "models"))
    parser.add_argument("--models", type=int, default=len(MODELS))
    parser.add_argument("--only")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", help="keep the broken model and its dumps in this folder")
    arguments = parser.parse_args()
    count, good, names = collections.Counter(), 0, [arguments.only] if arguments.only else MODELS[:arguments.models]
    for i, name in enumerate(names):
        rng = np.random.default_rng(arguments.seed * 1000 + MODELS.index(name) if name in MODELS else 0)
        with tempfile.TemporaryDirectory() as place:
            if arguments.keep:
                os.makedirs(arguments.keep, exist_ok=True)
            good += run(name, arguments.corpus, arguments.keep or place, rng, count)
    print(f"{good} of {len(names)} faults found ({', '.join(f'{n} {k}' for k, n in sorted(count.items()))})")
    return good != len(names)


if __name__ == "__main__":
    sys.exit(main())
