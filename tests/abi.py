"""Prints what a program that was built against engine/ingot.h relies on, one line each: functions with their types, values of
enumerations, sizes of structs, places of their members. tests/abi.txt keeps it for the versions with one soname.

    python3 tests/abi.py > tests/abi.txt       after something was added
    python3 tests/abi.py --check               exit code 1 where a line of tests/abi.txt is gone, or a new one is not in it

What is gone or moved needs a new first number of the version in ingot.h, which is the soname's; what is new needs a new second
one (while the first is 0: any number). Structs that begin with size_bytes may grow at their end.
"""
import os
import re
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
HEADER = os.path.join(ROOT, "engine", "ingot.h")
KEPT = os.path.join(ROOT, "tests", "abi.txt")


def parse(text):
    """Functions, structs with their members' names, and constants of the header."""
    text = re.sub(r"/\*.*?\*/", " ", text, flags=re.S)
    text = re.sub(r"\s+", " ", re.sub(r"^\s*#.*$", "", text, flags=re.M))
    functions = sorted(f.strip() for f in re.findall(r"INGOT_API ([^;]*\));", text))
    callbacks = sorted(f.strip() for f in re.findall(r"(typedef \w+ \w+\([^;]*\));", text))
    structs = {}
    for body, name in re.findall(r"typedef struct \w+ \{([^}]*)\} (\w+);", text):
        members = []
        for declaration in filter(None, map(str.strip, body.split(";"))):
            pointer = re.search(r"\(\*(\w+)\)", declaration)     # a function's
            for part in [declaration] if pointer else declaration.split(","):
                members.append(pointer.group(1) if pointer else re.search(r"(\w+)\s*(\[\w+\])?$", part.strip()).group(1))
        structs[name] = members
    values = [v for body in re.findall(r"typedef enum \w+ \{([^}]*)\}", text) for v in re.findall(r"(\w+)\s*(?:=[^,]*)?(?:,|$)", body.strip())]
    return functions + callbacks, structs, values


def describe(header=HEADER):
    with open(header, encoding="utf-8") as f:
        functions, structs, values = parse(f.read())
    lines = ['printf("soname libingot.so.%d\\n", INGOT_VERSION_MAJOR);', 'printf("value INGOT_MAX_RANK %d\\n", INGOT_MAX_RANK);']
    lines += [f'printf("value {v} %d\\n", (int){v});' for v in values if v != "INGOT_N_DTYPES"]
    for name, members in structs.items():
        if members[0] != "size_bytes":
            lines.append(f'printf("size {name} %zu\\n", sizeof({name}));')
        lines += [f'printf("member {name}.{m} at %zu, %zu bytes\\n", offsetof({name}, {m}), sizeof((({name} *)0)->{m}));' for m in members]
    with tempfile.TemporaryDirectory() as folder:
        source, program = os.path.join(folder, "abi.c"), os.path.join(folder, "abi")
        with open(source, "w", encoding="utf-8") as f:
            f.write('#include <stdio.h>\n#include "%s"\nint main(void)\n{\n%s\nreturn 0;\n}\n' % (header, "\n".join(lines)))
        subprocess.run([os.environ.get("CC", "cc"), "-o", program, source], check=True)
        said = subprocess.run([program], check=True, capture_output=True, text=True).stdout
    return said.splitlines() + ["function " + f for f in functions]


def compare(kept, now):
    """What a program may miss, and what is not written down yet."""
    return [line for line in kept if line not in set(now)], [line for line in now if line not in set(kept)]


def main():
    now = describe()
    if "--check" not in sys.argv:
        print("\n".join(now))
        return 0
    with open(KEPT, encoding="utf-8") as f:
        gone, new = compare(f.read().splitlines(), now)
    for line in gone:
        print("gone:", line)
    for line in new:
        print("new:", line)
    return bool(gone or new)


if __name__ == "__main__":
    sys.exit(main())
