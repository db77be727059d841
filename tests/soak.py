"""Long runs of one process, and a picture of its memory: soak.py [--build DIR] [--runs N,M] [--svg FILE] CORPUS

N runs (a million) of MyNet, then M (100,000) over ten models of CORPUS whose free dimensions change from run to run. Both go
at low priority on one processor. Fails where either grows by more than 4 MiB after its first tenth.
"""
import argparse
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
MODELS = ["mynet_ts_bn_dyn", "gru", "char_lstm", "bilstm", "ctrl_loop", "ctrl_if", "ops_math", "ops_index", "det_nms", "bert2_dynint8"]
WIDTH, HEIGHT, MARGIN = 720, 240, 50


def soak(program, runs, models):
    """(runs, MiB) as the program tells them while it goes on, and whether memory stayed flat."""
    command = ["nice", "-n", "19", "taskset", "-c", "0", program, str(runs), *models]
    points = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            print(line, end="", flush=True)
            found = re.match(r"\s*(\d+) runs\s+(\d+) KiB", line)
            if found:
                points.append((int(found[1]), int(found[2]) / 1024))
    return points, process.returncode == 0


def curve(points, title, top):
    """One diagram of an SVG: resident memory over runs, from 0."""
    most_runs, most = points[-1][0], 1.25 * max(mib for _, mib in points)
    place = [(MARGIN + (WIDTH - 2 * MARGIN) * n / most_runs, top + HEIGHT - 30 - (HEIGHT - 70) * mib / most) for n, mib in points]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in place)
    base = top + HEIGHT - 30
    return (f'<text x="{MARGIN}" y="{top + 20}">{title}: {points[0][1]:.1f} MiB at first, {points[-1][1]:.1f} MiB at the end</text>'
            f'<path d="M{MARGIN} {top + 35}V{base}H{WIDTH - MARGIN}" fill="none" stroke="#888"/>'
            f'<polyline points="{line}" fill="none" stroke="#06c" stroke-width="2"/>'
            f'<text x="{WIDTH - MARGIN}" y="{base + 18}" text-anchor="end">{most_runs:,} runs</text>'
            f'<text x="{MARGIN}" y="{base + 18}">0 MiB at the base line, {most:.0f} at the top</text>')


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("corpus")
    parser.add_argument("--build", default=os.path.join(ROOT, "build"))
    parser.add_argument("--runs", default="1000000,100000")
    parser.add_argument("--svg", default="soak.svg")
    given = parser.parse_args()
    program = os.path.join(given.build, "tests", "robust", "soak")
    many, fewer = given.runs.split(",")
    models = [os.path.join(given.corpus, name, "model.onnx") for name in MODELS]
    first, first_flat = soak(program, many, [os.path.join(ROOT, "models", "MyNet.onnx")])
    second, second_flat = soak(program, fewer, models)
    with open(given.svg, "w") as out:
        out.write(f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{2 * HEIGHT}" font-family="sans-serif" font-size="13">'
                  f'<rect width="100%" height="100%" fill="#fff"/>{curve(first, "MyNet", 0)}{curve(second, "Ten models", HEIGHT)}</svg>\n')
    sys.exit(not (first_flat and second_flat))


if __name__ == "__main__":
    main()
