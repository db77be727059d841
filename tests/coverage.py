"""Line and branch coverage of the whole suite, and what is not covered.

    python3 tests/coverage.py [PART ...]            build into build/coverage, run parts of tests/run.py there, and report
    python3 tests/coverage.py --report              report what earlier calls ran
    python3 tests/coverage.py --report --list cli onnx      ... with each line and branch there that was not reached
    python3 tests/coverage.py --report --page       ... as tests/COVERAGE.md has it: what was not reached, by file and kind
    python3 tests/coverage.py --clear               forget what ran

The default is every part that runs the code natively: unit python corpus malformed conformance. The build is gcc's without
optimization, but for the kernels (-O1). Counted are the C files of engine, onnx, ops and cli; not the tests and not generated
code. A kernel's line counts as covered where the build for any instruction set of this processor ran it. Branches are gcov's:
two for each condition of an `if`, loop, && and ||, one for each case of a switch. "shape inference" is every function of ops/
whose name has "infer" in it, and the files below. Tests that look at limits of time or memory may fail in this build: their
failures are those of tests/run.sh to report.
"""
import argparse
import collections
import contextlib
import io
import json
import os
import re
import subprocess
import sys

import run

ROOT = run.ROOT
BUILD = os.path.join(ROOT, "build", "coverage")
PARTS = ["unit", "python", "corpus", "malformed", "conformance"]
INFERENCE_FILES = ("engine/plan/infer.c", "engine/passes/shapes.c", "ops/window.c", "ops/broadcast.c", "ops/op.c")
AIMS = {"all lines": 90, "onnx branches": 90, "shape inference branches": 90, "cli branches": 90}


class Line:
    """How often a line ran, and each of its branches; the same line may be in several objects."""

    def __init__(self, function):
        self.count, self.branches, self.function = 0, [], function

    def add(self, count, branches):
        self.count += count
        if len(branches) > len(self.branches):
            self.branches += [0] * (len(branches) - len(self.branches))
        for i, taken in enumerate(branches):
            self.branches[i] += taken


def counters(ending):
    """Files of the build that end so. The objects of sources above their folder are hidden ones: .._cli_text.c.gcno."""
    return sorted(os.path.join(folder, name) for folder, _, names in os.walk(BUILD) for name in names if name.endswith(ending))


def collect():
    """All lines by file, {path: {number: Line}}, from every object's counters."""
    files = collections.defaultdict(dict)
    objects = counters(".gcno")
    for start in range(0, len(objects), 40):
        out = subprocess.run(["gcov", "--json-format", "--stdout", "--branch-probabilities", *objects[start:start + 40]], cwd=BUILD,
                             capture_output=True, text=True).stdout
        for text in out.splitlines():
            for file in json.loads(text)["files"]:
                path = os.path.relpath(os.path.join(BUILD, file["file"]), ROOT)
                if not path.startswith(("engine/", "onnx/", "ops/", "cli/")) or not path.endswith((".c", ".h")):
                    continue
                for row in file["lines"]:
                    line = files[path].setdefault(row["line_number"], Line(row.get("function_name", "")))
                    line.add(row["count"], [b["count"] for b in row["branches"]])
    return files


def is_inference(path, line):
    return path in INFERENCE_FILES or path.startswith("ops/") and "infer" in line.function


def groups(path, line):
    """What a line counts for: all, its folder, shape inference."""
    yield "all"
    yield "ops/kernels" if path.startswith("ops/kernels/") else path.split("/")[0]
    if is_inference(path, line):
        yield "shape inference"


def report(files):
    """Print the table; returns the figures by name."""
    lines, branches = collections.defaultdict(lambda: [0, 0]), collections.defaultdict(lambda: [0, 0])
    for path, rows in files.items():
        for line in rows.values():
            for group in groups(path, line):
                lines[group][0] += line.count > 0
                lines[group][1] += 1
                branches[group][0] += sum(b > 0 for b in line.branches)
                branches[group][1] += len(line.branches)
    figures = {}
    print(f"{'':18}{'lines':>22}{'branches':>22}")
    for group in sorted(lines):
        texts = []
        for kind, counts in (("lines", lines[group]), ("branches", branches[group])):
            figures[f"{group} {kind}"] = 100 * counts[0] / max(1, counts[1])
            texts.append(f"{counts[0]:6} of {counts[1]:6} {figures[f'{group} {kind}']:5.1f}%")
        print(f"{group:18}{texts[0]:>22}{texts[1]:>22}")
    for name, aim in AIMS.items():
        print(f"{name}: {figures.get(name, 0):.1f} %, aim {aim} %")
    return figures


def missing(files, wanted):
    """Each line that never ran, and each branch that was never taken, of the files that start with, or the groups that are, wanted."""
    for path in sorted(files):
        with open(os.path.join(ROOT, path)) as file:
            text = [""] + file.read().split("\n")
        for number, line in sorted(files[path].items()):
            if not any(path.startswith(w) or w in groups(path, line) for w in wanted):
                continue
            untaken = [str(i) for i, b in enumerate(line.branches) if not b]
            if not line.count:
                yield f"{path}:{number}: never ran ({len(line.branches)} branches): {text[number].strip()}"
            elif untaken:
                yield f"{path}:{number}: branch {','.join(untaken)} of {len(line.branches)}: {text[number].strip()}"


