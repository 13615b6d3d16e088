"""The target that is compiled for the GPU of this machine."""

from __future__ import annotations

from dataclasses import replace

from intbert.compiler.runtime.driver import FoundGpu
from intbert.targets import get_target
from intbert.targets.cuda import ARCHITECTURES
from intbert.targets.features import X86_64, host_arch
from intbert.targets.target import Target
from peer_bench.errors import BenchmarkError


def target_for(card: FoundGpu) -> Target:
    """A target of the card's own chip, or of the newest older one that is known: its PTX runs there. With its driver.

    Raises:
        BenchmarkError: the card is older than all that are known.
    """
    suitable = [sm for sm in ARCHITECTURES if sm <= card.sm]
    if not suitable:
        raise BenchmarkError(f"{card} is older than every chip that intbert compiles for")
    known = get_target("cuda-sm75" if host_arch() == X86_64 else "cuda-sm75-aarch64")
    assert known.cuda is not None
    sm = max(suitable)
    return replace(known, name=f"card-sm{sm}", cuda=replace(known.cuda, sm=sm, driver=card.release))
