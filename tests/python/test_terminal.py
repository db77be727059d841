"""What only people see, and what shells ask: colour, progress, completions in bash, zsh and fish."""
import os
import pty
import re
import select
import shutil
import subprocess
import time

import numpy as np
import pytest
from conftest import INGOT, save_model
from onnx import TensorProto, helper


def on_terminal(arguments, seconds=30, **environment):
    """All that a command writes to a terminal, and its exit code."""
    master, slave = pty.openpty()
    done = subprocess.Popen([INGOT, *map(str, arguments)], stdin=slave, stdout=slave, stderr=slave, close_fds=True,
                            env={**{k: v for k, v in os.environ.items() if k != "NO_COLOR"}, "TERM": "xterm", **environment})
    os.close(slave)
    text, end = b"", time.monotonic() + seconds
    while time.monotonic() < end:
        if select.select([master], [], [], 0.1)[0]:
            try:
                piece = os.read(master, 65536)
            except OSError:
                break
            if not piece:
                break
            text += piece
        elif done.poll() is not None:
            break
    code = done.wait(timeout=seconds)
    os.close(master)
    return text.decode(errors="replace"), code


@pytest.fixture
def slow(tmp_path):
    """A model that takes some milliseconds."""
    w = np.ones((700, 700), np.float32)
    nodes = [helper.make_node("MatMul", ["x", "w"], ["t"]), helper.make_node("MatMul", ["t", "w"], ["y"])]
    return save_model(tmp_path / "slow.onnx", nodes, [("x", TensorProto.FLOAT, [700, 700])], [("y", TensorProto.FLOAT, [700, 700])], [("w", w)])


def test_colour_is_for_terminals(ingot, relu, tmp_path):
    other = save_model(tmp_path / "other.onnx", [helper.make_node("Tanh", ["x"], ["y"])], [("x", TensorProto.FLOAT, ["N", 3])],
                       [("y", TensorProto.FLOAT, ["N", 3])])
    command = ["diff", relu, other]
    assert "\x1b[31m- Relu" in on_terminal(command)[0] and "\x1b[32m+ Tanh" in on_terminal(command)[0]
    for environment, more in ({"NO_COLOR": "1"}, []), ({"TERM": "dumb"}, []), ({}, ["--color", "never"]):
        assert "\x1b" not in on_terminal(command + more, **environment)[0]
    assert "\x1b" in on_terminal(command, NO_COLOR="")[0]               # set, but empty
    assert "\x1b" not in ingot(*command).out and "\x1b[31m" in ingot(*command, "--color", "always").out
    text, code = on_terminal(["run", "no.onnx"])
    assert text.startswith("\x1b[31mingot:\x1b[0m ") and code == 7


def test_progress_is_for_terminals(ingot, slow):
    for command in (["bench", slow, "--threads", "1", "--iterations", "60"], ["profile", slow, "--threads", "1", "--iterations", "60"]):
        text, code = on_terminal(command)
        assert code == 0 and "runs [" in text and "#" in text
        assert text.rfind("\x1b[K") > text.rfind("runs [")              # the bar is taken away again
        assert "runs [" not in on_terminal(command + ["--quiet"])[0]
        done = ingot(*command)
        assert not done.err and "\r" not in done.out


# ---- shells ------------------------------------------------------------------------------------------------------

WANTED = [(["ingot", "pro"], "profile"), (["ingot", "run", "--out"], "--output-dir"), (["ingot", "run", "--filter", "bic"], "bicubic"),
          (["ingot", "bench", "--disable-pass", "fold-b"], "fold-batch-normalization"), (["ingot", "diff", "--after"], "--after-passes"),
          (["ingot", "run", "--color", "nev"], "never")]


@pytest.fixture
def shell(tmp_path):
    """An environment in which `ingot` is the built command."""
    (tmp_path / "bin").mkdir()
    os.symlink(INGOT, tmp_path / "bin" / "ingot")
    return {**os.environ, "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path),
            "XDG_DATA_HOME": str(tmp_path), "TERM": "xterm"}


