"""Times Ingot beside other engines, model by model, and writes tests/bench/results.md: ratios, load times, memory.

    python tests/bench/compare_peers.py [--models NAME,...] [--threads 1,2] [--engines ort,...] [--rounds 7] [--ms 400] [--avx2]
                                        [--data FILE.json] [--wrap COMMAND] [--ingot PATH] [--corpus FOLDER] [--from-data] [--note TEXT]

Every model and thread count is one call of ../shared/bench/compare.py, which --wrap may precede ("taskset -c 0,1" or whatever
keeps the machine quiet). Rows go to --data (default: build/results.json) as they come, so that a run that was stopped goes on
where it was; models named by --models are measured anew. --from-data only writes the page from what is there. --avx2 hides AVX-512
from all engines (hide_avx512.c, which the build makes; where CPUID cannot fault, with HIDE_PATCHED=1 and the engines of a virtual
environment that patch_cpuid.py went over), and has a page and a file of data of its own: results_avx2.
"""
import argparse
import datetime
import json
import math
import os
import re
import shlex
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
# Model, free dimension, and what the ratio to ONNX Runtime is to come to at most.
MODELS = [("mynet_dyn", 1, .45), ("mynet_dyn", 8, .45), ("mynet_dyn", 32, .45), ("resnet18", None, .5), ("unet", None, .5),
          ("resnet50", None, .5), ("googlenet", None, .5), ("regnet_x_400mf", None, .5), ("densenet121", None, .65),
          ("squeezenet1_1", None, .65), ("mobilenet_v2", None, .3), ("efficientnet_b0", None, .55), ("mobilenet_v3_small", None, .55),
          ("shufflenet_v2", None, .55), ("convnext_atto", None, .55), ("vit_tiny", None, .65), ("bert6", None, .65),
          ("diffusion_block", None, .55), ("dcgan", None, .55), ("yolo", None, .55), ("espcn", None, .65), ("char_lstm", None, .5),
          ("gru", None, .4), ("bilstm", None, .4), ("decoder_step", None, .4)]
PEERS = ["ort", "openvino", "ncnn", "mnn", "tract"]
BEST_AIM, MEAN_AIM = .8, .6


def name_of(model, free):
    return f"{model} ×{free}" if free else model


def environment(options):
    """What every engine is started with."""
    hide = os.path.join(os.path.dirname(os.path.abspath(options.ingot)), "tests", "bench", "hide_avx512.so")
    return {**os.environ, "LD_PRELOAD": hide, "INGOT_ISA": "avx2"} if options.avx2 else None


def measure(model, free, threads, options):
    """Rows of compare.py for one model and thread count, by engine; the first is Ingot."""
    with tempfile.NamedTemporaryFile(suffix=".json") as report:
        ours = f"{options.ingot} bench {{model}} {{inputs}} --threads {{threads}} --iterations {{n}} --json"
        command = [*shlex.split(options.wrap), sys.executable, options.compare, "--threads", threads, "--rounds", options.rounds,
                   "--ms", options.ms, "--json", report.name, *(["--free-dim", free] if free else []),
                   os.path.join(options.corpus, model, "model.onnx"), "--", ours, *options.engines]
        done = subprocess.run([str(c) for c in command], capture_output=True, text=True, env=environment(options))
        if done.returncode:
            print((done.stdout + done.stderr)[-500:], file=sys.stderr)
            return None
        rows = json.load(open(report.name))
    rows[0]["engine"] = "ingot"
    return {row["engine"]: {k: row[k] for k in ("ms", "ratio", "load_ms", "first_ms", "peak_mib", "failure")} for row in rows}


def ratio(rows, engine):
    """Ingot's time over the engine's; None where one of them has none."""
    row = rows.get(engine)
    return 1 / row["ratio"] if row and row["ratio"] else None


def best_ratio(rows):
    known = [r for r in (ratio(rows, e) for e in PEERS) if r]
    return max(known, default=None)


def mean(values):
    values = [v for v in values if v]
    return math.exp(sum(map(math.log, values)) / len(values)) if values else None


def cell(value, aim=None, digits=2):
    if value is None:
        return "–"
    text = f"{value:.{digits}f}"
    return f"**{text}**" if aim and value > aim else text


def table(data, threads):
    """Ratios on that many threads; those that miss their aim are bold."""
    lines = ["| model | ms | " + " | ".join(PEERS) + " | to the fastest | aim to ort | peak MiB | ort's | load ms | ort's |",
             "| --- " + "| ---: " * (len(PEERS) + 7) + "|"]
    for model, free, aim in MODELS:
        rows = data.get(f"{model}/{free}/{threads}")
        if not rows:
            continue
        ours, ort = rows["ingot"], rows.get("ort") or {}
        number = lambda row, key: cell(row.get(key), None, 1)
        over = ort.get("peak_mib")
        lines.append(" | ".join([f"| {name_of(model, free)}", cell(ours["ms"], None, 3)] +
                                [cell(ratio(rows, e), aim if e == "ort" else None) for e in PEERS] +
                                [cell(best_ratio(rows), BEST_AIM), f"{aim:.2f}", cell(ours["peak_mib"], over, 1), number(ort, "peak_mib"),
                                 number(ours, "load_ms"), number(ort, "load_ms")]) + " |")
    rows = [data[k] for k in data if k.endswith(f"/{threads}")]
    lines.append("| geometric mean | | " + " | ".join(cell(mean(ratio(r, e) for r in rows)) for e in PEERS) +
                 f" | {cell(mean(best_ratio(r) for r in rows), MEAN_AIM)} | | | | | |")
    return lines


