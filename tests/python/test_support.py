"""What the registry says that runs, beside the standard: operators, versions and types of onnx.defs; and the page of it."""
import json
import os

import onnx
import pytest

from conftest import ROOT

# Operators of the standard that are not run, with the reason.
LEFT_OUT = {
    "ai.onnx.preview.training": "Gradient and the optimizers: Ingot runs models, and does not train them",
}


def element_type(text):
    """The element type in "tensor(T)", "seq(tensor(T))", "optional(seq(tensor(T)))", "map(K, T)", "seq(map(K, T))"."""
    return text.replace(")", "").split("(")[-1].split(", ")[-1]


def table(ingot):
    done = ingot("inspect", "--support", "--json")
    assert done.code == 0, done.err
    return json.loads(done.out)["operators"]


@pytest.fixture(scope="module")
def rows(ingot):
    return table(ingot)


def find(rows, schema):
    for row in rows:
        if (row["domain"], row["op_type"]) == (schema.domain, schema.name) and row["first"] <= schema.since_version and (
                not row["last"] or schema.since_version <= row["last"]):
            return row
    return None


def allowed(schema, name):
    constraint = [c.allowed_type_strs for c in schema.type_constraints if c.type_param_str == name]
    return {element_type(t) for t in (constraint[0] if constraint else [name])}


def test_every_operator_version_and_type_of_the_standard(rows):
    missing = []
    for schema in onnx.defs.get_all_schemas_with_history():
        if schema.domain in LEFT_OUT or schema.deprecated:
            continue
        row, label = find(rows, schema), f"{schema.domain or 'ai.onnx'}.{schema.name}-{schema.since_version}"
        if row is None:
            missing.append(label)
            continue
        for i, parameter in enumerate(schema.inputs):
            lacking = allowed(schema, parameter.type_str) - set(row["inputs"][min(i, len(row["inputs"]) - 1)]["types"])
            if lacking:
                missing.append(f"{label} input {i} ({parameter.name}): {' '.join(sorted(lacking))}")
    assert not missing, "\n" + "\n".join(missing)


def test_the_page(ingot):
    with open(os.path.join(ROOT, "ops", "SUPPORT.md")) as f:
        assert f.read() == ingot("inspect", "--support").out, "build/ingot inspect --support > ops/SUPPORT.md"
