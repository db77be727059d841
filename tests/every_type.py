"""Runs operators with every element type that the registry says they take, beside the reference evaluator.

    build/venv/bin/python tests/every_type.py CASES [--match NAME] [--most 2]

CASES is a folder of conformance cases (../shared/conformance/make_cases.py). Each case of one node is run again for every
type of every type parameter of its operator, with its inputs cast. Prints what the registry promises and does not run, and
results that differ from the reference where that has the type; then a line of counts. Takes some minutes.
"""
import argparse
import collections
import glob
import json
import os
import subprocess
import sys
import tempfile
import warnings

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
INGOT = os.environ.get("INGOT") or os.path.join(ROOT, "build", "ingot")
TYPES = {name.lower(): number for name, number in TensorProto.DataType.items()}
RANDOM = {"Bernoulli", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Multinomial"}


def read_case(folder):
    """The model of a case with one node and plain tensors, and its inputs; None for others."""
    model = onnx.load(os.path.join(folder, "model.onnx"))
    graph = model.graph
    if len(graph.node) != 1 or graph.initializer or any(not i.type.HasField("tensor_type") for i in graph.input):
        return None
    values = []
    for j, info in enumerate(graph.input):
        path = os.path.join(folder, "test_data_set_0", f"input_{j}.pb")
        proto = TensorProto.FromString(open(path, "rb").read())
        values.append(numpy_helper.to_array(proto))
    return model, values


def cast(value, number):
    """A value as another type, in its range; None where that makes no sense."""
    target = helper.tensor_dtype_to_np_dtype(number)
    if number == TensorProto.STRING or value.dtype.kind in "OUT":
        return value if number == TensorProto.STRING and value.dtype.kind in "OUT" else None
    if value.dtype.kind not in "fiub" or target.kind == "c":
        return value.real.astype(target) if value.dtype.kind in "fiubc" else value.astype(np.float32).astype(target)
    if number in (TensorProto.UINT8, TensorProto.UINT16, TensorProto.UINT32, TensorProto.UINT64, TensorProto.UINT4, TensorProto.UINT2):
        value = np.abs(value)
    return np.clip(value, -1, 1).astype(target) if target.itemsize == 1 and number > 16 else value.astype(target)


def variants(model, values):
    """(type parameter, type name, model, inputs) for each type of each parameter that the operator has."""
    node = model.graph.node[0]
    opset = {o.domain: o.version for o in model.opset_import}.get(node.domain, 1)
    schema = onnx.defs.get_schema(node.op_type, opset, node.domain)
    names = [i.name for i in model.graph.input]
    for constraint in schema.type_constraints:
        group = []
        for k, name in enumerate(node.input):
            parameter = schema.inputs[min(k, len(schema.inputs) - 1)]
            if parameter.type_str == constraint.type_param_str and name in names:
                group.append(names.index(name))
        for text in constraint.allowed_type_strs if group else []:
            if not text.startswith("tensor("):
                continue
            name = text[7:-1]
            changed = [cast(v, TYPES[name]) if i in group else v for i, v in enumerate(values)]
            if any(v is None for v in changed):
                continue
            other = onnx.ModelProto()
            other.CopyFrom(model)
            for i in group:
                other.graph.input[i].type.tensor_type.elem_type = TYPES[name]
            for output in other.graph.output:
                output.ClearField("type")
            yield constraint.type_param_str, name, other, changed


def expected(model, values):
    """The reference's outputs, or None where it has none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            results = ReferenceEvaluator(model).run(None, {i.name: v for i, v in zip(model.graph.input, values)})
        except Exception:
            return None
    return results if all(isinstance(r, np.ndarray) for r in results) else None


def tolerance(dtype):
    name = str(dtype)
    return 2e-2 if "bfloat16" in name else 4e-3 if name == "float16" else 0.3 if "float8" in name or "float4" in name else 1e-4


def run(model, values, folder):
    onnx.save(model, os.path.join(folder, "model.onnx"))
    command = [INGOT, "run", os.path.join(folder, "model.onnx"), "--output-dir", folder, "--format", "pb", "--quiet"]
    for i, value in enumerate(values):
        path = os.path.join(folder, f"in_{i}.pb")
        with open(path, "wb") as f:
            f.write(numpy_helper.from_array(value, model.graph.input[i].name).SerializeToString())
        command += ["--input", f"{model.graph.input[i].name}={path}"]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def differs(folder, want, inputs):
    """What is wrong with the outputs in the folder, or ""."""
    worst = max([tolerance(v.dtype) for v in inputs] + [tolerance(w.dtype) for w in want])
    for i, y in enumerate(want):
        path = os.path.join(folder, f"output_{i}.pb")
        if not os.path.exists(path):
            return f"output {i} is not there"
        got = numpy_helper.to_array(TensorProto.FromString(open(path, "rb").read()))
        os.remove(path)
        if got.shape != y.shape or (got.dtype != y.dtype and got.dtype.kind not in "OUT"):
            return f"output {i} is {got.dtype} {got.shape}, expected {y.dtype} {y.shape}"
        if y.dtype.kind in "OUT":
            same = got.astype(str).tolist() == y.astype(str).tolist()
        elif y.dtype.kind in "iub":
            same = np.array_equal(got, y)
        else:
            wide = np.complex128 if y.dtype.kind == "c" else np.float64
            same = np.allclose(got.astype(wide), y.astype(wide), worst, worst, equal_nan=True)
        if not same:
            return f"output {i} has other values"
    return ""


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases")
    parser.add_argument("--match", default="")
    parser.add_argument("--most", type=int, default=2, help="cases of each operator")
    options = parser.parse_args()
    counts, used = collections.Counter(), collections.Counter()
    for folder in sorted(glob.glob(os.path.join(options.cases, "node", f"*{options.match}*"))):
        case = read_case(folder)
        if not case or used[case[0].graph.node[0].op_type] == options.most or case[0].graph.node[0].op_type in RANDOM:
            continue
        op_type = case[0].graph.node[0].op_type
        used[op_type] += 1
        for parameter, name, model, values in variants(*case):
            label = f"{os.path.basename(folder)} {op_type} {parameter}={name}"
            with tempfile.TemporaryDirectory() as out:
                done = run(model, values, out)
                want = expected(model, values)
                if done.returncode:
                    verdict = "refused" if done.returncode == 3 else "failed" if want is not None else "both fail"
                    why = done.stderr.strip()[-160:]
                else:
                    why = differs(out, want, values) if want is not None else ""
                    verdict = "no reference" if want is None else "differs" if why else "agrees"
            counts[verdict] += 1
            if verdict in ("refused", "failed", "differs"):
                print(f"{verdict:8} {label}: {why}", flush=True)
    print(json.dumps(counts))
    sys.exit(counts["refused"] > 0 or counts["failed"] > 0)


if __name__ == "__main__":
    main()
