"""Drawn cases of every family beside the reference evaluator; tests/random_operators.py runs as many as one likes."""
import os
import subprocess
import sys

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import random_families  # noqa: E402
import random_operators  # noqa: E402


@pytest.mark.parametrize("family", random_families.FAMILIES)
def test_agrees_with_the_reference(ingot, family):
    lines = []
    totals = random_operators.run_all([family], 60, 20260, say=lines.append)
    assert not lines and totals.failed == 0, "\n".join(lines)
    assert totals.passed > 40, totals.skipped


def test_a_seed_draws_the_same_case():
    for family in random_families.FAMILIES:
        first, again = (random_operators.describe(random_operators.draw(family, 11)) for _ in range(2))
        assert first == again


def test_a_difference_is_found(ingot, tmp_path, monkeypatch):
    """A reference that is off by a little fails the case, which is printed with its seed and saved."""
    right = random_operators.reference
    monkeypatch.setattr(random_operators, "reference", lambda case: [a + a.dtype.type(1) for a in right(case)])
    monkeypatch.setattr(random_operators, "FAMILIES", {"unary": {"Abs": random_families.UNARY["Abs"]}})
    lines = []
    totals = random_operators.run_all(["unary"], 1, 5, folder=tmp_path, say=lines.append)
    assert (totals.passed, totals.failed) == (0, 1) and "--families unary --seed 5" in lines[0]
    saved = tmp_path / "Abs_unary_5"
    assert ingot("verify", saved / "model.onnx", saved / "test_data_set_0").code == 1


def test_the_last_line_counts(ingot):
    done = subprocess.run([sys.executable, random_operators.__file__, "--families", "binary", "--cases", "5"],
                          env=dict(os.environ, INGOT=random_operators.INGOT), capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and done.stdout.splitlines()[-1] == "5 passed, 0 failed", done.stdout + done.stderr
