"""A processor's peak: a kernel of the best int8 multiply-add instruction, all operands and sums in registers.

It is built for the processor that an artifact was compiled for, here or across, and timed there: peaks are measured,
not looked up. Each step multiplies one vector, which a level-1 cache has, with a vector for each of several
independent sums, as the inner loop of a matrix product does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tvm import tirx
from tvm.script import tirx as T

from ..errors import ToolchainError
from ..schedules.intrinsics import neon_sdot, neon_smmla, neon_smull
from ..targets.cuda import Cuda
from ..targets.features import AARCH64, X86_64
from ..targets.target import Target
from .artifact import ArtifactTarget
from .kernel_library import build_kernel_library

STEPS = 64
"""Vectors that the sums are multiplied with in turn: 4 KB at most."""
REPEATS = 256
UNROLLED = 4
"""Steps between two branches."""

MultiplyAdd = Callable[[Any, Any, Any], Any]
"""Gets a vector of int32 sums and two vectors of int8; returns the new sums."""


@dataclass(frozen=True, eq=False)
class PeakKernel:
    """A kernel whose time tells a peak.

    ``function``: the scheduled PrimFunc; ``arguments``: of it, the last is its output; ``work``: what a call does, in
    multiply-adds or bytes; ``expected``: the values of the output, None where they are not known.
    """

    name: str
    function: Any
    arguments: tuple[NDArray[Any], ...]
    work: int
    expected: NDArray[Any] | None = None


@dataclass(frozen=True)
class Instruction:
    """The multiply-add of processors that have ``feature``.

    ``macs``: multiply-adds in one vector of ``bytes`` bytes; ``sums``: independent sums, enough to hide its latency
    and few enough that they and their operands fit in the registers.
    """

    name: str
    feature: str
    bytes: int
    macs: int
    sums: int
    multiply_add: MultiplyAdd

    def kernel(self) -> PeakKernel:
        """The kernel; its work is multiply-adds. No sum of its arguments overflows."""
        rng = np.random.default_rng(0)
        left, right = (rng.integers(1, 4, (rows, self.bytes)).astype(np.int8) for rows in (self.sums, STEPS))
        sums = np.zeros((self.sums, self.bytes // 4), np.int32)
        return PeakKernel(
            self.name, self._function(), (left, right, sums), work=REPEATS * STEPS * self.sums * self.macs
        )

    def _function(self) -> Any:
        """The PrimFunc: arguments left, right, sums."""
        sums, size, lanes, multiply_add = self.sums, self.bytes, self.bytes // 4, self.multiply_add
        vector, words = f"int8x{size}", f"int32x{lanes}"

        @T.prim_func(s_tir=True)
        def kernel(a: T.handle, b: T.handle, c: T.handle) -> None:
            A = T.match_buffer(a, (sums, size), "int8")
            B = T.match_buffer(b, (STEPS, size), "int8")
            C = T.match_buffer(c, (sums, lanes), "int32")
            T.func_attr({"tirx.noalias": True})  # so that LLVM may keep the sums in registers
            with T.sblock("root"):
                T.reads(A[0:sums, 0:size], B[0:STEPS, 0:size])
                T.writes(C[0:sums, 0:lanes])
                for row in T.unroll(sums):
                    C[row, T.ramp(0, 1, lanes)] = T.broadcast(T.int32(0), lanes)
                for _ in T.serial(REPEATS):
                    for step in T.serial(STEPS // UNROLLED):
                        for part in T.unroll(UNROLLED):
                            for row in T.unroll(sums):
                                C[row, T.ramp(0, 1, lanes)] = multiply_add(
                                    C.vload([row, 0], dtype=words),
                                    A.vload([row, 0], dtype=vector),
                                    B.vload([step * UNROLLED + part, 0], dtype=vector),
                                )

        return kernel


def _one(name: str, lanes: int) -> MultiplyAdd:
    """One instruction does it all."""
    return lambda sums, left, right: tirx.call_llvm_pure_intrin(f"int32x{lanes}", name, sums, left, right)


def _pairs(multiply: str, add: str, lanes: int) -> MultiplyAdd:
    """x86 without VNNI: products of bytes in pairs, then pairs of those by a multiplication with ones."""

    def multiply_add(sums: Any, left: Any, right: Any) -> Any:
        products = tirx.call_llvm_pure_intrin(f"int16x{2 * lanes}", multiply, left, right)
        ones = tirx.Broadcast(tirx.const(1, "int16"), 2 * lanes)
        return sums + tirx.call_llvm_pure_intrin(f"int32x{lanes}", add, products, ones)

    return multiply_add


def _halves(sums: Any, left: Any, right: Any) -> Any:
    """Armv8.0: the products of both halves in int16, then pairs of those."""
    halves = [[tirx.Shuffle([v], list(range(first, first + 8))) for v in (left, right)] for first in (0, 8)]
    low, high = (tirx.call_llvm_pure_intrin("int16x8", neon_smull.SMULL, *half) for half in halves)
    return sums + tirx.call_llvm_pure_intrin("int32x4", neon_smull.SADDLP, low + high)


_PAIRS_512 = _pairs("llvm.x86.avx512.pmaddubs.w.512", "llvm.x86.avx512.pmaddw.d.512", 16)
_PAIRS_256 = _pairs("llvm.x86.avx2.pmadd.ub.sw", "llvm.x86.avx2.pmadd.wd", 8)

INSTRUCTIONS: tuple[Instruction, ...] = (
    Instruction("vpdpbusd, 512 bits", "avx512_vnni", 64, 64, 12, _one("llvm.x86.avx512.vpdpbusd.512", 16)),
    Instruction("vpmaddubsw and vpmaddwd, 512 bits", "avx512", 64, 64, 12, _PAIRS_512),
    Instruction("vpdpbusd, 256 bits", "avx_vnni", 32, 32, 8, _one("llvm.x86.avx512.vpdpbusd.256", 8)),
    Instruction("vpmaddubsw and vpmaddwd, 256 bits", "avx2", 32, 32, 6, _PAIRS_256),
    Instruction("smmla", "i8mm", 16, 32, 12, _one(neon_smmla.SMMLA, 4)),
    Instruction("sdot", "dotprod", 16, 16, 12, _one(neon_sdot.SDOT, 4)),
    Instruction("smull, smlal2 and sadalp", "neon", 16, 16, 8, _halves),
)
"""The best first."""
_CPUS = {AARCH64: "generic", X86_64: "x86-64"}
"""The manifest does not say which processor; its features do all that matters here."""


def best_instruction(target: ArtifactTarget) -> Instruction:
    """The best one of the artifact's processor; ToolchainError where it has none that is listed."""
    if "amx_int8" in target.features:
        raise ToolchainError(f"{target.name}: the peak of AMX tiles is not measured; compile for a target without AMX")
    found = next((each for each in INSTRUCTIONS if each.feature in target.features), None)
    if found is None:
        raise ToolchainError(
            f"{target.name}: its features name no int8 multiply-add; compile for a target that names the processor's"
        )
    return found


def build_peak_library(kernel: PeakKernel, target: ArtifactTarget, cuda: Cuda | None, path: Path) -> None:
    """Compiles ``kernel`` into the shared library ``path``, for the GPU ``cuda`` where that is what runs it.

    Raises ToolchainError when no linker, or no CUDA compiler for the GPU, is found or it fails.
    """
    machine = Target(
        name=target.name,
        description=target.name,
        arch=target.arch,
        triple=target.triple,
        cpu=_CPUS[target.arch],
        features=frozenset(target.features),
        cuda=cuda,
    )
    build_kernel_library(kernel.function, machine, path)
