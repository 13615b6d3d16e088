"""What a block of code costs: cycles by llvm-mca's model of a processor, or else its instructions."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ...errors import EstimationError
from ...targets.target import Target
from .assembly import Block

LLVM_FOLDERS = Path("/usr/lib")
"""Where Debian has the tools of each LLVM: llvm-19/bin."""
SECONDS = 60.0
ITERATIONS = 50
"""Runs of a block, one after the other, that llvm-mca simulates: latencies are part of what it finds."""
NEGLIGIBLE = 1e-3
"""Blocks with less than this share of the instructions are counted by their instructions: llvm-mca's time goes with
what it reads."""

_PROXIES = {"cortex-a76": "neoverse-n1", "cortex-a78": "neoverse-n1", "cortex-a78ae": "neoverse-n1"}
"""Processors for which llvm-mca takes the model of a much older one, and what is closer."""
_LEVELS = (("avx512", "icelake-server"), ("avx2", "haswell"))
"""A feature of x86-64 targets, which name a level and no processor, and a processor of that level that has a model."""
_LEFT_OUT = ("call", "bl", "ret", "push", "pop")
_VERSION = re.compile(r"LLVM version (\S+)")


class Meter(Protocol):
    """Says what code costs."""

    @property
    def name(self) -> str:
        """In words, for records and displays."""
        ...

    def cycles(self, blocks: Sequence[tuple[Block, int]]) -> float:
        """The cycles of blocks that run so often each. Raises EstimationError when it cannot be said."""
        ...


@dataclass(frozen=True)
class InstructionMeter:
    """Takes every instruction for a cycle."""

    name: str = "instruction counts"

    def cycles(self, blocks: Sequence[tuple[Block, int]]) -> float:
        """See :class:`Meter`."""
        return float(sum(count * len(block.instructions) for block, count in blocks))


@dataclass(frozen=True)
class McaMeter:
    """llvm-mca at ``path``, of release ``version``, with its model of ``cpu``."""

    path: str
    version: str
    triple: str
    cpu: str
    attributes: tuple[str, ...]

    @property
    def name(self) -> str:
        """See :class:`Meter`."""
        return f"llvm-mca {self.version}, {self.cpu}"

    def cycles(self, blocks: Sequence[tuple[Block, int]]) -> float:
        """See :class:`Meter`."""
        total = InstructionMeter().cycles(blocks)
        heavy = [each for each in blocks if each[1] * len(each[0].instructions) > NEGLIGIBLE * total]
        rest = [each for each in blocks if each not in heavy]
        found = self._cycles([block for block, _ in heavy])
        return sum(count * each for (_, count), each in zip(heavy, found, strict=True)) + InstructionMeter().cycles(
            rest
        )

    def _cycles(self, blocks: Sequence[Block]) -> list[float]:
        """Of one run of each block."""
        document = self._run("\n".join(_region(index, block) for index, block in enumerate(blocks)) + "\n")
        found = {region["Name"]: region["SummaryView"]["TotalCycles"] for region in document["CodeRegions"]}
        return [found[str(index)] / ITERATIONS for index in range(len(blocks))]

    def _run(self, text: str) -> Mapping[str, Any]:
        options = [f"-mtriple={self.triple}", f"-mcpu={self.cpu}", f"-mattr={','.join(self.attributes)}"]
        command = [self.path, *options, "-json", "-instruction-info=0", "-resource-pressure=0"]
        done = _done([*command, f"-iterations={ITERATIONS}"], text)
        try:
            return json.loads(done.stdout)
        except ValueError as error:
            words = next((line.strip() for line in done.stderr.splitlines() if "error" in line), "it says nothing")
            raise EstimationError(f"{self.path} does not know this code ({words}); install a newer LLVM") from error


def best_meter(target: Target) -> Meter:
    """llvm-mca where it is installed and has a model for ``target``, the newest; else instruction counts."""
    for path in _installed():
        version = _version(path)
        if version is None:
            continue
        for cpu in _models(target):
            if _knows(path, target.triple, cpu):
                return McaMeter(path, version, target.triple, cpu, tuple(target.llvm_attributes()))
    return InstructionMeter()


def _models(target: Target) -> Sequence[str]:
    """Names of processors whose model is wanted, the closest first."""
    level = [cpu for feature, cpu in _LEVELS if feature in target.features]
    generic = target.cpu.startswith("x86-64") or target.cpu == "generic"
    named = [] if generic else [target.cpu]
    return [*([_PROXIES[target.cpu]] if target.cpu in _PROXIES else []), *named, *level]


def _installed() -> list[str]:
    """Paths of llvm-mca, the newest LLVM's first."""
    folders = sorted(LLVM_FOLDERS.glob("llvm-*/bin"), key=lambda path: _number(path.parent.name), reverse=True)
    candidates = [*(folder / "llvm-mca" for folder in folders), shutil.which("llvm-mca")]
    return list(dict.fromkeys(str(path) for path in candidates if path is not None and os.access(path, os.X_OK)))


def _number(name: str) -> int:
    digits = re.search(r"\d+", name)
    return int(digits[0]) if digits else 0


def _version(path: str) -> str | None:
    found = _VERSION.search(_words([path, "--version"]))
    return None if found is None else found[1]


def _knows(path: str, triple: str, cpu: str) -> bool:
    return re.search(rf"^\s+{re.escape(cpu)}\s", _words([path, f"-mtriple={triple}", "-mcpu=help"]), re.M) is not None


def _words(command: Sequence[str]) -> str:
    """All that a command prints; nothing when it does not run."""
    try:
        done = _done(command, "")
    except EstimationError:
        return ""
    return done.stdout + done.stderr


def _done(command: Sequence[str], text: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(command, input=text, capture_output=True, text=True, timeout=SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EstimationError(f"{command[0]} does not run ({error}); see whether it does by hand") from error


def _region(index: int, block: Block) -> str:
    kept = [each.text for each in block.instructions if not each.mnemonic.startswith(_LEFT_OUT)]
    return "\n".join([f"# LLVM-MCA-BEGIN {index}", *(kept or ["nop"]), f"# LLVM-MCA-END {index}"])