# Why a branch was not taken, by what its line says; the first that fits.
KINDS = {
    "memory": (r"out_of_memory|out of memory|alloc|strdup|strndup|arena_|scope_define|larger|memstream|does not fit memory",
               "an allocation fails: the tests make each one fail that their models and files need, and these are others"),
    "size": (r"overflow|SIZE_MAX|INT\d*_MAX|PATH_MAX|UINT64_MAX|INGOT_MAX|sizeof \w+\)?$|>= \(int\)|capacity|limit|MOST_|_BYTES|too (long|many|large)",
             "a sum that overflows, a text, list or file that is too large for a test"),
    "system": (r"\b(f?open|openat2?|fstat|stat|read|pread|write|close|f?sync|fclose|rename|unlink|mkdir|access|getrusage|fcntl|sigaction|isatty|getenv)\b|errno|io_error|why",
               "the system fails, or a terminal is there"),
    "status": (r"!st\b|\bst\b|status|return st|error", "an error is handed on, which tests meet elsewhere but not from this caller"),
    "other": ("", "a combination of conditions that no test makes, or that nothing makes: a guard of what is checked before"),
}


def kind_of(text):
    return next(kind for kind, (pattern, _) in KINDS.items() if re.search(pattern, text))


def page(files, figures):
    """tests/COVERAGE.md: the figures, and what was not taken by file and kind."""
    counts = collections.defaultdict(collections.Counter)
    wanted = {"cli": "cli", "onnx": "onnx", "shape inference": "shape inference"}
    for path in sorted(files):
        with open(os.path.join(ROOT, path)) as file:
            text = [""] + file.read().split("\n")
        for number, line in files[path].items():
            group = next((g for g in groups(path, line) if g in wanted), None) if path.startswith(("cli", "onnx")) else (
                "shape inference" if is_inference(path, line) else None)
            untaken = sum(not b for b in line.branches)
            if group and untaken:       # what an if leads to tells more than its condition
                counts[group, path][kind_of(text[number] + (text[number + 1] if number + 1 < len(text) else ""))] += untaken
    yield "# What the tests reach\n"
    yield "Written by `tests/coverage.py --report --page` after all of its parts; `--list FILE` names each line and branch.\n"
    yield "| | lines | branches |\n| --- | --- | --- |"
    for name in ("all", "engine", "onnx", "ops", "ops/kernels", "cli", "shape inference"):
        yield f"| {name} | {figures.get(name + ' lines', 0):.1f} % | {figures.get(name + ' branches', 0):.1f} % |"
    yield "\nA branch is one outcome of a condition, each of `&&` and `||` by itself. In kernels they are those of three instruction sets, of which"
    yield "a processor's best runs most tests; kernels are held to a reference instead, over shapes that cross every tile edge (`tests/kernels`).\n"
    yield "Not taken in `cli`, `onnx` and shape inference, by kind:\n"
    for kind, (_, why) in KINDS.items():
        yield f"* **{kind}**: {why}"
    yield "\n| file | " + " | ".join(KINDS) + " |\n| --- |" + " --- |" * len(KINDS)
    for (group, path), kinds in sorted(counts.items(), key=lambda item: (item[0][0], -sum(item[1].values()), item[0][1])):
        if sum(kinds.values()) >= 5:
            yield f"| {path} | " + " | ".join(str(kinds[k] or "") for k in KINDS) + " |"
    for group in wanted:
        few = [sum(k.values()) for (g, _), k in counts.items() if g == group and sum(k.values()) < 5]
        yield f"| {len(few)} more of {group} | {sum(few)} in all |" + " |" * (len(KINDS) - 1)


def run_parts(names):
    """The parts of tests/run.py on the build with counters."""
    run.BUILD, run.INGOT = BUILD, os.path.join(BUILD, "ingot")
    run.VERIFY = run.VERIFY.replace(run.VERIFY.split()[0], run.INGOT)
    options = ("--buildtype=debug", "-Db_ndebug=true", "-Db_coverage=true", "-Dpython=enabled")
    for attempt in range(2):    # what is compiled anew cannot add to its old counters, and says so while it builds the manual
        built = run.build(BUILD, *options, env=dict(run.VENV, CC="gcc"))
        for path in counters(".gcda"):
            if os.path.getmtime(path[:-2] + "no") > os.path.getmtime(path):
                os.remove(path)
    if not built:
        sys.exit("coverage: does not build")
    run.malformed.__defaults__ = (BUILD,)
    for part in run.PARTS:
        if part.__name__ in names:
            good, bad = part()
            print(f"== {part.__name__}: {good} passed, {bad} failed", flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("parts", nargs="*")
    parser.add_argument("--report", action="store_true")
    parser.add_argument("--clear", action="store_true")
    parser.add_argument("--page", action="store_true")
    parser.add_argument("--list", nargs="+", default=[], metavar="FILE_OR_GROUP")
    options = parser.parse_args()
    if options.clear:
        for path in counters(".gcda"):
            os.remove(path)
        return
    if not options.report:
        run_parts(options.parts or PARTS)
    files = collect()
    if options.page:
        with contextlib.redirect_stdout(io.StringIO()):
            figures = report(files)
        print("\n".join(page(files, figures)))
        return
    figures = report(files)
    for text in missing(files, options.list):
        print(re.sub(r"\s+", " ", text))
    sys.exit(any(figures.get(name, 0) < aim for name, aim in AIMS.items()))


if __name__ == "__main__":
    main()
