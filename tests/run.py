"""Builds Ingot and runs its tests, part by part; the last line counts what passed and failed.

    build/venv/bin/python tests/run.py [PART ...]

Parts: unit (C tests, every instruction set), python (command line, passes, reader and writer, from outside), corpus (models
beside their PyTorch dumps), malformed (the tables of tests/malformed: an exit code and one line for each), conformance (the
ONNX project's cases listed in tests/conformance.txt), sanitize (unit tests, malformed and other models under the address and
undefined sanitizers), clang (builds without warnings, and programs of many threads have no race under the thread sanitizer), musl
(unit tests of a build for musl, without OpenMP), arm (NEON kernels under qemu-user), docs (the site is built without a warning, and
no link of it leads nowhere).
"""
import glob
import json
import os
import re
import shutil
import subprocess
import sys
import time
import xml.etree.ElementTree

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SHARED = os.path.join(os.path.dirname(ROOT), "shared")
BUILD = os.path.join(ROOT, "build", "test")
INGOT = os.path.join(BUILD, "ingot")
# The Python package needs a newer meson than Debian's, and cffi: those beside the interpreter that runs this.
VENV = dict(os.environ, PATH=os.path.dirname(sys.executable) + os.pathsep + os.environ["PATH"])
VERIFY = INGOT + " verify {model} {data} --rtol {rtol} --atol {atol} --quiet"


def run(*command, **options):
    return subprocess.run([str(c) for c in command], cwd=ROOT, stdin=subprocess.DEVNULL, text=True, **options)


def build(folder, *options, env=None):
    """Configure and compile into folder; returns whether it went well without a warning."""
    environment = dict(os.environ, **(env or {}))
    if not os.path.exists(os.path.join(folder, "build.ninja")):
        done = run("meson", "setup", folder, *options, env=environment, capture_output=True)
        if done.returncode:
            print(done.stdout[-3000:], done.stderr[-1000:])
            return False
    done = run("ninja", "-C", folder, env=environment, capture_output=True)
    lines = (done.stdout + done.stderr).splitlines()
    noted = [line for line in lines if "warning:" in line or "error:" in line or line.startswith("FAILED")]
    print("\n".join(noted[:20]))
    return done.returncode == 0 and not noted


def c_tests(folder, *options, env=None):
    """Run the C tests of a build; counts from meson's log."""
    log = os.path.join(folder, "meson-logs", "testlog.json")
    if os.path.exists(log):
        os.remove(log)
    run("meson", "test", "-C", folder, "--no-rebuild", "--print-errorlogs", *options, env=dict(os.environ, **(env or {})))
    if not os.path.exists(log):
        return 0, 1
    results = [json.loads(line)["result"] for line in open(log)]
    good = sum(r in ("OK", "EXPECTEDFAIL") for r in results)
    return good, len(results) - good - results.count("SKIP")


def unit():
    return c_tests(BUILD, env=VENV)


def stage_package():
    """Install the Python package beneath build/; returns the folder that it lies in."""
    stage = os.path.join(ROOT, "build", "stage")
    run("meson", "install", "-C", BUILD, "--no-rebuild", "--tags", "python-runtime", "--destdir", stage, env=VENV, capture_output=True)
    found = glob.glob(os.path.join(stage, "**", "ingot", "__init__.py"), recursive=True)
    return os.path.dirname(os.path.dirname(found[0])) if found else ""


def python():
    report = os.path.join(ROOT, "build", "pytest.xml")
    environment = dict(VENV, INGOT=INGOT, INGOT_BUILD=BUILD, CORPUS=corpus_folder() or "", INGOT_BINDINGS="1",
                       PYTHONPATH=stage_package())
    run(sys.executable, "-m", "pytest", "-q", "-x" if os.environ.get("FAIL_FAST") else "-q", "tests/python", "--junitxml", report,
        env=environment)
    suite = xml.etree.ElementTree.parse(report).getroot().find("testsuite").attrib
    bad = int(suite["failures"]) + int(suite["errors"])
    return int(suite["tests"]) - bad - int(suite["skipped"]), bad


def corpus_folder():
    if not os.path.isdir(SHARED):
        return None
    folder = os.path.join(ROOT, "build", "models")
    run(sys.executable, os.path.join(SHARED, "models", "unpack.py"), folder, check=True)
    return folder


def listed(name):
    with open(os.path.join(ROOT, "tests", name)) as f:
        return [line.split("#")[0].strip() for line in f if line.split("#")[0].strip()]


