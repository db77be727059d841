"""The library as one file: written, compiled as its users would, and compared with the library's own build, bit by bit."""
import os
import subprocess

import numpy as np
from conftest import ROOT

BUILD = os.environ.get("INGOT_BUILD") or os.path.join(ROOT, "build")
MYNET = os.path.join(ROOT, "models", "MyNet.onnx")

# Runs the model on numbers that depend on the seed, twice as many images as threads, and prints the scores' bits.
PROGRAM = """
#include <stdio.h>
#include <stdlib.h>
#include "ingot.h"
static float pixels[4 * 3 * 32 * 32];
int main(int argc, char **argv)
{
    const ingot_session_options options = { .size_bytes = sizeof options, .n_threads = argc > 2 ? atoi(argv[2]) : 1 };
    const ingot_tensor x = { .dtype = INGOT_FLOAT, .rank = 4, .shape = { 4, 3, 32, 32 }, .data = pixels };
    ingot_error error;
    ingot_model *model = NULL;
    ingot_session *session = NULL;
    unsigned random = 1;
    for (size_t i = 0; i < sizeof pixels / sizeof *pixels; i++)
        pixels[i] = (float)((random = random * 1664525u + 1013904223u) >> 8) / 16777216.0f;
    if (ingot_model_load(argv[1], NULL, &model, &error) || ingot_session_create(model, &options, &session, &error) ||
        ingot_session_set_input(session, NULL, &x, &error) || ingot_session_run(session, &error)) {
        puts(error.message);
        return error.status;
    }
    const ingot_tensor *y = ingot_session_output(session, 0);
    const unsigned *bits = y->data;
    printf("%s %d", ingot_isa(), (int)ingot_session_n_threads(session));
    for (int64_t i = 0; i < ingot_tensor_count(y); i++)
        printf(" %08x", bits[i]);
    puts("");
    ingot_session_free(session);
    ingot_model_free(model);
    return 0;
}
"""


def call(*command, **options):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, **options)
    assert done.returncode == 0 and not done.stderr, done.stdout[-2000:] + done.stderr[-3000:]
    return done.stdout


def test_same_bits(amalgamation):
    """cc without options that the README does not name: no warning, and the bits of the library at every level."""
    folder, compiler = amalgamation
    said = compiler.communicate(timeout=600)[0]
    assert compiler.returncode == 0 and not said, said[-3000:]
    (folder / "app.c").write_text(PROGRAM)
    call("cc", "-O2", "app.c", "ingot.o", "-fopenmp", "-lprotobuf-c", "-lm", "-o", "one", cwd=folder)
    call("cc", "-O2", "app.c", "-L", BUILD, "-lingot", "-o", "own", cwd=folder)
    assert "libingot" not in call("readelf", "-d", folder / "one")
    for isa in ("baseline", "avx2", "avxvnni", "avx512", "avx512vnni", "none such"):
        for threads in (1, 2):
            environment = dict(os.environ, INGOT_ISA=isa, LD_LIBRARY_PATH=BUILD)
            said = [call(folder / program, MYNET, threads, env=environment) for program in ("one", "own")]
            assert said[0] == said[1], isa
    bits = np.array([int(b, 16) for b in said[0].split()[2:]], "uint32").view("float32")
    assert np.isfinite(bits).all() and len(set(bits)) == 40
    # The names that it gives away are those of the header.
    listed = call("nm", "-g", "--defined-only", folder / "ingot.o").split("\n")
    visible = call("readelf", "-sW", folder / "ingot.o").split("\n")
    public = {line.split()[7] for line in visible if len(line.split()) > 7 and line.split()[4:6] == ["GLOBAL", "DEFAULT"] and line.split()[6] != "UND"}
    assert public and all(name.startswith("ingot_") for name in public) and len(public) < len(listed) / 5


def test_other_compilers(amalgamation):
    """clang, and a compiler without OpenMP, take it too; checked, not built, which would take another minute each."""
    folder, _ = amalgamation
    for compiler in (["clang", "-fopenmp"], ["cc", "-Wall"], ["cc", "-std=c11", "-pedantic-errors"]):
        call(*compiler, "-O2", "-fsyntax-only", "ingot.c", cwd=folder)
