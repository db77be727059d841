"""The examples, built against an installed Ingot as its users would: pkg-config, CMake, meson; shared and static."""
import os
import shutil
import subprocess
import tarfile

import pytest
from conftest import ROOT

BUILD = os.environ.get("INGOT_BUILD") or os.path.join(ROOT, "build")
CONSUMER, MODELS = os.path.join(ROOT, "tests", "consumer"), os.path.join(ROOT, "models")


def call(*command, **options):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, **options)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """Folders of an installation beneath a prefix of its own, and the environment in which it is found."""
    prefix = tmp_path_factory.mktemp("installed")
    call("meson", "install", "-C", BUILD, "--no-rebuild", "--destdir", prefix)
    places = {name: root for root, _, names in os.walk(prefix) for name in names if name in ("ingot.pc", "libingot.so", "ingotConfig.cmake")}
    return places, dict(os.environ, PKG_CONFIG_PATH=places["ingot.pc"], PKG_CONFIG_SYSROOT_DIR=str(prefix), LD_LIBRARY_PATH=places["libingot.so"])


@pytest.mark.parametrize("static", ["", "--static"])
def test_pkg_config(installed, tmp_path, static):
    _, environment = installed
    call("make", "-s", "-C", tmp_path, "-f", os.path.join(CONSUMER, "Makefile"), f"EXAMPLES={MODELS}", f"STATIC={static}", env=environment)
    if static:
        assert "libingot" not in call("readelf", "-d", tmp_path / "embed")
        environment = {k: v for k, v in environment.items() if k != "LD_LIBRARY_PATH"}
    call("bash", os.path.join(CONSUMER, "check.sh"), tmp_path, MODELS, env=environment)


@pytest.mark.parametrize("static", ["OFF", "ON"])
def test_cmake(installed, tmp_path, static):
    places, environment = installed
    call("cmake", "-S", CONSUMER, "-B", tmp_path, f"-Dingot_DIR={places['ingotConfig.cmake']}", f"-Dingot_USE_STATIC={static}",
         f"-DEXAMPLES={MODELS}")
    call("cmake", "--build", tmp_path)
    call("bash", os.path.join(CONSUMER, "check.sh"), tmp_path, MODELS, env=environment)


def test_meson(installed, tmp_path):
    _, environment = installed
    call("meson", "setup", tmp_path, CONSUMER, f"-Dexamples={MODELS}", "--wrap-mode=nofallback", env=environment)
    call("ninja", "-C", tmp_path, env=environment)
    call("bash", os.path.join(CONSUMER, "check.sh"), tmp_path, MODELS, env=environment)


def test_meson_subproject(tmp_path):
    """A wrap that points to a local archive. Configured and one file compiled here; tests/packages.sh builds all of it."""
    shutil.copytree(CONSUMER, tmp_path / "app")
    listed = call("git", "-C", ROOT, "ls-files", "--recurse-submodules").splitlines()
    with tarfile.open(tmp_path / "ingot.tar", "w") as archive:
        for name in listed:
            if os.path.exists(os.path.join(ROOT, name)) and not name.startswith("tests/"):
                archive.add(os.path.join(ROOT, name), "ingot/" + name)
    (tmp_path / "app" / "subprojects").mkdir()
    digest = call("sha256sum", tmp_path / "ingot.tar").split()[0]
    (tmp_path / "app" / "subprojects" / "ingot.wrap").write_text(
        f"[wrap-file]\ndirectory = ingot\nsource_url = file://{tmp_path}/ingot.tar\nsource_filename = ingot.tar\nsource_hash = {digest}\n"
        "[provide]\ningot = ingot_dep\n")
    environment = {k: v for k, v in os.environ.items() if k != "PKG_CONFIG_PATH"}
    call("meson", "setup", tmp_path / "b", tmp_path / "app", f"-Dexamples={MODELS}", "--wrap-mode=forcefallback", env=environment)
    targets = [line.split(":")[0] for line in call("ninja", "-C", tmp_path / "b", "-t", "targets", "all").splitlines()]
    call("ninja", "-C", tmp_path / "b", next(t for t in targets if t.endswith("engine_custom.c.o")), env=environment)
    own = [t for t in targets if t.startswith("subprojects/ingot/") and not t.endswith((".o", ".symbols"))]
    assert not [t for t in own if "/tests/" in t or "/cli/" in t or os.path.basename(t) in ("ingot", "embed")]   # the library, and no more
