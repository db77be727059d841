"""Turns text files into C: embed_text.py OUT.c NAME FILE [NAME FILE ...] defines `const char NAME[]` for each, and
`NAME_sha256[]`, by which a page's Content-Security-Policy knows a script that stands behind a line end."""
import base64
import hashlib
import sys

with open(sys.argv[1], "w") as out:
    for name, path in zip(sys.argv[2::2], sys.argv[3::2]):
        with open(path, "rb") as f:
            text = f.read()
        numbers = [str(byte - 256 if byte > 127 else byte) for byte in text + b"\0"]
        lines = "".join(",".join(numbers[i:i + 40]) + ",\n" for i in range(0, len(numbers), 40))
        out.write(f"extern const char {name}[];\nconst char {name}[] = {{\n{lines}}};\n")
        digest = base64.b64encode(hashlib.sha256(b"\n" + text).digest()).decode()
        out.write(f"extern const char {name}_sha256[];\nconst char {name}_sha256[] = \"{digest}\";\n")
