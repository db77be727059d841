"""Runs the ONNX project's own backend tests (onnx.backend.test) through ingot.backend.

    python tests/backend.py [PREFIX]        only tests whose name begins with PREFIX; needs the packages ingot and onnx

The last line is 'N passed, N failed'. Tests that fail and are named in tests/conformance-missing.txt are told apart and do not count.
"""
import os
import sys
import unittest

import onnx.backend.test

import ingot.backend

#: The runner asks for the len() of a sequence's items, which here are numbers without dimensions: no engine's result can be compared
#: so. The conformance part of tests/run.sh compares it.
NOT_COMPARED = {"test_loop16_seq_none"}

HERE = os.path.dirname(os.path.abspath(__file__))


def main():
    prefix = sys.argv[1] if len(sys.argv) > 1 else "test_"
    with open(os.path.join(HERE, "conformance-missing.txt"), encoding="utf-8") as f:
        known = {line.split("#")[0].strip().split("/")[-1] for line in f} - {""}
    suite, names = unittest.TestSuite(), []
    for case in onnx.backend.test.BackendTest(ingot.backend, __name__).test_cases.values():
        for test in unittest.defaultTestLoader.loadTestsFromTestCase(case):
            name = test.id().split(".")[-1]
            if name.endswith("_cpu") and name.startswith(prefix):
                names.append(name)
                suite.addTest(test)
    result = unittest.TestResult()
    suite.run(result)
    bad = {test.id().split(".")[-1]: text for test, text in result.failures + result.errors}
    excused = {n for n in bad if n.removesuffix("_cpu") in known or
               (n.removesuffix("_cpu") in NOT_COMPARED and "Unable to compare" in bad[n])}
    for name in sorted(set(bad) - excused):
        print(name, bad[name].strip().splitlines()[-1])
    print(f"{len(excused)} fail that are named in conformance-missing.txt or cannot be compared, {len(result.skipped)} skipped")
    passed = len(names) - len(bad) - len(result.skipped)
    print(f"{passed} passed, {len(set(bad) - excused)} failed")
    sys.exit(len(bad) > len(excused) or not passed)


if __name__ == "__main__":
    main()
