"""Writes the C source of the extension module from ingot.h, so that the two cannot fall apart.

    python build_native.py INGOT_H OUTPUT_C
"""
import re
import sys

import cffi

# cffi knows no preprocessor: what is left of the header after it, attributes and C++ guards taken out.
DIRECTIVE = re.compile(r"^\s*#.*$", re.MULTILINE)
GUARDED = re.compile(r"#ifdef __cplusplus.*?#endif", re.DOTALL)
CONSTANT = re.compile(r"^#define (INGOT_MAX_RANK) (\d+)$", re.MULTILINE)

CALLBACK = """
extern "Python" bool observe(void *user, const char *name, const char *node, ingot_tensor *value);
"""


def declarations(header):
    text = GUARDED.sub("", header)
    for name, value in CONSTANT.findall(text):
        text = re.sub(rf"\b{name}\b(?! \d)", value, text)
    return DIRECTIVE.sub("", text).replace("INGOT_API ", "") + CALLBACK


def main():
    header, output = sys.argv[1:]
    builder = cffi.FFI()
    with open(header, encoding="utf-8") as f:
        builder.cdef(declarations(f.read()))
    builder.set_source("ingot._native", '#include "engine/ingot.h"', py_limited_api=True)
    builder.emit_c_code(output)


if __name__ == "__main__":
    main()
