"""Sphinx's settings for Ingot's documentation, and what it writes from the tree before each build.

    INGOT=build/ingot python -m sphinx -W engine/docs build/docs      needs doxygen, myst-parser, furo, breathe, and the Python package

The C interface comes from ingot.h through Doxygen and Breathe, the Python one from its docstrings, the command line from --help,
and the pages on numbers, security, operators and speed from the files beside the code.
"""
import os
import pathlib
import re
import subprocess
import sys

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parent.parent
GENERATED = HERE / "generated"            # git ignores it
COMMAND = os.environ.get("INGOT", str(ROOT / "build" / "ingot"))

project = "Ingot"
release = ".".join(re.findall(r"^#define INGOT_VERSION_[A-Z]+ (\d+)$", (ROOT / "engine" / "ingot.h").read_text(), re.M))
copyright = "the Ingot maintainers, Apache License 2.0"
extensions = ["myst_parser", "breathe", "sphinx.ext.autodoc"]
exclude_patterns = ["generated/xml", "generated/interface.md", "generated/commands.md"]
html_theme = "furo"
html_title = f"Ingot {release}"
html_copy_source = False
myst_enable_extensions = ["colon_fence", "attrs_block"]
myst_heading_anchors = 4
breathe_projects = {"ingot": str(GENERATED / "xml")}
breathe_default_project = "ingot"
breathe_domain_by_extension = {"h": "c"}
primary_domain = "c"
highlight_language = "none"
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_inherit_docstrings = False

DOXYFILE = f"""
INPUT = {ROOT}/engine/ingot.h
OUTPUT_DIRECTORY = {GENERATED}
GENERATE_HTML = NO
GENERATE_LATEX = NO
GENERATE_XML = YES
EXTRACT_ALL = YES
OPTIMIZE_OUTPUT_FOR_C = YES
QUIET = YES
WARN_IF_UNDOCUMENTED = NO
WARN_NO_PARAMDOC = NO
WARN_IF_DOC_ERROR = YES
WARN_IF_INCOMPLETE_DOC = NO
WARN_AS_ERROR = YES
ENABLE_PREPROCESSING = YES
MACRO_EXPANSION = YES
EXPAND_ONLY_PREDEF = YES
PREDEFINED = INGOT_API=
INPUT_FILTER = "{sys.executable} {HERE}/header_comments.py"
"""


def page(name, text):
    path = GENERATED / name
    if not path.exists() or path.read_text() != text:        # an unchanged page is not read again
        path.write_text(text)


def help_of(*arguments):
    return subprocess.run([COMMAND, *arguments, "--help"], check=True, capture_output=True, text=True).stdout


def write_command_line():
    overview = help_of()
    listed = re.search(r"^commands:\n(.*?)\n\n", overview, re.M | re.S)[1]
    text = f"```text\n{overview}```\n"
    for command in re.findall(r"^  (\w+) ", listed, re.M):
        text += f"\n## ingot {command}\n\n```text\n{help_of(command)}```\n"
    page("commands.md", text)


def write_from_tree():
    """Pages kept beside the code; links into the tree, which the site does not hold, become plain words."""
    for name, source in {"numbers.md": "engine/NUMBERS.md", "security.md": "SECURITY.md", "operators.md": "ops/SUPPORT.md",
                         "results.md": "tests/bench/results.md", "results_avx2.md": "tests/bench/results_avx2.md"}.items():
        page(name, re.sub(r"\[([^\]]+)\]\((?!https?:)[^)#]+\)", r"\1", (ROOT / source).read_text()))


def write_interface():
    doxygen = subprocess.run(["doxygen", "-"], input=DOXYFILE, text=True, capture_output=True)
    if doxygen.returncode:
        raise SystemExit(doxygen.stderr)
    groups = re.findall(r"@defgroup (\S+) (.*)", subprocess.run(
        [sys.executable, HERE / "header_comments.py", ROOT / "engine" / "ingot.h"], check=True, capture_output=True, text=True).stdout)
    text = ""
    for name, title in groups:
        text += f"\n## {title.capitalize()}\n\n```{{eval-rst}}\n.. doxygengroup:: {name}\n   :content-only:\n   :members:\n```\n"
    page("interface.md", text)


def setup(app):
    GENERATED.mkdir(exist_ok=True)
    write_command_line()
    write_from_tree()
    write_interface()
