"""Turns text files into C: embed_text.py OUT.c NAME FILE [NAME FILE ...] defines `const char NAME[]` for each."""
import sys

with open(sys.argv[1], "w") as out:
    for name, path in zip(sys.argv[2::2], sys.argv[3::2]):
        with open(path, "rb") as f:
            numbers = [str(byte - 256 if byte > 127 else byte) for byte in f.read() + b"\0"]
        lines = "".join(",".join(numbers[i:i + 40]) + ",\n" for i in range(0, len(numbers), 40))
        out.write(f"extern const char {name}[];\nconst char {name}[] = {{\n{lines}}};\n")
