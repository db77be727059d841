"""The numeric contract (engine/NUMBERS.md) on 20 models: the same bits for any number of threads, from run to run, for a sample
alone or in a batch, and with --portable on every instruction set.

    build/venv/bin/python tests/contract.py [--corpus DIR] [PART ...]        parts: threads portable batch

Prints a line for each model and part; exits 1 where bits differ.
"""
import argparse
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


def batch(name, path):
    """Each sample of a batch of five alone, and the batch: equal bits."""
    model = onnx.load(path, load_external_data=False)
    constants = {i.name for i in model.graph.initializer}
    rows = [i for i in model.graph.input if i.name not in constants]
    first = [i.type.tensor_type.shape.dim[0].dim_param if i.type.tensor_type.shape.dim else "" for i in rows]
    symbol = first[0]
    if not symbol or any(f != symbol for f in first):
        return None, "no free batch dimension"
    with tempfile.TemporaryDirectory() as place:
        rng = np.random.default_rng(1)
        inputs = {}
        for i, row in enumerate(rows):
            dims = [d.dim_value or (5 if d.dim_param == symbol else 16) for d in row.type.tensor_type.shape.dim]
            if row.type.tensor_type.elem_type != onnx.TensorProto.FLOAT:
                inputs[row.name] = np.ones(dims, onnx.helper.tensor_dtype_to_np_dtype(row.type.tensor_type.elem_type))
            else:
                inputs[row.name] = rng.standard_normal(dims).astype(np.float32)

        def outputs(some, folder):
            arguments = []
            for i, (key, value) in enumerate(some.items()):
                np.save(f"{place}/{folder}_{i}.npy", value)
                arguments += ["--input", f"{key}={place}/{folder}_{i}.npy"]
            done = subprocess.run([INGOT, "run", path, "--quiet", "--output-dir", f"{place}/{folder}", *EXTRA, *arguments], capture_output=True, text=True, timeout=120)
            assert done.returncode == 0, done.stderr
            return {f: np.load(f"{place}/{folder}/{f}") for f in sorted(os.listdir(f"{place}/{folder}"))}

        whole, worst = outputs(inputs, "all"), 0
        for k in range(5):
            alone = outputs({key: value[k:k + 1] for key, value in inputs.items()}, f"one{k}")
            for f, value in alone.items():
                axes = [i for i, (a, b) in enumerate(zip(whole[f].shape, value.shape)) if (a, b) == (5, 1)]
                if not axes:
                    return None, f"output {f} has no batch dimension"
                part = np.take(whole[f], [k], axes[0])
                if part.tobytes() != value.tobytes():
                    worst = max(worst, float(np.max(np.abs(part - value)) / max(np.max(np.abs(value)), 1e-30)))
    return worst == 0, "5 samples" if not worst else f"largest difference {worst:.1e} of the largest element"


EXTRA = ["--batch-invariant"]
PARTS = {"threads": threads, "portable": portable, "batch": batch}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", default=os.environ.get("CORPUS") or os.path.join(ROOT, "build", "models"))
    parser.add_argument("--only")
    parser.add_argument("parts", nargs="*", default=list(PARTS))
    arguments = parser.parse_args()
    bad = 0
    for part in arguments.parts:
        for name in [arguments.only] if arguments.only else MODELS:
            good, text = PARTS[part](name, os.path.join(arguments.corpus, name, "model.onnx"))
            bad += good is False
            print(f"{'skip  ' if good is None else 'same  ' if good else 'DIFFER'}  {part:9} {name:20} {text}", flush=True)
    print(f"{bad} differ")
    return bad > 0


if __name__ == "__main__":
    sys.exit(main())
