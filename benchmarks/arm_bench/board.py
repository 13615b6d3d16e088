"""Runs Python on the virtual board under the counting emulator."""

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from peer_bench.commands import last_line
from peer_bench.errors import BenchmarkError
from peer_bench.repository import BENCHMARKS

from .cpus import Cpu
from .emulator import Emulator
from .root import root_of
from .virtual_board import BUILD, Userland, python_version

SECONDS = 1800

# One thread, and none that spins: what a thread executes while it waits would be counted too.
SETTINGS = {
    "PYTHONNOUSERSITE": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
    "OMP_NUM_THREADS": "1",
    "OMP_WAIT_POLICY": "PASSIVE",
    "KMP_BLOCKTIME": "0",
    "OPENBLAS_NUM_THREADS": "1",
    "TVM_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "LC_ALL": "C.UTF-8",
}


@dataclass(frozen=True)
class Board:
    """The userland with an emulator; ``sites`` are folders of Python packages, searched before the userland's own."""

    userland: Userland
    emulator: Emulator
    sites: Sequence[Path] = ()

    def run_python(self, cpu: Cpu, arguments: Sequence[str], blocks: Path | None, log: Path) -> None:
        """Run to the end; with ``blocks`` what it executes between its marks is counted into that file.

        Raises:
            BenchmarkError: it failed or took too long, with the last line it printed.
        """
        root = root_of(cpu, self.userland.root, BUILD)
        counting = [] if blocks is None else ["-plugin", f"{self.emulator.plugin},out={blocks}"]
        interpreter = root / "usr" / "bin" / f"python{python_version(self.userland.root)}"
        command = [self.emulator.qemu, "-cpu", cpu.qemu, *counting, "-L", root, interpreter, *arguments]
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as output:
            try:
                status = subprocess.run(
                    [str(word) for word in command], env=self._environment(), stdin=subprocess.DEVNULL,
                    stdout=output, stderr=subprocess.STDOUT, timeout=SECONDS, check=False,
                ).returncode  # fmt: skip
            except subprocess.TimeoutExpired:
                raise BenchmarkError(f"{arguments[1]} did not end within {SECONDS} s on {cpu.name}: {log}") from None
        if status:
            raise BenchmarkError(f"{arguments[1]} on {cpu.name} failed ({status}): {last_line(log)} (all of it: {log})")

    def _environment(self) -> dict[str, str]:
        folder = self.userland.folder
        path = [BENCHMARKS, *self.sites, folder / "site", folder / "source"]
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "PYTHONHOME": str(self.userland.root / "usr"),
            "PYTHONPATH": os.pathsep.join(map(str, path)),
            **SETTINGS,
        }