def scaling(data):
    """Time on one thread over that on two."""
    lines = ["| model | 1 thread, ms | 2 threads, ms | ratio |", "| --- | ---: | ---: | ---: |"]
    for model, free, _ in MODELS:
        times = [(data.get(f"{model}/{free}/{t}") or {}).get("ingot", {}).get("ms") for t in (1, 2)]
        if all(times):
            text = cell(times[0] / times[1])
            missed = times[0] / times[1] < (1.8 if times[0] > 2 else 1)
            lines.append(f"| {name_of(model, free)} | {times[0]:.3f} | {times[1]:.3f} | {f'**{text}**' if missed else text} |")
    return lines


def processor():
    text = open("/proc/cpuinfo").read()
    model, family = (re.search(rf"{key}\s*: (.*)", text) for key in ("model name", "cpu family"))
    return f"{model.group(1)}{f' (family {family.group(1)})' if family else ''}" if model else "unknown processor"


def output(*command, env=None):
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=env).stdout.strip()


def write_page(data, options):
    threads = sorted({int(k.rsplit("/", 1)[1]) for k in data})
    isa = output(options.ingot, "--version", env=environment(options)).splitlines()[0].rsplit("(", 1)[-1].rstrip(")")
    commit = output("git", "rev-parse", "--short", "HEAD")
    today = datetime.date.today().isoformat()
    history = []
    if os.path.exists(options.page):
        history = [line for line in open(options.page) if re.match(r"\| \d{4}-", line)]
    facts = [cell(mean(best_ratio(data[k]) for k in data if k.endswith(f"/{t}"))) + " / " +
             cell(mean(ratio(data[k], "ort") for k in data if k.endswith(f"/{t}"))) for t in threads]
    entry = f"| {today} | {commit} | {processor()}, {isa} | {' · '.join(facts)} | {options.note} |\n"
    history = [line for line in history if line.split("|")[1:4] != entry.split("|")[1:4]] + [entry]
    lines = ["# Ingot beside other engines", "",
             "Written by `tests/bench/compare_peers.py`. Ingot's median time over each peer's in the same run: below 1 is faster. Bold: past",
             f"its aim (to the fastest peer {BEST_AIM}, in the geometric mean {MEAN_AIM}). Machines drift: only ratios of one run mean anything.",
             "Speed against batch and image side, as `growth.py` draws it: [growth](growth).",
             *(["AVX-512 was hidden from all engines, as `hide_avx512.c` says."] if options.avx2 else []), "", f"{today}, commit {commit}: {processor()}, {isa}, float32, {options.rounds} rounds of {options.ms} ms."]
    for t in threads:
        lines += ["", f"## {t} thread{'s' if t > 1 else ''}", ""] + table(data, t)
    if {1, 2} <= set(threads):
        lines += ["", "## From 1 thread to 2", "", "Aim: 1.8 over 2 ms, never below 1. Runs apart in time: indicative.", ""] + scaling(data)
    lines += ["", "## History", "", f"Geometric means to the fastest peer / to ONNX Runtime, on {' · '.join(map(str, threads))} thread(s).", "",
              "| date | commit | machine | means | note |", "| --- | --- | --- | --- | --- |"]
    with open(options.page, "w") as page:
        page.write("\n".join(lines) + "\n" + "".join(history))
    print(f"wrote {os.path.relpath(options.page)}")


def main():
    numbers = lambda text: [int(n) for n in text.split(",")]
    shared = os.path.join(os.path.dirname(ROOT), "shared")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", help="names, comma-separated; default: all that are not in --data yet")
    parser.add_argument("--threads", type=numbers, default=[1, 2])
    parser.add_argument("--engines", type=lambda text: text.split(","), default=PEERS)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--ms", type=int, default=400)
    parser.add_argument("--avx2", action="store_true", help="hide AVX-512 from all engines")
    parser.add_argument("--data", help="default: build/results.json, or results_avx2.json")
    parser.add_argument("--wrap", default="", help="command to put before each measurement")
    parser.add_argument("--ingot", default=os.path.join(ROOT, "build", "ingot"))
    parser.add_argument("--compare", default=os.path.join(shared, "bench", "compare.py"))
    parser.add_argument("--corpus", default=os.path.join(ROOT, "build", "models"))
    parser.add_argument("--page", help="default: results.md beside this script, or results_avx2.md")
    parser.add_argument("--from-data", action="store_true")
    parser.add_argument("--no-page", action="store_true", help="only measure and print")
    parser.add_argument("--note", default="", help="for the page's history")
    options = parser.parse_args()
    name = "results_avx2" if options.avx2 else "results"
    options.data = options.data or os.path.join(ROOT, "build", name + ".json")
    options.page = options.page or os.path.join(HERE, name + ".md")
    data = json.load(open(options.data)) if os.path.exists(options.data) else {}
    for model, free, _ in [] if options.from_data else MODELS:
        for threads in options.threads:
            key = f"{model}/{free}/{threads}"
            if model not in options.models.split(",") if options.models else key in data:
                continue
            rows = measure(model, free, threads, options)
            if not rows:
                continue
            data[key] = rows
            with open(options.data, "w") as f:
                json.dump(data, f, indent=1)
            told = "  ".join(f"{e} {cell(ratio(rows, e))}" for e in options.engines)
            print(f"{name_of(model, free):20} t{threads} {cell(rows['ingot']['ms'], None, 3):>9} ms   {told}   peak "
                  f"{cell(rows['ingot']['peak_mib'], None, 0)} ({cell((rows.get('ort') or {}).get('peak_mib'), None, 0)}) MiB", flush=True)
    if not options.no_page:
        write_page(data, options)


if __name__ == "__main__":
    main()
