"""Does the cost grow with the work? Times models against batch size and image side, prints a table, and draws SVG plots.

    python tests/bench/growth.py [--out FOLDER] [--threads 1,2] [--batches 1,2,...] [--sides 64,...] [--ms 300] [--wrap COMMAND] MODEL.onnx [...]

For every size the model's image input is rewritten and saved for the time being; what the graph says of other shapes is
dropped, so that they are inferred anew. A cliff is a size at which the speed (FLOPs by definition over the median time) is
below 70 % of the best at a smaller size, and stays there when it is measured again: machines are slow at times. Plots go to
--out (default: build/growth); the exit code is 1 where there is a cliff.
"""
import argparse
import json
import math
import os
import shlex
import subprocess
import sys
import tempfile

import onnx

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CLIFF = .7
COLOURS = ["#3b5bdb", "#e07a1f", "#0c9a8b", "#b0399e"]


def resized(model, batch, side, folder):
    """The model with an image input of (batch, C, side, side)."""
    model = onnx.ModelProto.FromString(model)
    constants = {i.name for i in model.graph.initializer}
    (image,) = [i for i in model.graph.input if i.name not in constants]
    for index, size in ((0, batch), (2, side), (3, side)):
        image.type.tensor_type.shape.dim[index].dim_value = size
    for info in model.graph.output:
        info.type.tensor_type.ClearField("shape")
    del model.graph.value_info[:]
    path = os.path.join(folder, "model.onnx")
    onnx.save(model, path)
    return path


def ask(command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)}: {done.stderr.strip()}")
    return json.loads(done.stdout)


def measure(path, threads, options):
    """Median time in ms and billions of FLOPs of a run."""
    wrap = shlex.split(options.wrap)
    bench = [*wrap, options.ingot, "bench", path, "--threads", str(threads), "--json", "--warmup", "2", "--iterations"]
    once = ask([*bench, "3"])["median_ms"]
    times = ask([*bench, str(max(3, min(2000, int(options.ms / once))))])
    return times["median_ms"], ask([options.ingot, "inspect", path, "--json"])["flops"] * 1e-9


def plot(title, axis, series, path):
    """Speed against size on a logarithmic axis, one line for each series: {label: [(size, GFLOP/s)]}."""
    width, height, left, top, right, bottom = 720, 360, 60, 44, 20, 46
    sizes = sorted({x for points in series.values() for x, _ in points})
    most = max(y for points in series.values() for _, y in points) * 1.1
    at_x = lambda x: left + (width - left - right) * math.log(x / sizes[0]) / max(1e-9, math.log(sizes[-1] / sizes[0]))
    at_y = lambda y: height - bottom - (height - top - bottom) * y / most
    step = 10 ** math.floor(math.log10(most / 4))
    step *= next(f for f in (1, 2, 5, 10) if most / (f * step) <= 6)
    text = lambda x, y, words, more="": f'<text x="{x:.0f}" y="{y:.0f}" {more}>{words}</text>'
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
           'font-family="system-ui, sans-serif" font-size="12" fill="#667085">', f'<rect width="{width}" height="{height}" fill="#fff"/>',
           text(left, 24, title, 'font-size="15" fill="#1b1f27" font-weight="600"'), text(width - right, height - 8, axis, 'text-anchor="end"'),
           text(left - 8, top - 6, "GFLOP/s", 'text-anchor="end"')]
    for i in range(int(most / step) + 1):
        out += [f'<path d="M{left} {at_y(i * step):.1f}H{width - right}" stroke="#e3e6ec"/>',
                text(left - 8, at_y(i * step) + 4, f"{i * step:g}", 'text-anchor="end"')]
    out += [text(at_x(x), height - bottom + 18, x, 'text-anchor="middle"') for x in sizes]
    for (label, points), colour in zip(series.items(), COLOURS):
        line = "L".join(f"{at_x(x):.1f} {at_y(y):.1f}" for x, y in points)
        out += [f'<path d="M{line}" fill="none" stroke="{colour}" stroke-width="2"/>']
        out += [f'<circle cx="{at_x(x):.1f}" cy="{at_y(y):.1f}" r="3.5" fill="{colour}"/>' for x, y in points]
        out += [text(at_x(points[-1][0]) - 6, at_y(points[-1][1]) + 20, label, f'text-anchor="end" fill="{colour}" font-weight="600"')]
    with open(path, "w") as f:
        f.write("\n".join(out) + "\n</svg>\n")


def grow(name, model, axis, sizes, options):
    """Measure along one axis; returns the cliffs."""
    series, cliffs = {}, []
    for threads in options.threads:
        points = series.setdefault(f"{threads} thread{'s' * (threads > 1)}", [])
        for size in sizes:
            with tempfile.TemporaryDirectory() as folder:
                path = resized(model, *((size, 224) if axis == "batch" else (1, size)), folder)
                best, speed = max((y for _, y in points), default=0), 0
                for _ in range(1 + options.again):
                    took, flops = measure(path, threads, options)
                    if flops / took * 1e3 > speed:
                        ms, speed = took, flops / took * 1e3
                    if speed >= CLIFF * best:
                        break
            cliff = speed < CLIFF * best
            print(f"{name:16} {axis:5} {size:4}  t{threads} {ms:10.3f} ms {flops:9.3f} GFLOP {speed:8.1f} GFLOP/s{'  cliff' * cliff}", flush=True)
            cliffs += [(name, axis, size, threads)] * cliff
            points.append((size, speed))
    plot(f"{name}: speed against {axis}", axis, series, os.path.join(options.out, f"{name}_{axis}.svg"))
    return cliffs


def main():
    numbers = lambda text: [int(n) for n in text.split(",")]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", default=os.path.join(ROOT, "build", "growth"))
    parser.add_argument("--threads", type=numbers, default=[1, 2])
    parser.add_argument("--batches", type=numbers, default=[1, 2, 4, 8, 16, 32, 64, 128])
    parser.add_argument("--sides", type=numbers, default=[64, 96, 128, 160, 192, 224, 256, 320, 384, 448, 512])
    parser.add_argument("--ms", type=float, default=300, help="for each measurement (default 300)")
    parser.add_argument("--again", type=int, default=3, help="times that what looks like a cliff is measured again (default 3)")
    parser.add_argument("--wrap", default="", help="command to put before each measurement")
    parser.add_argument("--ingot", default=os.path.join(ROOT, "build", "ingot"))
    parser.add_argument("models", nargs="+")
    options = parser.parse_args()
    os.makedirs(options.out, exist_ok=True)
    cliffs = []
    for path in options.models:
        name = os.path.basename(os.path.dirname(path)) if os.path.basename(path) == "model.onnx" else os.path.basename(path)
        model = onnx.load(path).SerializeToString()
        cliffs += grow(name, model, "batch", options.batches, options) + grow(name, model, "side", options.sides, options)
    print(f"{len(cliffs)} cliffs; plots in {options.out}")
    sys.exit(bool(cliffs))


if __name__ == "__main__":
    main()
