"""Cuts every small model of the corpus at 200 places and changes a bit at 1,000: none may crash, hang or leak.

    python3 tests/damage.py BUILD [--cuts 200] [--flips 1000] [--most-kib 3000] [--only TEXT] [--json FILE [--seconds N]]

BUILD is best one with sanitizers (build/sanitize); its tests/robust/damage does the work in one process for each model. With
--json models that FILE tells of are not done again, and after N seconds no other one is begun: a long run in pieces.
"""
import argparse
import collections
import json
import os
import re
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SHARED = os.path.join(os.path.dirname(ROOT), "shared")


def corpus(options):
    """Name and path of each small model; the corpus is unpacked where --corpus does not say where it is."""
    folder = options.corpus or os.path.join(ROOT, "build", "models")
    if not options.corpus:
        subprocess.run([sys.executable, os.path.join(SHARED, "models", "unpack.py"), folder], check=True)
    for name in sorted(os.listdir(folder)):
        path = os.path.join(folder, name, "model.onnx")
        if options.only in name and os.path.exists(path) and os.path.getsize(path) <= options.most_kib << 10:
            yield name, path


def damage(program, path, options):
    """What came of one model: how often each status, and the longest time; or the text of a failure."""
    environment = dict(os.environ, ASAN_OPTIONS="allocator_may_return_null=1:detect_leaks=1", UBSAN_OPTIONS="halt_on_error=1:print_stacktrace=1")
    start = time.time()
    done = subprocess.run([program, str(options.cuts), str(options.flips), path], capture_output=True, text=True, env=environment)
    if done.returncode:
        return {"failed": f"code {done.returncode}\n{done.stderr[-4000:]}"}
    counts = {name.strip(): int(n) for name, n in re.findall(r"([a-z/ ]+) (\d+),", done.stdout)}
    return {"counts": counts, "longest_ms": float(re.search(r"took (\d+) ms", done.stdout)[1]),
            "refusal_ms": float(re.search(r"refusal (\d+) ms", done.stdout)[1]), "seconds": time.time() - start}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build")
    parser.add_argument("--corpus", help="where the corpus lies unpacked")
    parser.add_argument("--cuts", type=int, default=200)
    parser.add_argument("--flips", type=int, default=1000)
    parser.add_argument("--most-kib", type=int, default=3000)
    parser.add_argument("--only", default="")
    parser.add_argument("--json")
    parser.add_argument("--seconds", type=float, default=float("inf"))
    options = parser.parse_args()
    program = os.path.join(os.path.abspath(options.build), "tests", "robust", "damage")
    results, start, left = {}, time.time(), 0
    if options.json and os.path.exists(options.json):
        with open(options.json) as file:
            results = json.load(file)
    for name, path in corpus(options):
        if name in results:
            continue
        if time.time() - start > options.seconds:
            left += 1
            continue
        results[name] = damage(program, path, options)
        print(name, results[name].get("failed") or results[name]["counts"], flush=True)
        if options.json:
            with open(options.json, "w") as file:
                json.dump(results, file)
    total, failed = collections.Counter(), sorted(name for name in results if "failed" in results[name])
    for result in results.values():
        total.update(result.get("counts", {}))
    def longest(key):
        return "{:.0f} ms ({})".format(*max(((r[key], name) for name, r in results.items() if key in r), default=(0, "none")))
    print(f"damage: {len(results)} models ({left} left), {sum(total.values())} files: {dict(total)}; the longest took {longest('longest_ms')} of "
          f"processor time, the longest refusal {longest('refusal_ms')}; {len(failed)} failed", *failed)
    sys.exit(bool(failed or not results))


if __name__ == "__main__":
    main()
