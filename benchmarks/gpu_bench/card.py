"""The GPU of this machine, as ``nvidia-smi`` tells it, and the target that is compiled for it."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass, replace

from intbert.targets import get_target
from intbert.targets.cuda import ARCHITECTURES
from intbert.targets.features import X86_64, host_arch
from intbert.targets.target import Target
from peer_bench.errors import BenchmarkError

QUERY = ("--query-gpu=name,compute_cap,driver_version", "--format=csv,noheader")


@dataclass(frozen=True)
class Card:
    """``sm``: its compute capability, 87 for 8.7."""

    name: str
    sm: int
    driver: str

    def __str__(self) -> str:
        return f"{self.name} (sm_{self.sm}, driver {self.driver})"


def find_card() -> Card | None:
    """The first card; None where there is no ``nvidia-smi``, or it finds none."""
    command = shutil.which("nvidia-smi")
    if command is None:
        return None
    done = subprocess.run([command, *QUERY], capture_output=True, text=True, check=False)
    fields = [field.strip() for field in done.stdout.partition("\n")[0].split(",")]
    if done.returncode or len(fields) != 3 or not fields[1].replace(".", "").isdecimal():
        return None
    return Card(fields[0], int(fields[1].replace(".", "")), fields[2])


def target_for(card: Card) -> Target:
    """A target of the card's own chip, or of the newest older one that is known: its PTX runs there.

    Raises:
        BenchmarkError: the card is older than all that are known.
    """
    suitable = [sm for sm in ARCHITECTURES if sm <= card.sm]
    if not suitable:
        raise BenchmarkError(f"{card} is older than every chip that intbert compiles for")
    known = get_target("cuda-sm75" if host_arch() == X86_64 else "cuda-sm75-aarch64")
    assert known.cuda is not None
    sm = max(suitable)
    return replace(known, name=f"card-sm{sm}", cuda=replace(known.cuda, sm=sm))