@pytest.mark.parametrize("words, wanted", WANTED)
def test_bash_completes(shell, words, wanted):
    script = 'eval "$(ingot --describe bash)"; COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)); _ingot; printf "%s\\n" "${COMPREPLY[@]}"'
    done = subprocess.run(["bash", "-c", script, "bash", *words], env=shell, capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == [wanted] and not done.stderr


def test_bash_completes_models(shell, tmp_path):
    (tmp_path / "my model.onnx").touch()
    script = 'eval "$(ingot --describe bash)"; COMP_WORDS=(ingot run my) COMP_CWORD=2; _ingot; printf "%s\\n" "${COMPREPLY[@]}"'
    done = subprocess.run(["bash", "-c", script], env=shell, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.stdout == "my model.onnx\n"


@pytest.mark.parametrize("words, wanted", WANTED)
@pytest.mark.skipif(not shutil.which("fish"), reason="fish is not installed")
def test_fish_completes(shell, words, wanted):
    done = subprocess.run(["fish", "-c", "ingot --describe fish | source; complete -C " + repr(" ".join(words))], env=shell, capture_output=True,
                          text=True, timeout=60)
    assert [line.split("\t")[0] for line in done.stdout.splitlines()] == [wanted], done.stderr


@pytest.mark.parametrize("words, wanted", WANTED)
@pytest.mark.skipif(not shutil.which("zsh"), reason="zsh is not installed")
def test_zsh_completes(shell, tmp_path, words, wanted):
    with open(tmp_path / "_ingot", "w") as f:
        subprocess.run([INGOT, "--describe", "zsh"], stdout=f, check=True)
    line = " ".join(words)
    master, slave = pty.openpty()
    done = subprocess.Popen(["zsh", "-f", "-i"], stdin=slave, stdout=slave, stderr=slave, env=shell, cwd=tmp_path, start_new_session=True)
    os.close(slave)
    text = ""

    def read_until(word, seconds=20):
        nonlocal text
        end = time.monotonic() + seconds
        while word not in text and time.monotonic() < end:
            if select.select([master], [], [], 0.1)[0]:
                text += os.read(master, 65536).decode(errors="replace")
        return word in text

    try:
        os.write(master, b"PROMPT=; fpath=($HOME $fpath); autoload -Uz compinit; compinit -u -D; print rea''dy\n")
        assert read_until("ready\r\n"), text
        text = ""
        os.write(master, line.encode() + b"\t")
        assert read_until(wanted), text
    finally:
        done.kill()
        done.wait()
        os.close(master)


def commands():
    text = subprocess.run([INGOT, "--help"], capture_output=True, text=True, check=True).stdout
    return re.findall(r"^  (\w+) ", text, re.M)


def shown(shell, tmp_path, form):
    """The page as a reader sees it; groff must have nothing to say about it."""
    page = subprocess.run([INGOT, "--describe", form], capture_output=True, text=True, check=True).stdout
    (tmp_path / "page.1").write_text(page)
    done = subprocess.run(["man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", str(tmp_path / "page.1")], env=dict(shell, MANWIDTH="100"),
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and not done.stderr, done.stderr
    return " ".join(re.sub(".\x08", "", done.stdout).split())


@pytest.mark.skipif(not shutil.which("man") or not shutil.which("groff"), reason="man is not installed")
def test_the_manual_is_well_formed(shell, tmp_path):
    text = shown(shell, tmp_path, "manual")
    assert all(word in text for word in ("INGOT DIFF", "PICTURES", "EXIT STATUS", "NO_COLOR", "--disable-pass"))
    assert len(commands()) >= 7 and all(re.search(rf"ingot. ?{name}\(1\)", text) for name in commands())


@pytest.mark.skipif(not shutil.which("man") or not shutil.which("groff"), reason="man is not installed")
def test_each_command_has_its_page(ingot, shell, tmp_path):
    for name in commands():
        text = shown(shell, tmp_path, f"manual-{name}")
        helped = ingot(name, "--help").out
        assert f"ingot-{name} - " in text and "EXAMPLES" in text and "ingot(1)" in text
        assert not set(re.findall(r"--[a-z][\w-]+", helped)) - set(re.findall(r"--[a-z][\w-]+", text))
        with open(os.path.join(os.path.dirname(__file__), "..", "..", "meson.build"), encoding="utf-8") as f:
            assert f"'{name}'" in f.read()       # and is installed
    assert ingot("--describe", "manual-nothing").code == 2
