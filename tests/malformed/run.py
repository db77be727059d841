"""Runs every malformed or odd model of the tables and compares exit code and line with what is expected.

    python3 tests/malformed/run.py INGOT MEASURE [--only TEXT] [--sanitize] [--json FILE] [--show]

Each model runs with passes, without passes, and with its constants given as inputs, on a stack of 256 KiB. A rejection may take
1 s of the processor and 64 MiB over an idle start; its message is one line. INGOT is the command, MEASURE the program built from
measure.c.
"""
import argparse
import json
import multiprocessing
import os
import re
import statistics
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import models  # noqa: E402
import rows_bytes  # noqa: E402,F401
import rows_structure  # noqa: E402,F401
for extra in ("rows_tensors", "rows_operators", "rows_operators_more", "rows_running", "rows_fuzzing", "rows_domains"):
    if os.path.exists(os.path.join(HERE, extra + ".py")):
        __import__(extra)

MAX_MS, MAX_KIB, MEDIAN_KIB = 1000, 64 << 10, 2 << 10
CULPRIT = re.compile(r"node '|value '|input |output |initializer|attribute|function|byte|external data|domain|opset|IR version|graph|"
                     r"tensor|sparse|--max-memory|--timeout|empty")


class Runner:
    def __init__(self, options):
        self.options = options
        self.stack_kib, self.seconds = (0, 60) if options.sanitize else (256, 10)

    def measure(self, arguments, folder):
        """Exit code, peak in KiB, milliseconds, and what came to standard error."""
        read, write = os.pipe()
        with tempfile.TemporaryFile() as err:
            def to_third():
                os.dup2(write, 3)
            done = subprocess.run([self.options.measure, str(self.seconds), str(self.stack_kib), self.options.ingot, *arguments], cwd=folder,
                                  stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=err, preexec_fn=to_third, close_fds=False)
            os.close(write)
            told = os.read(read, 200).decode().split()
            os.close(read)
            err.seek(0)
            text = err.read().decode(errors="replace")
        if done.returncode or len(told) != 3:
            sys.exit(f"{self.options.measure} does not work")
        return int(told[0]), int(told[1]), float(told[2]), text


def save(made, folder):
    """Write the model; returns it as a ModelProto where it is one."""
    if callable(made):
        made = made(folder)
    if made is not None:
        with open(os.path.join(folder, "model.onnx"), "wb") as file:
            file.write(made if isinstance(made, bytes) else made.SerializeToString())
    return None if isinstance(made, bytes) else made


def feed(made, folder):
    """Options that give the initializers of the one node 'culprit' as inputs, after writing fed.onnx; None where it makes no sense."""
    if made is None or not made.graph.initializer or len(made.graph.node) != 1 or made.graph.sparse_initializer:
        return None
    options, fed = [], models.onnx.ModelProto()
    fed.CopyFrom(made)
    del fed.graph.initializer[:]
    for constant in made.graph.initializer:
        try:
            array = models.numpy_helper.to_array(constant)
        except Exception:
            return None
        if constant.data_type not in (1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13) or constant.name in {i.name for i in made.graph.input}:
            return None
        models.np.save(os.path.join(folder, constant.name + ".npy"), array)
        fed.graph.input.append(models.info(constant.name, constant.data_type, [None] * array.ndim))
        options += ["--input", f"{constant.name}={constant.name}.npy"]
    with open(os.path.join(folder, "fed.onnx"), "wb") as file:
        file.write(fed.SerializeToString())
    return options


def variants(row, folder):
    """The command lines of a row, with a name for each."""
    made = save(row["model"], folder)
    common = ["--threads", "1", "--quiet", *row["options"]]
    yield "passes", ["run", "model.onnx", *common]
    yield "no passes", ["run", "model.onnx", "--disable-pass", "all", *common]
    options = feed(made, folder) if row["name"].startswith("op:") else None
    if options:
        yield "fed", ["run", "fed.onnx", *options, *common]


