"""The numeric contract (engine/NUMBERS.md) on 20 models: the same bits for any number of threads, from run to run, for a sample
alone or in a batch, and with --portable on every instruction set.

    build/venv/bin/python tests/contract.py [--corpus DIR] [PART ...]        parts: threads portable batch cost

Prints a line for each model and part; exits 1 where bits differ.
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile

import numpy as np
import onnx

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
INGOT = os.environ.get("INGOT") or os.path.join(ROOT, "build", "ingot")
MODELS = """mynet_ts_bn_dyn mynet_dyn resnet18 squeezenet1_1 mobilenet_v3_small shufflenet_v2 vit_tiny unet bert2_ts decoder_step char_lstm gru
bilstm yolo diffusion_block convnext_atto ops_norm ops_conv espcn efficientnet_b0""".split()
BATCHED = """mynet_ts_bn_dyn mynet_dyn resnet18 squeezenet1_1 mobilenet_v3_small shufflenet_v2 vit_tiny unet_dynhw bert2_ts decoder_step char_lstm gru
bilstm bn_conv3d diffusion_block convnext_atto dcgan espcn yolo efficientnet_b0""".split()


def checksum(model, *arguments, **environment):
    done = subprocess.run([INGOT, "run", model, "--checksum", "--quiet", *arguments], capture_output=True, text=True, timeout=120,
                          env={**os.environ, **environment})
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1].split()[1]


def threads(name, path):
    """Threads 1 to 8, and a second run."""
    sums = {n: checksum(path, "--threads", str(n)) for n in range(1, 9)}
    return len({*sums.values(), checksum(path)}) == 1, f"{len(sums)} thread counts and a second run"


def portable(name, path):
    """Every instruction set of this processor, and the C library without its own choice of one."""
    sets = ["baseline", "avx2", "avx512"]
    sums = {checksum(path, "--portable", INGOT_ISA=isa) for isa in sets}
    sums.add(checksum(path, "--portable", GLIBC_TUNABLES="glibc.cpu.hwcaps=-AVX2_Usable,-AVX2,-FMA_Usable,-FMA,-FMA4_Usable"))
    return len(sums) == 1, f"{len(sets)} instruction sets, and a C library without FMA"


def batch_axes(path):
    """The axis of the batch in each input: that of the dimension called "batch"."""
    model = onnx.load(path, load_external_data=False)
    constants = {i.name for i in model.graph.initializer}
    rows = [(i.name, i.type.tensor_type) for i in model.graph.input if i.name not in constants]
    return {name: (t, [d.dim_param for d in t.shape.dim].index("batch")) for name, t in rows}


def draw(row, axis, size, rng):
    """An input of `size` samples; other free dimensions are 32. Integers are 0 and 1: masks and words."""
    dims = [size if i == axis else d.dim_value or 32 for i, d in enumerate(row.shape.dim)]
    if row.elem_type == onnx.TensorProto.FLOAT:
        return rng.standard_normal(dims).astype(np.float32)
    return rng.integers(0, 2, dims).astype(onnx.helper.tensor_dtype_to_np_dtype(row.elem_type))


def batch(name, path):
    """Each sample of batches of five and of two, and alone: equal bits."""
    axes, rng = batch_axes(path), np.random.default_rng(1)
    inputs = {key: draw(row, axis, 5, rng) for key, (row, axis) in axes.items()}
    with tempfile.TemporaryDirectory() as place:
        def outputs(first, end, folder):
            arguments = []
            for i, (key, value) in enumerate(inputs.items()):
                np.save(f"{place}/{folder}_{i}.npy", np.take(value, range(first, end), axes[key][1]))
                arguments += ["--input", f"{key}={place}/{folder}_{i}.npy"]
            done = subprocess.run([INGOT, "run", path, "--quiet", "--output-dir", f"{place}/{folder}", "--batch-invariant", *arguments],
                                  capture_output=True, text=True, timeout=120)
            assert done.returncode == 0, done.stderr
            return {f: np.load(f"{place}/{folder}/{f}") for f in sorted(os.listdir(f"{place}/{folder}"))}

        whole, worst, compared = outputs(0, 5, "all"), 0, 0
        for first, end in [(k, k + 1) for k in range(5)] + [(1, 3)]:
            for f, value in outputs(first, end, f"some{first}_{end}").items():
                axis = next(i for i, (a, b) in enumerate(zip(whole[f].shape, value.shape)) if a != b)
                size = whole[f].shape[axis] // 5                    # an output may have several rows for a sample
                part = np.take(whole[f], range(first * size, end * size), axis)
                compared += 1
                if part.tobytes() != value.tobytes():
                    worst = max(worst, float(np.max(np.abs(part - value)) / max(np.max(np.abs(value)), 1e-30)))
    return worst == 0, f"{compared} outputs of 5 samples" if not worst else f"largest difference {worst:.1e} of the largest element"


def cost(name, path):
    """What --batch-invariant costs at a batch of 8, on one thread: the least time of each, in turns."""
    dims = {d.dim_param for row, _ in batch_axes(path).values() for d in row.shape.dim if d.dim_param}
    arguments = [a for d in dims for a in ("--dim", f"{d}={8 if d == 'batch' else 32}")]
    least = {"": 1e9, "--batch-invariant": 1e9}
    for _ in range(3):
        for way in least:
            done = subprocess.run([INGOT, "bench", path, *arguments, *way.split(), "--threads", "1", "--iterations", "3", "--warmup", "1", "--json"],
                                  capture_output=True, text=True, timeout=120)
            assert done.returncode == 0, done.stderr
            least[way] = min(least[way], json.loads(done.stdout)["min_ms"])
    return True, "{:.2f} ms without, {:.2f} ms with: x {:.3f}".format(*least.values(), least["--batch-invariant"] / least[""])


PARTS = {"threads": threads, "portable": portable, "batch": batch, "cost": cost}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", default=os.environ.get("CORPUS") or os.path.join(ROOT, "build", "models"))
    parser.add_argument("--only")
    parser.add_argument("parts", nargs="*", default=[p for p in PARTS if p != "cost"])
    arguments = parser.parse_args()
    bad = 0
    for part in arguments.parts:
        for name in [arguments.only] if arguments.only else BATCHED if part in ("batch", "cost") else MODELS:
            good, text = PARTS[part](name, os.path.join(arguments.corpus, name, "model.onnx"))
            bad += not good
            print(f"{'same  ' if good else 'DIFFER'}  {part:9} {name:20} {text}", flush=True)
    print(f"{bad} differ")
    return bad > 0


if __name__ == "__main__":
    sys.exit(main())
