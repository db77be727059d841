"""Clicks through the pages that the command writes, in a headless Chromium: folding, searching, chapters, tables, colours.

    python tests/pages.py BUILD [FOLDER]        needs chromium, onnx and numpy; FOLDER keeps the pages, with a picture of each

The last line is 'N passed, N failed'; where there is no browser it is 'left out'. Not part of tests/run.sh: a browser is large.

A copy of each page gets a script at its end (its policy, which would forbid that, taken out), which clicks as a reader would and
writes what it then finds; the browser prints the document. That the page's own scripts run under its policy is seen on the page
as it is.
"""
import html
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

import numpy as np
from onnx import TensorProto, helper, save

PICTURES = {"model.html": "1400,2400", "profile.html": "1400,2400", "verify.html": "1400,2600", "all.html": "1400,1800"}
POLICY = re.compile(r"<meta http-equiv=\"?Content-Security-Policy\"?[^>]*>")

#: Page, what is clicked and looked at (JavaScript, an expression's value counts), and what has to come out.
STEPS = [
    ("model.html", "the outline lists modules", "$$('.outline button').map(b => b.textContent).slice(0, 2)", ["▾ layer02", "▾ layer12"]),
    ("model.html", "a click folds a module", "click('.outline button'), $$('.canvas g.fold').length", 1),
    ("model.html", "and its box unfolds it", "click('.canvas g.fold'), $$('.canvas g.fold').length", 0),
    ("model.html", "all fold", "press('fold all'), $$('.canvas g.fold').length", 4),
    ("model.html", "and unfold", "press('unfold all'), $$('.canvas g.fold').length", 0),
    ("model.html", "the search finds", "type('.view input', 'relu block5'), $('.outline button').textContent", "1 found"),
    ("model.html", "and opens what was found", "$$('.outline button')[1].click(), $('.side .name').textContent", "/layer1/block5/conv/Conv"),
    ("model.html", "with its types", "$('.side').textContent.includes('float [1,4,8,8]')", True),
    ("model.html", "which it marks in the graph", "$$('.canvas g.on').length", 1),
    ("model.html", "the search ends", "type('.view input', ''), $$('.outline button').length", 4),
    ("model.html", "the graph of the file is the other tab", "press('as in the file (24)'), $$('.canvas g').length", 26),
    ("model.html", "where Conv and Relu are apart", "type('.view input', 'relu'), $('.outline button').textContent", "8 found"),
    ("model.html", "the picture grows", "before = $('.canvas svg').getAttribute('width'), press('+'), +$('.canvas svg').getAttribute('width') > before", True),
    ("model.html", "light and dark", "press('dark'), document.documentElement.dataset.theme", "dark"),
    ("model.html", "a place for each section", "$$('nav a').map(a => $(a.getAttribute('href')).dataset.title).includes('Memory over time')", True),
    ("profile.html", "numbers sort, the largest first", "head('ms'), column('ms').every((v, i, a) => !i || a[i - 1] >= v)", True),
    ("profile.html", "and back", "head('ms'), column('ms').every((v, i, a) => !i || a[i - 1] <= v)", True),
    ("profile.html", "rows are filtered", "type('#steps input', 'no such step'), visible('#steps')", 0),
    ("profile.html", "and come again", "type('#steps input', 'conv'), visible('#steps') > 0", True),
    ("all.html", "one chapter at a time", "$$('.chapter').filter(c => !c.hidden).map(c => c.dataset.title)", ["Model"]),
    ("all.html", "a click opens another", "press('Verification'), $$('.chapter').filter(c => !c.hidden).map(c => c.dataset.title)", ["Verification"]),
    ("all.html", "which says that all agrees", "$$('.verdict').map(v => v.textContent)", ["agrees"]),
    ("all.html", "its sections alone are listed", "$$('nav a').filter(a => !a.hidden).map(a => a.textContent).includes('Overview')", False),
    ("verify.html", "the first layer that departs is named", "document.body.textContent.includes('a2')", True),
    ("verify.html", "errors are drawn", "$$('.chart .dot').length > 0", True),
]

HELPERS = """
const $ = s => document.querySelector(s), $$ = s => [...document.querySelectorAll(s)];
const click = s => $(s).dispatchEvent(new MouseEvent('click', {bubbles: true}));
const press = text => $$('button').find(b => b.textContent === text && b.offsetParent !== null).click();
const type = (s, text) => { $(s).value = text; $(s).dispatchEvent(new Event('input')); };
const steps = $$('section').find(s => s.dataset.title === 'Steps');
if (steps) steps.querySelector('.table').id = 'steps';
const place = name => [...$$('#steps th')].findIndex(h => h.textContent.startsWith(name));
const head = name => $$('#steps th')[place(name)].click();
const column = name => $$('#steps tbody tr').map(r => +r.cells[place(name)].dataset.v);
const visible = s => $$(s + ' tbody tr').filter(r => !r.hidden).length;
let before;
const found = [];
for (const step of STEPS) { try { found.push(eval(step)); } catch (e) { found.push(String(e)); } }
document.body.textContent = 'FOUND' + JSON.stringify(found) + 'END';
"""