def verify_corpus(commands, names, jobs=2):
    """Verify the named models; every command must agree."""
    report = os.path.join(ROOT, "build", "corpus.json")
    command = [sys.executable, os.path.join(SHARED, "models", "verify_all.py"), "--corpus", corpus_folder(), "--jobs", jobs,
               "--json", report]
    for template in commands:
        command += ["--command", template]
    run(*command, capture_output=True)
    results = json.load(open(report))
    bad = [n for n in names if results.get(n, ["missing", ""])[0] != "agrees"]
    for name in bad:
        print("corpus:", name, *results.get(name, ["missing"]))
    return len(names) - len(bad), len(bad)


def corpus():
    if not corpus_folder():
        print("corpus: ../shared is not here: left out")
        return 0, 0
    names = listed("corpus.txt")
    passed, failed = verify_corpus([VERIFY], names)
    variants = [VERIFY + " --disable-pass fold-batch-normalization", VERIFY + " --threads 3", "env INGOT_ISA=baseline " + VERIFY]
    more = verify_corpus(variants, names)
    return passed + more[0], failed + more[1]


def malformed(folder=BUILD, *options):
    """Every row of the tables; counts from the runner's report."""
    report = os.path.join(ROOT, "build", "malformed.json")
    if os.path.exists(report):
        os.remove(report)
    run(sys.executable, "tests/malformed/run.py", os.path.join(folder, "ingot"), os.path.join(folder, "tests", "malformed", "measure"),
        "--json", report, *options)
    if not os.path.exists(report):
        return 0, 1
    result = json.load(open(report))
    return result["passed"], len(result["failed"])


def conformance():
    if not os.path.isdir(SHARED):
        print("conformance: ../shared is not here: left out")
        return 0, 0
    cases, report = os.path.join(ROOT, "build", "cases"), os.path.join(ROOT, "build", "conformance.json")
    if not os.path.isdir(cases):
        run(sys.executable, os.path.join(SHARED, "conformance", "make_cases.py"), cases, check=True, capture_output=True)
    run(sys.executable, os.path.join(SHARED, "conformance", "run.py"), cases, "--jobs", 2, "--json", report, "--command", VERIFY)
    results, names = json.load(open(report)), listed("conformance.txt")
    bad = [n for n in names if results.get(n, ["missing", ""])[0] != "pass"]
    for name in bad:
        print("conformance:", name, *results.get(name, ["missing"]))
    new = sorted(n for n, (verdict, _) in results.items() if verdict == "pass" and n not in set(names))
    if new:
        print(f"conformance: {len(new)} more cases pass than tests/conformance.txt lists:", *new[:10])
    unnamed = sorted(set(results) - set(names) - set(listed("conformance-missing.txt")) - set(new))
    if unnamed:
        print("conformance: fail, and are not named in tests/conformance-missing.txt:", *unnamed)
    more = mutated(cases)
    return len(names) - len(bad) + more[0], len(bad) + more[1]


def mutated(cases):
    """Ten mutations of each case's model by tests/fuzz/mutate.c, the same ones each time: no crash, the same end with passes and
    without, the same bits on one thread and on four. Counted in batches."""
    paths = [p for p in sorted(glob.glob(os.path.join(cases, "*", "*", "model.onnx"))) if os.path.getsize(p) <= 5000]
    bad = 0
    batches = [paths[i:i + 200] for i in range(0, len(paths), 200)]
    for number, batch in enumerate(batches):
        last = os.path.join(ROOT, "build", f"mutated-{number}.onnx")
        done = run(os.path.join(BUILD, "tests", "fuzz", "replay_run"), "-10", *batch, capture_output=True,
                   env=dict(os.environ, FUZZ_LAST=last))
        if done.returncode:
            bad += 1
            print(f"conformance: a mutation, kept as {last}: {done.stderr[-1000:]}")
        else:
            os.remove(last)
    return len(batches) - bad, bad


def has_avx512():
    """Kernels for it take a third of the time of a build: where none can run, a sanitizer has nothing to look at."""
    try:
        return "avx512f" in open("/proc/cpuinfo").read()
    except OSError:
        return True


