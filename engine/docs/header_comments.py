"""Doxygen's input filter for ingot.h: prints the header with its comments as Doxygen reads them; the header stays plain.

A comment before a declaration documents it; one behind it on the same line documents what stands there. The fields of a comment,
a name and two or more blanks, become parameters (in small letters) or paragraphs (Returns, Threads, Cost, Source). A line such as
/* ---- models ---- */ begins a group of that name; what comes before the first one is the group "basics".
"""
import re
import sys

PARAGRAPHS = {"Returns": "@return", "Threads": "@par Threads\n", "Cost": "@par Cost\n", "Source": "@par Source\n"}
BANNER = re.compile(r"^/\* -+ ([\w ]+?) -+ \*/$", re.M)
COMMENT = re.compile(r"(?P<before>[^\n]*?)/\*(?P<text>.*?)\*/(?P<after>[^\n]*)", re.S)
FIELD = re.compile(r"^([A-Za-z_]\w*) {2,}(?=\S)")


def paragraphs(text, trailing=False):
    """The text of a comment, without its stars, with fields marked."""
    lines = [re.sub(r"^\s*\* ?", "", line) for line in text.strip("*").strip().split("\n")]
    marked = []
    for line in lines:
        field = FIELD.match(line)
        if field and field[1] in PARAGRAPHS:
            line = f"\n{PARAGRAPHS[field[1]]} {line[field.end():]}"
        elif field and field[1].islower():
            line = f"@param {field[1]} {line[field.end():]}"
        elif re.match(r" {4}\S", line) and not trailing:        # a piece of code
            line = line if marked and marked[-1].lstrip("\n").startswith("    ") else "\n" + line
        else:
            line = line.strip()
        marked.append(line)
    return "\n * ".join(marked).replace("<", "\\<").replace("#", "\\#")


def documented(match):
    before, text, after = match["before"], match["text"], match["after"]
    if before.strip():
        return f"{before}/**< {paragraphs(text, True)} */{after}"
    return f"{before}/** {paragraphs(text)} */{after}"


def main():
    text = open(sys.argv[1], encoding="utf-8").read()
    text = re.sub(r"^typedef (struct|enum) (\w+) \{(.*?)\} \2;", r"\1 \2 {\3};", text, flags=re.M | re.S)   # one name, shown once
    opening, text = text.split("*/", 1)                       # the file's own comment is shown as it is
    first = True
    pieces = []
    for piece in re.split(r"(?m)^(?=/\* ----)", text):
        banner = BANNER.match(piece)
        name = banner[1] if banner else "basics"
        body = piece[banner.end():] if banner else piece
        close = "" if first else "/** @} */\n"
        group = f"{close}/** @defgroup {name.split()[-1]} {name}\n * @{{ */\n"
        pieces.append(group + COMMENT.sub(documented, body))
        first = False
    print(opening + "*/" + "".join(pieces) + "/** @} */")


if __name__ == "__main__":
    main()