def make_pages(ingot, folder):
    """A model of four modules with a few blocks each, its dump, one value of which is wrong, and all kinds of pages."""
    nodes, last = [], "x"
    for i in range(8):
        out, path = "y" if i == 7 else f"r{i}", f"/layer{i % 4}/block{i}"
        nodes += [helper.make_node("Conv", [last, "w"], [f"c{i}"], name=f"{path}/conv/Conv", pads=[1, 1, 1, 1]),
                  helper.make_node("Add", [f"c{i}", last], [f"a{i}"], name=f"{path}/Add"),
                  helper.make_node("Relu", [f"a{i}"], [out], name=f"{path}/relu/Relu")]
        last = out
    weights = helper.make_tensor("w", TensorProto.FLOAT, [4, 4, 3, 3], (np.random.default_rng(1).normal(size=144) / 8).astype("f4"))
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 4, 8, 8]) for name in ("x", "y")]
    graph = helper.make_graph(nodes, "g", values[:1], values[1:], [weights])
    model = os.path.join(folder, "model.onnx")
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), model)
    x = np.random.default_rng(2).normal(size=(1, 4, 8, 8)).astype("f4")
    np.savez(os.path.join(folder, "x.npz"), input_0=x)

    def run(*command):
        done = subprocess.run([ingot, *command], cwd=folder, capture_output=True, text=True)
        assert done.returncode in (0, 1), done.stderr
    run("run", model, "--input", "x.npz", "--output-dir", ".", "--quiet")
    y = np.load(os.path.join(folder, "y.npy"))
    np.savez(os.path.join(folder, "dump.npz"), input_0=x, output_0=y, y=y)
    np.savez(os.path.join(folder, "wrong.npz"), input_0=x, output_0=y + 1, a2=np.full((1, 4, 8, 8), 3, "f4"))
    run("inspect", model, "--html", "model.html")
    run("profile", model, "--html", "profile.html", "--iterations", "3")
    run("inspect", model, "--html", "all.html", "--profile", "--dump", "dump.npz")
    run("verify", model, "wrong.npz", "--layers", "wrong.npz", "--html", "verify.html")


def browse(browser, folder, page, *options):
    command = [browser, "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--virtual-time-budget=3000", *options,
               "file://" + os.path.join(folder, page)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120).stdout


def click(browser, folder, page):
    """What each step of the page finds."""
    with open(os.path.join(folder, page), encoding="utf-8") as f:
        text = f.read()
    script = HELPERS.replace("STEPS", json.dumps([code for name, _, code, _ in STEPS if name == page]))
    with open(os.path.join(folder, "clicked.html"), "w", encoding="utf-8") as f:
        f.write(POLICY.sub("", text).replace("</body>", f"<script>{script}</script></body>") if "</body>" in text
                else POLICY.sub("", text) + f"<script>{script}</script>")
    found = re.search(r"FOUND(.*)END", browse(browser, folder, "clicked.html", "--dump-dom"), re.S)
    return json.loads(html.unescape(found[1])) if found else []


def main():
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not browser:
        print("left out: there is no chromium")
        return 0
    keep = os.path.abspath(sys.argv[2]) if len(sys.argv) > 2 else None
    passed = failed = 0
    with tempfile.TemporaryDirectory() as folder:
        make_pages(os.path.abspath(os.path.join(sys.argv[1], "ingot")), folder)
        for page, size in PICTURES.items():
            plain = browse(browser, folder, page, "--dump-dom")
            wanted = [(page, "its scripts run under its policy", True)] + [(p, what, want) for p, what, _, want in STEPS if p == page]
            found = [re.search(r'<nav>.*?<a href="#s0"', plain, re.S) is not None] + click(browser, folder, page)
            for (_, what, want), got in zip(wanted, found + [None] * len(wanted)):
                good = got == want
                passed, failed = passed + good, failed + (not good)
                print(f"{'passed' if good else 'FAILED'}: {page}: {what}" + ("" if good else f": {got!r}, expected {want!r}"))
            if keep:
                os.makedirs(keep, exist_ok=True)
                browse(browser, folder, page, f"--window-size={size}", "--screenshot=" + os.path.join(keep, page[:-5] + ".png"))
                shutil.copy(os.path.join(folder, page), keep)
    print(f"{passed} passed, {failed} failed")
    return failed > 0 or not passed


if __name__ == "__main__":
    sys.exit(main())
