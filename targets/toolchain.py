"""Linking the compiler's objects into a shared library for a target.

The first linker found is taken: a GCC or Clang for the target's triple, the native one when the target is
this kind of machine, an installed LLD, and last the LLD inside PyPI's ``ziglang``.
"""

from __future__ import annotations

import errno
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import OutputError, ToolchainError
from .features import AARCH64, X86_64, host_arch
from .target import Target

_EMULATIONS = {X86_64: "elf_x86_64", AARCH64: "aarch64linux"}

# The same for every linker. A text relocation or an executable stack is an error or left out; no build id
# and no start files, so that equal objects give equal libraries; no symbol of the build machine's C
# library is bound by version, so that the library loads on a board with an older one; no debug information.
_LD_OPTIONS = ("--strip-all", "--build-id=none", "-z", "text", "-z", "noexecstack", "-z", "relro", "-z", "now")


@dataclass(frozen=True)
class Linker:
    """A command that links shared libraries for one triple."""

    name: str
    triple: str
    command: tuple[str, ...]
    """What to run; ``-o OUTPUT OBJECT...`` and ``trailing`` follow."""
    trailing: tuple[str, ...] = ()

    def link(self, objects: Sequence[Path], output: Path) -> None:
        """Link ``objects`` into the shared library ``output``.

        Raises ToolchainError with the linker's own words when it fails, OutputError when the disk is
        full. No output is left then.
        """
        command = [*self.command, "-o", str(output), *map(str, objects), *self.trailing]
        environment = {**os.environ, "LC_ALL": "C"}  # The words for a full disk are looked for below.
        try:
            done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
        except OSError as error:
            raise ToolchainError(f"cannot run {self.name} ({error}); see `intbert doctor`") from error
        if done.returncode == 0:
            return
        output.unlink(missing_ok=True)
        words = " ".join(done.stderr.split()) or f"exit status {done.returncode}"
        if os.strerror(errno.ENOSPC) in words:
            raise OutputError(f"{output}: no space left on the device; free some and try again")
        raise ToolchainError(f"{self.name} could not link {output.name} for {self.triple}: {words}")

    @property
    def fcompile(self) -> FCompile:
        """This linker in the form that TVM's ``export_library(..., fcompile=...)`` takes."""
        return FCompile(self)


@dataclass(frozen=True)
class FCompile:
    """Adapts a Linker to TVM's protocol: a callable with an output format and a triple."""

    linker: Linker
    output_format: str = "so"

    def __call__(self, output: str, objects: str | Sequence[str], options: Sequence[str] | None = None) -> None:
        if options:
            raise ToolchainError(f"the linker takes no options of the caller's, got {list(options)}")
        paths = [objects] if isinstance(objects, str) else objects
        self.linker.link([Path(path) for path in paths], Path(output))

    def get_target_triple(self) -> str:
        return self.linker.triple


def available_linkers(target: Target) -> Iterator[Linker]:
    """Yield every linker for ``target`` that this machine has, the preferred first."""
    drivers = [f"{target.triple}-{driver}" for driver in ("gcc", "g++", "clang")]
    if target.arch == host_arch() and sys.platform.startswith("linux"):
        drivers += ["gcc", "cc", "clang"]
    for driver in drivers:
        found = shutil.which(driver)
        if found:
            options = ",".join(("-Wl", *_LD_OPTIONS))
            # libgcc holds what the code generator may call for an operation that the CPU lacks.
            yield Linker(driver, target.triple, (found, "-shared", "-nostdlib", options), ("-lgcc",))
    lld_options = ("-shared", "-m", _EMULATIONS[target.arch], *_LD_OPTIONS)
    found = shutil.which("ld.lld")
    if found:
        yield Linker("ld.lld", target.triple, (found, *lld_options))
    if importlib.util.find_spec("ziglang") is not None:
        command = (sys.executable, "-m", "ziglang", "ld.lld", *lld_options)
        yield Linker("ld.lld (ziglang)", target.triple, command)


def linker(target: Target) -> Linker:
    """Return the preferred linker for ``target``; ToolchainError, saying how to get one, if there is none."""
    for candidate in available_linkers(target):
        return candidate
    package = f"gcc-{target.triple}".replace("_", "-")
    raise ToolchainError(
        f"no linker for {target.triple}; run `pip install 'intbert[cross]'`, "
        f"or install a cross compiler (Debian, Ubuntu: `apt install {package}`)"
    )