def sanitize():
    folder = os.path.join(ROOT, "build", "sanitize")
    options = ["--buildtype=plain", "-Doptimization=1", "-Ddebug=true", "-Db_sanitize=address,undefined", "-Db_lundef=false"]
    if not build(folder, *options, f"-Davx512={str(has_avx512()).lower()}"):
        return 0, 1
    environment = {"UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1", "ASAN_OPTIONS": "detect_leaks=1"}
    passed, failed = c_tests(folder, "--timeout-multiplier", "10", env=environment)
    os.environ.update(environment)
    more = malformed(folder, "--sanitize")
    passed, failed = passed + more[0], failed + more[1]
    if corpus_folder():
        small = [n for n in listed("corpus.txt") if n.startswith(("bn_", "ops_", "mynet_bn", "mynet_ts_op7", "ctrl_"))]
        more = verify_corpus([VERIFY.replace(INGOT, os.path.join(folder, "ingot"))], small)
        passed, failed = passed + more[0], failed + more[1]
    return passed, failed


def clang():
    """A build by another compiler, without warnings; it has the thread sanitizer, under which programs of many threads then run. With
    libomp and its tool archer the sanitizer knows what OpenMP orders. A race that is made on purpose shows that it looks."""
    folder = os.path.join(ROOT, "build", "clang")
    options = ["--buildtype=plain", "-Doptimization=1", "-Dc_args=-gline-tables-only", "-Db_sanitize=thread", "-Db_lundef=false"]
    good = build(folder, *options, env={"CC": "clang"})
    archers = glob.glob("/usr/lib/llvm-*/lib/libarcher.so")
    environment = dict(os.environ, OMP_TOOL_LIBRARIES=archers[-1] if archers else "", TSAN_OPTIONS="ignore_noninstrumented_modules=1")
    mynet, raced = os.path.join(ROOT, "models", "MyNet.onnx"), 66
    models = [mynet] + [os.path.join(folder, name, "model.onnx") for folder in [corpus_folder()] if folder for name in
                        ("ctrl_loop", "ctrl_if", "mynet_int8", "gru")]
    rows = [(["crowd", "--race", 2, 2, 1, mynet], raced), (["crowd", 6, 6, 1, *models], 0), (["crowd", 4, 6, 2, *models], 0),
            (["cancel", 20, 0, mynet], 0)]
    bad = 0
    for row, expected in rows:
        done = run(os.path.join(folder, "tests", "robust", row[0]), *row[1:], env=environment, capture_output=True)
        if done.returncode != expected:
            bad += 1
            print(f"clang: {row}: exit code {done.returncode}\n{done.stderr[:4000]}")
    return int(good) + len(rows) - bad, int(not good) + bad


def musl():
    """Without OpenMP and optional libraries, for another libc: tests/musl.sh counts."""
    done = run("bash", "tests/musl.sh", env=VENV, capture_output=True)
    print("".join(line + "\n" for line in done.stdout.splitlines() if not line.startswith("passed:")), end="")
    counts = re.search(r"(\d+) passed, (\d+) failed$", done.stdout.strip())
    return (int(counts[1]), int(counts[2])) if counts else (0, 1)


def arm():
    if not shutil.which("qemu-aarch64"):
        return 0, 1
    folder = os.path.join(ROOT, "build", "arm")
    if not build(folder, "--cross-file", "tests/aarch64.ini", "-Dkernels_only=true"):
        return 0, 1
    return c_tests(folder, "--timeout-multiplier", "20")


def docs():
    site = os.path.join(ROOT, "build", "docs")
    environment = dict(VENV, INGOT=INGOT, PYTHONPATH=stage_package())
    built = run(sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "engine/docs", site, env=environment).returncode == 0
    linked = built and run("linkchecker", "--no-status", os.path.join(site, "index.html"), env=environment, capture_output=True)
    if linked and linked.returncode:
        print(linked.stdout[-3000:])
    good = built + bool(linked and linked.returncode == 0)
    return good, 2 - good


PARTS = [unit, python, corpus, malformed, conformance, sanitize, clang, musl, arm, docs]


def main():
    chosen = [p for p in PARTS if not sys.argv[1:] or p.__name__ in sys.argv[1:]]
    passed = failed = 0
    if not build(BUILD, "-Dpython=enabled", env=dict(VENV, CC=os.environ.get("CC", "gcc"))):
        failed += 1
    for part in chosen:
        start = time.time()
        print(f"== {part.__name__}", flush=True)
        good, bad = part()
        print(f"== {part.__name__}: {good} passed, {bad} failed ({time.time() - start:.0f} s)", flush=True)
        passed, failed = passed + good, failed + bad
    print(f"{passed} passed, {failed} failed")
    sys.exit(failed > 0 or passed == 0)


if __name__ == "__main__":
    main()