def judge(row, code, err, peak, ms, idle, sanitize):
    """What is wrong with a result, or None."""
    lines = err.splitlines()
    if code >= 124 and code != 130:
        return "takes too long" if code == 124 else f"ended by signal {code - 128}: {err[-1500:]}"
    if "Sanitizer" in err or "runtime error" in err:
        return err[:3000]
    if code != row["code"]:
        return f"exit code {code}, expected {row['code']}"
    if code == 0:
        return None if not lines else "prints messages"
    if len(lines) != 1 or not lines[0].startswith("ingot: ") or not lines[0].isprintable():
        return "the message is not one line"
    if not re.search(row["pattern"], lines[0]):
        return f"the line does not have /{row['pattern']}/"
    if not sanitize and ms > MAX_MS:
        return f"takes {ms:.0f} ms"
    if not sanitize and peak - idle > MAX_KIB:
        return f"takes {(peak - idle) / 1024:.0f} MiB"
    return None


def try_row(runner, row, idle):
    """What each variant of the row came to: (name, exit code, peak over an idle start, ms, line, what is wrong)."""
    results = []
    with tempfile.TemporaryDirectory(prefix="ingot-malformed-") as around:
        folder = os.path.join(around, "model")  # some rows write beside it
        os.mkdir(folder)
        for variant, arguments in variants(row, folder):
            code, peak, ms, err = runner.measure(arguments, folder)
            results.append((variant, code, peak - idle, ms, err, judge(row, code, err, peak, ms, idle, runner.options.sanitize)))
    return results


def by_index(index):
    """In a process of its own, which has what `shared` had when it was forked: rows may hold functions, which cannot be sent."""
    runner, rows, idle = shared
    return try_row(runner, rows[index], idle)


def main():
    global shared
    parser = argparse.ArgumentParser()
    parser.add_argument("ingot")
    parser.add_argument("measure")
    parser.add_argument("--only", default="")
    parser.add_argument("--sanitize", action="store_true", help="INGOT is a sanitizer build: no limits of time, memory, stack")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)), help="models that are tried at once")
    parser.add_argument("--json")
    parser.add_argument("--show", action="store_true", help="print every line")
    options = parser.parse_args()
    options.ingot, options.measure = os.path.abspath(options.ingot), os.path.abspath(options.measure)
    runner = Runner(options)
    with tempfile.TemporaryDirectory() as folder:
        idle = statistics.median(runner.measure(["--version"], folder)[1] for _ in range(5))
    rows = [row for row in models.TABLE if options.only in row["name"]]
    failed, peaks, times, named, runs = [], [], [], 0, 0
    shared = runner, rows, idle
    with multiprocessing.get_context("fork").Pool(options.jobs) as pool:
        for row, results in zip(rows, pool.imap(by_index, range(len(rows)))):
            for variant, code, peak, ms, err, wrong in results:
                runs += 1
                if code:
                    peaks.append(peak)
                    times.append(ms)
                    named += bool(CULPRIT.search(err))
                if wrong or options.show:
                    print(f"{row['name']} [{variant}]: {wrong or 'as expected'}\n    {code}: {err.strip()[:400]}", flush=True)
                if wrong:
                    failed.append(row["name"])
    bad = set(failed)
    if peaks and not options.sanitize:
        print(f"malformed: {len(rows)} models, {runs} runs; over an idle start of {idle / 1024:.1f} MiB: median "
              f"{statistics.median(peaks) / 1024:.2f} MiB, most {max(peaks) / 1024:.1f} MiB; slowest {max(times):.0f} ms; "
              f"{100 * named / len(peaks):.1f} % of the lines name a culprit")
        if not options.only and (statistics.median(peaks) > MEDIAN_KIB or named < 0.95 * len(peaks)):
            bad.add("median memory or culprits named")
    print(f"malformed: {len(rows) - len(bad)} passed, {len(bad)} failed")
    if options.json:
        with open(options.json, "w") as file:
            json.dump({"passed": len(rows) - len(bad), "failed": sorted(bad)}, file)
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
