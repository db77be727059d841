"""The table of layers of every model of the corpus: runs `ingot verify MODEL test_data_set_0 --layers` and counts the verdicts.

    build/venv/bin/python tests/layers.py [--corpus DIR] [MODEL ...]

The layers are PyTorch's where the folder has them (layers.npz), else every value of the graph as onnxruntime computes it without
optimizations. Prints a line for each model; exits 1 where one departs that is not named in tests/corpus.txt as the one that must.
"""
import argparse
import collections
import glob
import json
import os
import subprocess
import sys
import tempfile

import numpy as np
import onnx
from onnx import numpy_helper

from faults import INGOT, ROOT, every_value

EXPECTED = {"bert2_dynint8": "its outputs are sums that saturated: tests/saturation.py"}


def inputs_of(folder, model):
    constants = {i.name for i in model.graph.initializer}
    names = [i.name for i in model.graph.input if i.name not in constants]
    paths = [os.path.join(folder, "test_data_set_0", f"input_{k}.pb") for k in range(len(names))]
    return {name: numpy_helper.to_array(onnx.load_tensor(path)) for name, path in zip(names, paths)}


def tolerances(name, corpus):
    """Those that the corpus states for the model, as verify_all.py takes them."""
    with open(os.path.join(corpus, "manifest.json")) as f:
        entry = json.load(f)[name]
    return ["--rtol", str(entry["rtol"]), "--atol", str(entry["atol"])]


def check(name, corpus):
    folder = os.path.join(corpus, name)
    layers = os.path.join(folder, "layers.npz")
    with tempfile.TemporaryDirectory() as place:
        source = "PyTorch"
        if not os.path.exists(layers):
            model, layers, source = onnx.load(os.path.join(folder, "model.onnx")), os.path.join(place, "layers.npz"), "onnxruntime"
            np.savez(layers, **every_value(model, inputs_of(folder, model)))
        done = subprocess.run([INGOT, "verify", os.path.join(folder, "model.onnx"), os.path.join(folder, "test_data_set_0"), "--layers", layers, "--json", *tolerances(name, corpus)],
                              capture_output=True, text=True, timeout=300)
    report = json.loads(done.stdout) if done.stdout.startswith("{") else {"layers": []}
    verdicts = collections.Counter(row["verdict"] for row in report["layers"])
    good = done.returncode == 0 and verdicts
    text = ", ".join(f"{n} {v}" for v, n in sorted(verdicts.items())) or done.stderr.strip()
    first = "" if done.returncode == 0 else "; first: " + str(report.get("first", {}).get("node", "none, outputs differ"))
    print(f"{'agrees ' if good else 'DEPARTS'}  {name:26} {source:11} {text}{first}{'' if good else '; ' + EXPECTED.get(name, '')}", flush=True)
    return bool(good) or name in EXPECTED, bool(good), sum(verdicts.values())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", default=os.environ.get("CORPUS") or os.path.join(ROOT, "build", "models"))
    parser.add_argument("models", nargs="*")
    arguments = parser.parse_args()
    names = arguments.models or sorted(os.path.basename(os.path.dirname(p)) for p in glob.glob(os.path.join(arguments.corpus, "*", "model.onnx")))
    results = [check(name, arguments.corpus) for name in names]
    print(f"{sum(r[1] for r in results)} of {len(results)} models agree, {sum(r[2] for r in results)} layers")
    return not all(r[0] for r in results)


if __name__ == "__main__":
    sys.exit(main())
