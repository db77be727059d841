"""ops/schema.c says the same of every operator as the onnx package's own schemas."""
import collections
import os
import re

import onnx.defs
import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
LETTERS = {"FLOAT": "f", "INT": "i", "STRING": "s", "TENSOR": "t", "GRAPH": "g", "SPARSE_TENSOR": "p", "TYPE_PROTO": "y", "FLOATS": "F",
           "INTS": "I", "STRINGS": "S", "TENSORS": "T", "GRAPHS": "G"}


def required(attribute, schemas):
    """'!' where each version asks for the attribute, with a number where those from that opset on do, else nothing."""
    asks = [(s.since_version, attribute in s.attributes and s.attributes[attribute].required)
            for s in sorted(schemas, key=lambda s: s.since_version)]
    since = max((version + 1 for version, asked in asks if not asked), default=0)
    from_on = [version for version, _ in asks if version >= since]
    return "" if not from_on else "!" if from_on[0] == asks[0][0] else f"!{from_on[0]}"


def published(domain):
    """What schema.c should have: since, most outputs (0: any), attributes, by operator and over all versions."""
    versions = collections.defaultdict(list)
    for schema in onnx.defs.get_all_schemas_with_history():
        if schema.domain == domain:
            versions[schema.name].append(schema)
    rows = {}
    for name, schemas in versions.items():
        attributes = collections.defaultdict(list)
        for schema in schemas:
            for a in schema.attributes.values():
                attributes[a.name].append(a)
        text = " ".join(f"{a}:{''.join(sorted({LETTERS[x.type.name] for x in xs}))}{required(a, schemas)}" for a, xs in sorted(attributes.items()))
        variadic = any(s.outputs and s.outputs[-1].option.name == "Variadic" for s in schemas)
        rows[name] = (min(s.since_version for s in schemas), 0 if variadic else max(s.max_output for s in schemas), text)
    return rows


@pytest.mark.parametrize("domain, table", [("", "schemas_default"), ("ai.onnx.ml", "schemas_ml")])
def test_rows(domain, table):
    with open(os.path.join(ROOT, "ops", "schema.c")) as file:
        body = re.search(rf"{table}\[\] = {{(.*?)\n}};", file.read(), re.S).group(1)
    rows = {name: (int(since), int(outputs), "".join(re.findall(r'"([^"]*)"', text)))
            for name, since, outputs, text in re.findall(r'{"(\w+)", (\d+), (\d+),((?:\s*"[^"]*")+)}', body)}
    assert rows == published(domain)
    assert list(rows) == sorted(rows)
