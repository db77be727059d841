"""Runs operators on drawn element types, shapes and attributes, beside the reference evaluator or onnxruntime.

    build/venv/bin/python tests/random_operators.py [--families NAME,...] [--cases N] [--seed S] [--seconds T]
                                                    [--engine reference|onnxruntime] [--save DIR]

A case is one node with inputs of its own; a batch of them is one model, so that a thousand cases take a few processes. Each
that is refused or wrong is printed with the options that draw it again: case i has the seed S + i and nothing else to it. The
last line counts. Adding an operator is one entry in tests/random_families.py.
"""
import argparse
import collections
import os
import subprocess
import sys
import tempfile
import time
import warnings

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from random_families import FAMILIES, WRONG_REFERENCE, Draw  # noqa: E402

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
INGOT = os.environ.get("INGOT") or os.path.join(ROOT, "build", "ingot")
OPSET = 22
BATCH = 60
# Relative and absolute tolerance by element type; everything else is exact.
TOLERANCES = {"float32": (1e-4, 1e-5), "float64": (1e-8, 1e-10), "float16": (1e-2, 1e-2), "bfloat16": (1e-2, 1e-2)}


class Skip(Exception):
    """There is nothing to compare this case with; the text says why."""


def number_of(array):
    """Element type of an array as the format numbers it."""
    return TensorProto.STRING if array.dtype.kind in "OUT" else helper.np_dtype_to_tensor_dtype(array.dtype)


def build(cases, outputs):
    """One model of many cases. Where values are known, inputs but the first are initializers, and shapes are said."""
    nodes, inputs, values, results = [], [], [], []
    for case, wanted in zip(cases, outputs):
        names = ["" if value is None else f"{case.name}i{i}" for i, value in enumerate(case.inputs)]
        made = [f"{case.name}o{i}" if keep else "" for i, keep in enumerate(case.outputs)]
        nodes.append(helper.make_node(case.op, names, made, name=case.name, **case.attributes))
        for i, (name, value) in enumerate(zip(names, case.inputs)):
            if value is not None and case.known and i:
                values.append(numpy_helper.from_array(value, name))
            elif value is not None:
                shape = value.shape if case.known else [None] * value.ndim
                inputs.append(helper.make_tensor_value_info(name, number_of(value), shape))
        for name, array in zip([name for name in made if name], wanted or [None] * len(made)):
            results.append(onnx.ValueInfoProto(name=name, type=onnx.TypeProto()) if array is None else
                           helper.make_tensor_value_info(name, number_of(array), [None] * array.ndim))
    graph = helper.make_graph(nodes, "cases", inputs, results, values)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10)


def fed(model, case):
    """The values of a case that are inputs of the model, by name."""
    asked = {info.name for info in model.graph.input}
    values = {f"{case.name}i{i}": value for i, value in enumerate(case.inputs) if value is not None}
    return {name: value for name, value in values.items() if name in asked}


def reference(case):
    """What the reference evaluator computes. Half types go through float32 where the case says so: their sums round once."""
    if case.wide:
        half = {a.dtype for a in case.inputs if a is not None and a.dtype.name in ("float16", "bfloat16")}
        if half:
            wide = case.with_inputs([a if a is None or a.dtype not in half else a.astype(np.float32) for a in case.inputs])
            model = build([wide], [None])
            made = ReferenceEvaluator(model).run(None, fed(model, wide))
            return [a.astype(next(iter(half))) if a.dtype == np.float32 else a for a in map(np.asarray, made)]
    model = build([case], [None])
    return [np.asarray(a) for a in ReferenceEvaluator(model).run(None, fed(model, case))]


def onnxruntime(case, wanted):
    """What onnxruntime computes; it wants the outputs' types, which are those of the reference's results."""
    import onnxruntime as ort
    options = ort.SessionOptions()
    options.log_severity_level = 4
    model = build([case], [wanted])
    try:
        session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        return session.run(None, fed(model, case))
    except Exception as error:  # its classes of errors share no other base
        raise Skip(f"onnxruntime refuses {case.op}") from error


def expected(case, engine):
    """The arrays that a case should give; Skip with a reason where there is no telling."""
    reason = WRONG_REFERENCE.get(case.op)
    if engine == "reference" and reason and reason[0](case):
        raise Skip(f"reference of {case.op}: {reason[1]}")
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            wanted = reference(case)
    except Exception as error:  # whatever NumPy or the evaluator raises for what it does not cover
        raise Skip(f"the reference refuses {case.op}") from error
    return onnxruntime(case, wanted) if engine == "onnxruntime" else wanted


def run(cases, outputs, folder):
    """Run cases as one model; (None, message) where the engine refuses, (arrays by name, "") otherwise."""
    model = build(cases, outputs)
    path = os.path.join(folder, "model.onnx")
    onnx.save(model, path)
    arguments = []
    for case in cases:
        for name, value in fed(model, case).items():
            file = os.path.join(folder, f"{name}.pb")
            with open(file, "wb") as out:
                out.write(numpy_helper.from_array(value, name).SerializeToString())
            arguments += ["--input", f"{name}={file}"]
    made = os.path.join(folder, "made")
    done = subprocess.run([INGOT, "run", path, *arguments, "--output-dir", made, "--format", "pb", "--quiet"],
                          stdin=subprocess.DEVNULL, capture_output=True, timeout=120)
    if done.returncode:
        return None, f"exit code {done.returncode}: {done.stderr.decode().strip()}"
    arrays = {}
    for i, info in enumerate(model.graph.output):
        with open(os.path.join(made, f"output_{i}.pb"), "rb") as file:
            arrays[info.name] = numpy_helper.to_array(TensorProto.FromString(file.read()))
    return arrays, ""


