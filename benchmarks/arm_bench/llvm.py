"""Debian's LLVM 19: the disassembler and llvm-mca, unpacked when absent. Older ones have no model of neoverse-n1."""

import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from peer_bench.cache import cached_folder, digest
from peer_bench.errors import BenchmarkError

from .debian_sources import PrivateApt
from .virtual_board import debian_source

PACKAGES = ("llvm-19", "libllvm19")
KEPT = ("llvm-mca", "llvm-objdump")
SECONDS = 300

Say = Callable[[str], None]


@dataclass(frozen=True)
class LLVM:
    """A folder with the programs and the library that they need."""

    folder: Path

    def run(self, program: str, arguments: Sequence[str], text: str = "") -> str:
        """What the program prints for ``text`` on its stdin.

        Raises:
            BenchmarkError: it failed, with its own words.
        """
        done = subprocess.run(
            [str(self.folder / program), *arguments], input=text, capture_output=True, text=True, timeout=SECONDS,
            env={**os.environ, "LD_LIBRARY_PATH": str(self.folder)}, check=False,
        )  # fmt: skip
        if done.returncode:
            words = " ".join(done.stderr.split())
            raise BenchmarkError(f"{program} failed ({done.returncode}): {words[:400]}")
        return done.stdout


def get_llvm(build: Path, say: Say) -> LLVM:
    """LLVM's programs below ``build``, downloaded the first time.

    Raises:
        BenchmarkError: Debian's packages cannot be had.
    """

    def make(folder: Path) -> None:
        say("unpacking llvm-mca (once)")
        work, source = folder / "work", debian_source()
        PrivateApt(source.mirror, source.release, work / "apt").unpack(PACKAGES, work / "packages", work / "root")
        for program in KEPT:
            shutil.copy2(next(work.rglob(f"llvm-19/bin/{program}")), folder)
        for library in work.rglob("libLLVM*.so.19*"):
            shutil.copy2(library, folder)
        shutil.rmtree(work)

    return LLVM(cached_folder(build, "llvm", digest([], *PACKAGES), make))
