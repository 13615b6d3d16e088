"""QEMU with plugins, which Debian's package leaves out, and the plugin that counts; both built when absent."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from peer_bench.cache import cached_folder, digest
from peer_bench.commands import run_logged
from peer_bench.errors import BenchmarkError

from .debian_sources import PrivateApt
from .virtual_board import debian_source

PLUGIN_SOURCE = Path(__file__).with_name("count.c")
MESON = "meson==1.1.1"  # QEMU 7.2 refuses newer ones
GLIB = ("libglib2.0-dev", "libglib2.0-0", "libpcre2-dev", "libpcre2-8-0", "zlib1g-dev", "zlib1g")
NEEDED = {"gcc": "gcc", "ninja": "ninja-build", "pkg-config": "pkg-config", "dpkg-source": "dpkg-dev"}
QUIETLY = ("nice", "-n", "10")

Say = Callable[[str], None]


@dataclass(frozen=True)
class Emulator:
    """``qemu`` runs programs of aarch64 Linux; with ``plugin`` it counts what they execute."""

    qemu: Path
    plugin: Path


def get_emulator(build: Path, say: Say) -> Emulator:
    """The emulator below ``build``; a few minutes the first time.

    Raises:
        BenchmarkError: something that the build needs is missing, or the build failed.
    """
    qemu = cached_folder(build, "qemu", digest([], MESON, *GLIB), lambda folder: _build_qemu(folder, build, say))
    plugin = cached_folder(
        build, "plugin", digest([PLUGIN_SOURCE], qemu.name), lambda folder: _build_plugin(qemu, folder, build)
    )
    return Emulator(qemu / "qemu-aarch64", plugin / "libcount.so")


def _check_tools() -> None:
    missing = {program: package for program, package in NEEDED.items() if shutil.which(program) is None}
    if missing:
        raise BenchmarkError(
            f"building QEMU with plugins needs {', '.join(missing)}; "
            f"on Debian: apt install {' '.join(missing.values())}"
        )


def _build_qemu(folder: Path, build: Path, say: Say) -> None:
    """Into ``folder``: the emulator, the headers of its plugins, and the library that it links."""
    _check_tools()
    say("building QEMU with plugins from Debian's source (a few minutes, once)")
    work, log = build / "qemu-work", build / "logs" / "qemu.log"
    shutil.rmtree(work, ignore_errors=True)
    mirror = debian_source()
    apt = PrivateApt(mirror.mirror, mirror.release, work / "apt")
    source = apt.source("qemu", work / "source")
    apt.unpack(GLIB, work / "packages", work / "glib")
    libraries = _libraries(work / "glib")
    run_logged([sys.executable, "-m", "venv", work / "meson"], log)
    run_logged([work / "meson" / "bin" / "pip", "install", MESON], log)
    objects = source / "objects"
    objects.mkdir()
    configure = [
        "../configure", "--target-list=aarch64-linux-user", "--without-default-features", "--enable-plugins",
        f"--meson={work / 'meson' / 'bin' / 'meson'}",
        f"--extra-ldflags=-Wl,-rpath,{folder.with_suffix('')}",  # where the folder will lie once it is whole
    ]  # fmt: skip
    environment = {
        **os.environ,
        "PKG_CONFIG_LIBDIR": f"{libraries / 'pkgconfig'}:{work / 'glib' / 'usr' / 'share' / 'pkgconfig'}",
        "PKG_CONFIG_SYSROOT_DIR": str(work / "glib"),
    }
    _run_in(objects, [*QUIETLY, *configure], log, environment)
    _run_in(objects, [*QUIETLY, "ninja", "qemu-aarch64"], log, environment)
    shutil.copy2(objects / "qemu-aarch64", folder)
    shutil.copy2(source / "include" / "qemu" / "qemu-plugin.h", folder)
    for library in (*libraries.glob("libg*-2.0.so.0"), *_shared(work / "glib", "libpcre2-8.so.0", "libz.so.1")):
        shutil.copy2(library, folder)
    shutil.rmtree(work)


def _libraries(root: Path) -> Path:
    (found,) = {path.parent.parent for path in root.rglob("pkgconfig/glib-2.0.pc")}
    return found


def _shared(root: Path, *names: str) -> list[Path]:
    return [path for name in names for path in root.rglob(name)]


def _run_in(folder: Path, command: list[str], log: Path, environment: dict[str, str]) -> None:
    with log.open("ab") as output:
        status = subprocess.run(
            command, cwd=folder, stdout=output, stderr=subprocess.STDOUT, env=environment, check=False
        ).returncode
    if status:
        raise BenchmarkError(f"{' '.join(command[3:5])} failed ({status}) in QEMU's source; all it said: {log}")


def _build_plugin(qemu: Path, folder: Path, build: Path) -> None:
    command = ["gcc", "-O2", "-fPIC", "-shared", "-Wall", "-Wextra", "-Wno-unused-parameter", f"-I{qemu}"]
    run_logged([*command, "-o", folder / "libcount.so", PLUGIN_SOURCE], build / "logs" / "plugin.log")