def difference(got, wanted):
    """In words, how an array differs from the wanted one; empty when it does not."""
    if number_of(got) != number_of(wanted) or got.shape != wanted.shape:
        return f"{got.dtype}{list(got.shape)} instead of {wanted.dtype}{list(wanted.shape)}"
    if wanted.dtype.name not in TOLERANCES:
        wrong = got.astype(str) != wanted.astype(str) if wanted.dtype.kind in "OUT" else got != wanted
        wrong = wrong & ~((got != got) & (wanted != wanted))
    else:
        rtol, atol = TOLERANCES[wanted.dtype.name]
        wrong = ~np.isclose(got.astype(np.float64), wanted.astype(np.float64), rtol=rtol, atol=atol, equal_nan=True)
    if not np.any(wrong):
        return ""
    first = tuple(int(i) for i in np.argwhere(wrong)[0])
    return f"{np.count_nonzero(wrong)} of {wrong.size} differ, first {list(first)}: {got[first]} instead of {wanted[first]}"


def check(cases, outputs, folder):
    """Run cases together; (case, message) for each that fails. What is refused together is found by halves."""
    with tempfile.TemporaryDirectory(dir=folder) as place:
        arrays, message = run(cases, outputs, place)
    if arrays is None and len(cases) > 1:
        half = len(cases) // 2
        return check(cases[:half], outputs[:half], folder) + check(cases[half:], outputs[half:], folder)
    if arrays is None:
        return [(cases[0], message)]
    failed = []
    for case, wanted in zip(cases, outputs):
        kept = [i for i, keep in enumerate(case.outputs) if keep]
        words = [difference(arrays[f"{case.name}o{i}"], value) for i, value in zip(kept, wanted)]
        if any(words):
            failed.append((case, "; ".join(f"output {i}: {w}" for i, w in zip(kept, words) if w)))
    return failed


def draw(family, seed):
    """The case that a seed stands for in a family."""
    entries = FAMILIES[family]
    d = Draw(seed)
    name = d.pick(sorted(entries))
    case = entries[name](d, name)
    case.name, case.family, case.seed, case.known = f"n{seed}", family, seed, d.chance(0.5)
    return case


def save(case, wanted, folder):
    """Write a case as a model with a dump beside it, as ingot verify reads it."""
    place = os.path.join(folder, f"{case.op}_{case.family}_{case.seed}")
    data = os.path.join(place, "test_data_set_0")
    os.makedirs(data, exist_ok=True)
    model = build([case], [wanted])
    onnx.save(model, os.path.join(place, "model.onnx"))
    for kind, arrays in (("input", fed(model, case).values()), ("output", wanted)):
        for i, array in enumerate(arrays):
            with open(os.path.join(data, f"{kind}_{i}.pb"), "wb") as file:
                file.write(numpy_helper.from_array(np.asarray(array)).SerializeToString())


def describe(case):
    """A case in one line."""
    inputs = ["-" if a is None else f"{a.dtype}{list(a.shape)}" for a in case.inputs]
    return f"{case.op}({', '.join(inputs)}) {case.attributes or ''} {'known' if case.known else 'dynamic'}"


class Totals:
    """What a run has come to: counts, and the reasons of what was not compared."""

    def __init__(self):
        self.passed, self.failed, self.skipped = 0, 0, collections.Counter()


def run_all(families, cases, seed, seconds=None, engine="reference", folder=None, say=print):
    """Draw and compare cases, families in turn, until as many are done or the time is over; gives Totals."""
    totals, begin, index = Totals(), time.monotonic(), 0
    with tempfile.TemporaryDirectory() as scratch:
        while index < cases and (seconds is None or time.monotonic() - begin < seconds):
            batch, outputs = [], []
            while index < cases and len(batch) < BATCH:
                case = draw(families[index % len(families)], seed + index)
                index += 1
                try:
                    outputs.append(expected(case, engine))
                    batch.append(case)
                except Skip as reason:
                    totals.skipped[str(reason)] += 1
            failed = check(batch, outputs, scratch) if batch else []
            totals.failed += len(failed)
            totals.passed += len(batch) - len(failed)
            for case, message in failed:
                say(f"FAIL --families {case.family} --seed {case.seed} --cases 1: {describe(case)}\n     {message}")
                if folder:
                    save(case, outputs[batch.index(case)], folder)
    return totals


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--families", default=",".join(FAMILIES), help="names with commas between (default: %(default)s)")
    parser.add_argument("--cases", type=int, help="how many to draw (default 1000, or no end with --seconds)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, help="stop after this time")
    parser.add_argument("--engine", choices=["reference", "onnxruntime"], default="reference")
    parser.add_argument("--save", metavar="DIR", help="write the model and the dump of what fails into this folder")
    options = parser.parse_args()
    families = options.families.split(",")
    unknown = set(families) - set(FAMILIES)
    if unknown:
        parser.error(f"no family {', '.join(sorted(unknown))}; there are {', '.join(FAMILIES)}")
    cases = options.cases or (sys.maxsize if options.seconds else 1000)
    totals = run_all(families, cases, options.seed, options.seconds, options.engine, options.save)
    for reason, count in totals.skipped.most_common():
        print(f"skipped {count}: {reason}")
    print(f"{totals.passed} passed, {totals.failed} failed")
    return 1 if totals.failed else 0


if __name__ == "__main__":
    sys.exit(main())
