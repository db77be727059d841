"""Which models and which of their steps do not gain from a second thread: profiles at 1 and 2 threads, step by step.

    python tests/bench/scaling.py [--rounds 5] [--iterations N] [--steps 6] [--wrap COMMAND] MODEL.onnx [...]

For each model: time of a run on one thread over that on two, from rounds that alternate, of each the shortest; then the
kinds of steps and the single steps that lose most, that is whose time on two threads is furthest above half of that on one.
`helped` is the share of a step's time in which the second thread worked on it. A profile at whose end the machine's own
multiply-add rate did not double on two threads was disturbed, and is made anew.
"""
import argparse
import collections
import json
import os
import shlex
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def profile(path, threads, options):
    command = [*shlex.split(options.wrap), options.ingot, "profile", path, "--threads", str(threads), "--iterations", str(options.iterations),
               "--json"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{path}: {done.stderr.strip()}")
    return json.loads(done.stdout)


def quiet_profile(path, threads, options):
    """A profile made while the machine could multiply twice as fast on two threads; the last of several tries otherwise."""
    for _ in range(options.tries):
        report = profile(path, threads, options)
        rates = report["machine"]
        if threads == 1 or rates["all_threads"]["gflops"] > 1.8 * rates["one_thread"]["gflops"]:
            break
    return report


def compare(path, options):
    runs = {1: [], 2: []}
    for _ in range(options.rounds):
        for threads in runs:
            runs[threads].append(quiet_profile(path, threads, options))
    one, two = ([[r["steps"][i] for r in runs[t]] for i in range(len(runs[t][0]["steps"]))] for t in (1, 2))
    shortest = lambda steps: min(s["time_us"] for s in steps)
    total = [sum(map(shortest, steps)) for steps in (one, two)]
    whole = [min(r["run_ms"] for r in runs[t]) for t in (1, 2)]
    name = os.path.basename(os.path.dirname(path)) if os.path.basename(path) == "model.onnx" else os.path.basename(path)
    print(f"\n{name}: steps {total[0] / 1e3:.3f} -> {total[1] / 1e3:.3f} ms, x{total[0] / total[1]:.2f}; "
          f"whole run {whole[0]:.3f} -> {whole[1]:.3f} ms, x{whole[0] / whole[1]:.2f}")
    if len(one) != len(two):
        print("  plans differ")
        return
    kinds = collections.defaultdict(lambda: [0, 0, 0])
    for a, b in zip(one, two):
        kind = kinds[f"{a[0]['op_type']} {a[0]['kernel']}"]
        kind[0] += 1
        kind[1] += shortest(a)
        kind[2] += shortest(b)
    lost = lambda a, b: 100 * (b - a / 2) / total[1]
    for kind, (n, a, b) in sorted(kinds.items(), key=lambda item: item[1][1] / 2 - item[1][2]):
        if lost(a, b) >= 1:
            print(f"  {a:9.1f} -> {b:9.1f} us  x{a / b:4.2f}  loses {lost(a, b):4.1f} %  all {n} {kind}")
    losses = sorted(zip(one, two), key=lambda pair: shortest(pair[0]) / 2 - shortest(pair[1]))
    for a, b in losses[:options.steps]:
        first, second = shortest(a), shortest(b)
        if lost(first, second) < 1:
            break
        print(f"  {first:9.1f} -> {second:9.1f} us  x{first / second:4.2f}  loses {lost(first, second):4.1f} %  helped "
              f"{100 * max(s['helped'] for s in b):3.0f} %  {b[0]['op_type']:18} {b[0]['output']:24} {b[0]['kernel']:22} {b[0]['node']}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tries", type=int, default=4, help="profiles to make while other work disturbs (default 4)")
    parser.add_argument("--iterations", type=int, default=20)
    parser.add_argument("--steps", type=int, default=6, help="steps to show of each model (default 6)")
    parser.add_argument("--wrap", default="", help="command to put before each profile")
    parser.add_argument("--ingot", default=os.path.join(ROOT, "build", "ingot"))
    parser.add_argument("models", nargs="+")
    options = parser.parse_args()
    for path in options.models:
        compare(path, options)


if __name__ == "__main__":
    main()
