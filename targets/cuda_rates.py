"""What multiplies on a chip, and how much of it in a clock cycle: for estimates, nothing was measured.

``dp4a``, ``int32`` and ``float32``: lanes of a multiprocessor by "Throughput of Native Arithmetic Instructions" in the
CUDA C++ Programming Guide. Before 7.0 a 32-bit product is three XMAD (16 bits each) on 128 lanes. The guide does not
list dp4a: V100 (int8: 62.8 TOPS of 80 multiprocessors at 1.53 GHz) has 64 lanes of it, and later chips are taken to
have as many; sm_62 has none, ptxas makes seven instructions of each. Floats are multiplied and added by two
instructions, since they are rounded apart. Tensor cores of 4 bits do twice the multiply-adds of 8 bits, of 1 bit eight
times (A100's data sheet: 624, 1248 and 4992 TOPS).
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType

from .cuda import Cuda


class Multiplier(str, Enum):
    """What multiplies and adds: an instruction of tensor cores by the feature of :mod:`.cuda`, or one of a lane."""

    BMMA = "bmma"
    IMMA_S4 = "imma_s4"
    IMMA = "imma"
    DP4A = "dp4a"
    INT32 = "int32"
    FLOAT32 = "float32"


_DP4A_BYTES = 4
_LANES: Mapping[int, Mapping[Multiplier, int]] = MappingProxyType(
    {
        first: MappingProxyType({Multiplier.DP4A: dp4a, Multiplier.INT32: int32, Multiplier.FLOAT32: float32})
        for first, dp4a, int32, float32 in (
            (53, 0, 128 // 3, 128 // 2),
            (62, 128 // 7, 128 // 3, 128 // 2),
            (70, 64, 64, 64 // 2),
            (86, 64, 64, 128 // 2),
        )
    }
)
"""Multiply-adds that a cycle begins, dp4a's as one, from the compute capability on that is the key."""
_TIMES_INT8: Mapping[Multiplier, int] = MappingProxyType(
    {Multiplier.IMMA: 1, Multiplier.IMMA_S4: 2, Multiplier.BMMA: 8}
)


def macs_per_cycle(gpu: Cuda, multiplier: Multiplier) -> int | None:
    """Multiply-adds of one multiprocessor in a clock cycle, at best; None where the chip has no such instruction.

    Those of :attr:`Multiplier.BMMA` are of single bits.
    """
    if multiplier in _TIMES_INT8:
        int8 = gpu.architecture.int8_macs
        return int8 * _TIMES_INT8[multiplier] if int8 is not None and multiplier.value in gpu.features else None
    lanes = _LANES[max(first for first in _LANES if first <= gpu.sm)][multiplier]
    return lanes * (_DP4A_BYTES if multiplier is Multiplier.DP4A else 1) or None


def int8_multiplier(gpu: Cuda) -> Multiplier:
    """What multiplies 8-bit integers fastest."""
    candidates = (Multiplier.IMMA, Multiplier.DP4A, Multiplier.INT32)
    return max(candidates, key=lambda multiplier: macs_per_cycle(gpu, multiplier) or 0)


def peak_gmacs(gpu: Cuda, multiplier: Multiplier) -> float | None:
    """Multiply-adds of all multiprocessors a nanosecond, at best; None where the chip has no such instruction."""
    macs = macs_per_cycle(gpu, multiplier)
    return None if macs is None else macs * gpu.multiprocessors * gpu.clock_mhz / 1e3
