"""Writes the library as one C file, for projects that keep what they use in their own tree.

    python3 engine/amalgamate.py FOLDER          leaves ingot.c, ingot.h and ingot.hpp there; needs protoc-c and a C compiler
    cc -O2 -fopenmp -c ingot.c                   without -fopenmp every run is on one thread
    cc app.c ingot.o -fopenmp -lprotobuf-c -lm -lpthread -ldl

All levels of the instruction set are in it: the kernels stand there once for each, behind a pragma that names its target,
and the processor is asked at run time, as ever. gcc and clang compile it without further options and give the bits that the
library's own build gives. Not in it: RegexFullMatch and ImageDecoder of compressed formats, which need libraries.

How: the files of the meson.build lists one after the other, each header once, before the first file that needs it. Names that
files keep for themselves would meet in one file: those that do are renamed by #define while their file lasts. Which those are
is read off the preprocessed text, where names that macros make up are seen too.
"""
import collections
import concurrent.futures
import functools
import os
import re
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TOKEN = re.compile(r'[A-Za-z_]\w*|"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])*\'|\.?\d[\w.]*|->|\S')
WORD = re.compile(r"[A-Za-z_]\w*$")
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]+([<"])([^">]+)[">].*\n', re.M)
LOCAL_NAMES = ("cpu.h", "kernels.h")                    # headers of ops/kernels that know no instruction set
# Files of which the build takes one: a condition for each, or None where it is left out.
CHOICES = {"engine/core/region_openmp.c": "defined(_OPENMP)", "engine/core/region_none.c": "!defined(_OPENMP)",
           "ops/kernels/cpu_x86.c": "defined(__x86_64__)", "ops/kernels/cpu_aarch64.c": "defined(__aarch64__)",
           "ops/kernels/cpu_other.c": "!defined(__x86_64__) && !defined(__aarch64__)", "ops/pattern_pcre2.c": None}
OWN_INCLUDES = {"omp.h", "cpuid.h", "arm_neon.h", "immintrin.h", "emmintrin.h"}   # that only some have: see TOP


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as f:
        return f.read()


# ---- what is to be written -------------------------------------------------------------------------------------------


def sources():
    """The .c files of the library but the kernels, as the meson.build files list them."""
    found = []
    for folder, _, names in sorted(os.walk(ROOT)):
        path = os.path.relpath(folder, ROOT)
        if "meson.build" in names and path.split(os.sep)[0] in ("engine", "onnx", "ops") and path not in ("ops/kernels", "engine/python"):
            listed = re.findall(r"'([\w/]+\.c)'", read(os.path.join(path, "meson.build")))
            found += [os.path.normpath(os.path.join(path, name)) for name in listed if os.path.exists(os.path.join(folder, name))]
    found += ["ops/kernels/kernels.c"] + [path for path in CHOICES if path.startswith("ops/kernels/")]
    return [path for path in dict.fromkeys(found) if CHOICES.get(path, "") is not None]


def kernel_sections():
    """(architecture, instruction set, the one that it builds on or "", gcc's target, files) in order of speed."""
    text = read("ops/kernels/meson.build")
    lists = re.findall(r"kernel_sources = files\((.*?)\)", text, re.S)
    every = [f"ops/kernels/{name}" for name in re.findall(r"'(\w+\.c)'", " ".join(lists))]
    few = ["ops/kernels/dot_i8.c", "ops/kernels/table.c"]
    rows = [("", "baseline", "", [], every)]
    for table, files in (("kernel_isas", every), ("dot_isas", few)):
        body = re.search(table + r" = \{(.*?)\n\}", text, re.S).group(1)
        for arch, block in re.findall(r"'(x86_64|aarch64)': \{(.*?)\}", body, re.S):
            for isa, base, flags in re.findall(r"'(\w+)': (?:\['(\w+)', )?\[(.*?)\]", block, re.S):
                rows.append((arch, isa, base, [f[2:] for f in re.findall(r"'(-m[\w.]+)'", flags)], files))
    return [row for i, row in enumerate(rows) if row[1] != "baseline" or i == 0]


def make_schema(folder):
    """The schema's C code, and stand-ins for picture formats; {path within the tree: where it is}."""
    os.makedirs(os.path.join(folder, "onnx"))
    os.makedirs(os.path.join(folder, "ops"))
    subprocess.run(["protoc-c", f"--proto_path={ROOT}/onnx", f"--c_out={folder}/onnx", "onnx.proto", "onnx-data.proto"], check=True)
    made = {f"onnx/{name}": os.path.join(folder, "onnx", name) for name in os.listdir(os.path.join(folder, "onnx"))}
    for name, library in re.findall(r"'(\w+)': \['([\w-]+)', '>= [\d.]+', '\w+'\]", read("ops/meson.build")):
        path = os.path.join(folder, "ops", f"image_{name}_none.c")
        with open(path, "w", encoding="utf-8") as f:
            f.write(read("ops/image_none.c.in").replace("@name@", name).replace("@library@", library))
        made[f"ops/image_{name}_none.c"] = path
    return made


# ---- names that a file keeps for itself -------------------------------------------------------------------------------


def without_attributes(tokens):
    """The tokens but __attribute__((...))."""
    kept, depth = [], 0
    for i, token in enumerate(tokens):
        if token == "__attribute__" and not depth:
            depth = -1
        elif depth:
            depth += (token == "(") * (2 if depth < 0 else 1) - (token == ")")
        else:
            kept.append(token)
    return kept


def declared(tokens, names):
    """Add the name that a declaration gives, if the file keeps it to itself. Tokens: without bodies and initializers."""
    if "=" in tokens:
        tokens = tokens[: tokens.index("=")]
    text = re.sub(r"_Alignas \( .*? \)", "", " ".join(without_attributes(tokens)))
    if "typedef" not in tokens and "static" not in tokens:
        return
    pointer, called = re.search(r"\( \* (?:const )?(\w+)", text), re.search(r"(\w+) \(", text)
    if called and not (pointer and pointer.start() < called.start() + len(called.group())):
        names.add(called.group(1))
    elif pointer:
        names.add(pointer.group(1))
    else:
        last = re.search(r"(\w+)\s*(\[.*)?$", text.strip())
        if last:
            names.add(last.group(1))


@functools.cache                                                     # headers come again with every file
def file_scope(text):
    """Names of a preprocessed text: of static functions and variables, types, tags and constants."""
    tokens, names, pending, i = TOKEN.findall(text), set(), [], 0
    while i < len(tokens):
        token = tokens[i]
        i += 1
        if token == ";":
            declared(pending, names)
            pending = []
        elif token != "{":
            pending.append(token)
        else:
            kinds = ("enum", "struct", "union")
            kind = next((k for k in kinds if k in pending[-2:]), None)
            if kind and pending[-1] != kind:
                names.add(pending[-1])
            depth, level, before = 1, 0, "{"
            while depth:
                token = tokens[i]
                i += 1
                depth += (token == "{") - (token == "}")
                level += (token in "([") - (token in ")]")
                if kind == "enum" and level == 0 and before in "{," and WORD.match(token):
                    names.add(token)
                before = token
            if kind or "=" in pending:
                pending.append("{}")
            else:                                                    # a function's body
                declared(pending, names)
                pending = []
    return frozenset(names)


class Tree:
    """Texts by path, and what the preprocessor makes of them."""

    def __init__(self, made, folder):
        self.made, self.folder = made, folder

    def text(self, path):
        if path in self.made:
            with open(self.made[path], encoding="utf-8") as f:
                return f.read()
        return read(path)

    def find(self, name, user):
        """The path within the tree of a header that `user` includes."""
        beside = os.path.normpath(os.path.join(os.path.dirname(user), name))
        for path in (name, beside, "onnx/" + name, "engine/" + name):
            if path in self.made or os.path.exists(os.path.join(ROOT, path)):
                return path
        raise SystemExit(f"{user} includes {name}, which is not in the tree")

    def guarded(self, path):
        return not path.endswith("_loops.h")

    def preprocess(self, path, *flags):
        """{path within the tree: its share of the preprocessed text}"""
        command = [os.environ.get("CC", "cc"), "-E", "-std=gnu11", "-D_GNU_SOURCE", "-I", ROOT, "-I", self.folder, "-I", self.folder + "/onnx", *flags,
                   self.made.get(path) or os.path.join(ROOT, path)]
        done = subprocess.run(command, capture_output=True, text=True)
        parts, shares = re.split(r'^# \d+ "(.*?)".*\n', done.stdout, flags=re.M), collections.defaultdict(list)
        for name, text in zip(parts[1::2], parts[2::2]):
            here = self.within(name)
            if here:
                shares[here].append(text)
        return {name: "\n".join(texts) for name, texts in shares.items()}

    @functools.cache
    def within(self, name):
        """The path within the tree of a file that the preprocessor names, or None."""
        name = os.path.normpath(name)
        return next((os.path.relpath(name, top) for top in (self.folder, ROOT) if name.startswith(top + os.sep)), None)

    def names_of(self, path, *flags):
        """Names that the file and its templates (unguarded headers) keep to themselves, and those of its guarded headers."""
        shares = self.preprocess(path, *flags)
        own = [share for name, share in shares.items() if name == path or not self.guarded(name)]
        return file_scope("\n".join(own)), {n: file_scope(share) for n, share in shares.items() if n != path and self.guarded(n)}

    def names_of_all(self, paths, *flags):
        """(path, names_of(path)) of each, the preprocessor running for several at a time."""
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            return list(zip(paths, pool.map(lambda path: self.names_of(path, *flags), paths)))


# ---- writing -----------------------------------------------------------------------------------------------------------


def macros(text):
    return list(dict.fromkeys(re.findall(r"^[ \t]*#[ \t]*define[ \t]+(\w+)", text, re.M)))


class Writer:
    def __init__(self, tree):
        self.tree, self.out, self.seen, self.system = tree, [], set(), []

    def bare(self, path, section):
        """A file's text: templates in place, as are headers of headers; other headers are written before it, and system
        headers put together at the top."""
        def replace(match):
            if match.group(1) == "<":
                if match.group(2) not in [*self.system, *OWN_INCLUDES] and not match.group(2).startswith("protobuf-c"):
                    self.system.append(match.group(2))
                return ""
            header = self.tree.find(match.group(2), path)
            if not self.tree.guarded(header):
                return self.bare(header, section)
            if header != "engine/ingot.h" and header not in section and header not in self.seen:
                section.add(header) if self.per_isa(header) else self.seen.add(header)
                text = f"/* ---- {header} ---- */\n{self.bare(header, section)}\n"
                if self.per_isa(header):
                    self.isa_macros += macros(text)
                if path.endswith(".h"):
                    return text
                self.out.append(text)
            return ""

        return INCLUDE.sub(replace, self.choose_simd(path, self.tree.text(path)))

    isa, isa_macros = None, []

    def per_isa(self, header):
        return bool(self.isa) and header.startswith("ops/kernels/") and os.path.basename(header) not in LOCAL_NAMES

    def choose_simd(self, path, text):
        """In isa.h only the branch of the section's instruction set counts."""
        if path != "ops/kernels/isa.h":
            return text
        chain = re.search(r"#if INGOT_ISA_NUMBER ==.*?#endif\n", text, re.S)
        branches = re.split(r"^#(?:el)?if INGOT_ISA_NUMBER == INGOT_ISA_NUMBER_(\w+)\n|^#else\n", chain.group()[: -len("#endif\n")], flags=re.M)[1:]
        chosen = dict(zip(branches[::2], branches[1::2]))
        return text.replace(chain.group(), chosen.get(self.isa) or chosen[None])

    def file(self, path, renames, section, condition="", around={}):
        """One file between the #defines that rename its names and the #undefs that end them; those around it come back."""
        text = self.bare(path, section)
        lines = [f"/* ---- {path} ---- */"] + [f"#if {condition}"] * bool(condition)
        lines += [f"#undef {name}" for name in sorted(set(renames) & set(around))]
        lines += [f"#define {a} {b}" for a, b in sorted(renames.items())] + [text.strip("\n")]
        lines += [f"#undef {name}" for name in dict.fromkeys([*sorted(renames), *macros(text)])]
        lines += [f"#define {name} {around[name]}" for name in sorted(set(renames) & set(around))] + ["#endif"] * bool(condition)
        self.out.append("\n".join(lines) + "\n")

    def kernels(self, arch, isa, base, target, files):
        """The kernels of one instruction set: every name of theirs, and of their headers, gets its ending."""
        self.isa, self.isa_macros = isa, []
        flags = [f"-DINGOT_ISA={isa}"] + [f"-DINGOT_BASE={base}"] * bool(base) + [f"-m{t}" for t in target]
        own, shared = {}, set()
        for path, (own[path], headers) in self.tree.names_of_all(files, *flags):
            for header, names in headers.items():
                if self.per_isa(header):
                    shared |= names
        self.out.append(f"/* ==== kernels: {isa} ==== */\n" + (f"#if defined(__{arch}__)\n" if arch else "") + begin_target(target) +
                        f"#define INGOT_ISA {isa}\n" + (f"#define INGOT_BASE {base}\n" if base else "") +
                        "".join(f"#define {name} {name}_{isa}\n" for name in sorted(shared)))
        section, around = set(), {name: f"{name}_{isa}" for name in shared}
        for path in sorted(files, key=lambda p: p.endswith("table.c")):
            stem = os.path.basename(path)[:-2]
            if stem == "table":      # no code: and it declares kernels of another instruction set
                self.out.append(end_target(target))
            self.file(path, {name: f"{name}_{stem}_{isa}" for name in own[path]}, section, "", around)
        undone = dict.fromkeys([*sorted(shared), *self.isa_macros, "INGOT_ISA", "INGOT_BASE"])
        self.out.append("".join(f"#undef {name}\n" for name in undone) + ("#endif\n" if arch else ""))
        self.isa = None


def begin_target(target):
    if not target:
        return ""
    features = ",".join(target)
    return (f'#ifdef __clang__\n#pragma clang attribute push(__attribute__((target("{features}"))), apply_to = function)\n#else\n'
            f'#pragma GCC push_options\n#pragma GCC target("{features}")\n#endif\n')


def end_target(target):
    return "#ifdef __clang__\n#pragma clang attribute pop\n#else\n#pragma GCC pop_options\n#endif\n" if target else ""


TOP = """/* ingot.c - the library Ingot %s as one file, written by engine/amalgamate.py. Do not change it; ingot.h tells how to use it.
 *
 *     cc -O2 -fopenmp -c ingot.c
 *
 * and link with -fopenmp -lprotobuf-c -lm -lpthread -ldl. Without -fopenmp every run is on one thread.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "ingot.h"
#ifdef __clang__
#pragma STDC FP_CONTRACT OFF
#else        /* a multiply-add is written out where one is meant */
#pragma GCC optimize("fp-contract=off", "no-math-errno", "no-trapping-math")
#pragma GCC diagnostic ignored "-Wattributes"      /* declarations do not say again for which target a kernel was compiled */
#endif
#ifdef _OPENMP
#include <omp.h>
#endif
#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif
"""


def main():
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    target = sys.argv[1]
    os.makedirs(target, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        made = make_schema(os.path.realpath(folder))
        tree = Tree(made, os.path.realpath(folder))
        files = sources() + [path for path in made if path.endswith(".c")]
        names = {path: own for path, (own, _) in tree.names_of_all(files)}
        counts = collections.Counter(name for found in names.values() for name in found)
        writer = Writer(tree)
        foreign = system_names(tree, files)
        for path in files:
            stem = re.sub(r"\W", "_", os.path.basename(path)[:-2])
            renames = {name: f"{name}_{stem}" for name in names[path] if counts[name] > 1 or name in foreign}
            writer.file(path, renames, set(), CHOICES.get(path, ""))
        for section in kernel_sections():
            writer.kernels(*section)
    version = ".".join(re.findall(r"#define INGOT_VERSION_\w+ (\d+)", read("engine/ingot.h")))
    with open(os.path.join(target, "ingot.c"), "w", encoding="utf-8") as f:
        f.write(TOP % version + "".join(f"#include <{name}>\n" for name in sorted(writer.system)) + "#include <protobuf-c/protobuf-c.h>\n" +
                "#pragma GCC visibility push(hidden)\n" + "".join(writer.out) + "#pragma GCC visibility pop\n")
    for name in ("ingot.h", "ingot.hpp"):
        with open(os.path.join(target, name), "w", encoding="utf-8") as f:
            f.write(read("engine/" + name))


def system_names(tree, files):
    """Every word of the system headers that any file includes: a file that does not include one may use its words."""
    headers = {name for path in files for mark, name in INCLUDE.findall(tree.text(path)) if mark == "<"} - OWN_INCLUDES
    source = os.path.join(tree.folder, "system.c")
    with open(source, "w", encoding="utf-8") as f:
        f.write("".join(f"#include <{name}>\n" for name in sorted(headers)))
    done = subprocess.run([os.environ.get("CC", "cc"), "-E", "-dD", "-D_GNU_SOURCE", source], check=True, capture_output=True, text=True)
    return {token for token in TOKEN.findall(done.stdout) if WORD.match(token)}


if __name__ == "__main__":
    main()
