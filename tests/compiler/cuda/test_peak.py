"""The kernels that measure a GPU's peak: what they compute, what they are made of, and that they fit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from intbert.compiler.cuda import peak
from intbert.compiler.cuda.cubin import kernels_of
from intbert.compiler.cuda.occupancy import occupancy
from intbert.compiler.cuda.peak import MULTIPLICATIONS, Multiplication, copying, multiplications, multiplying
from intbert.compiler.cuda.sass import innermost_loops
from intbert.compiler.peak import PeakKernel
from intbert.targets import get_target
from intbert.targets.cuda import ARCHITECTURES, WARP, Cuda
from intbert.targets.target import Target

from ...cuda.kernels import CudaKernel, cuda_kernel
from ...cuda.machine_code import cubin_of, disassembled

K32, K16, WMMA, DP4A, MAD = MULTIPLICATIONS
NEWER = (80, 86, 87, 89, 90, 110)
CHIPS = {53: [MAD], 62: [DP4A, MAD], 72: [WMMA], 75: [K16], **{sm: [K32] for sm in NEWER}}
OPERATIONS = {K32: "IMMA", K16: "IMMA", WMMA: "IMMA", DP4A: "IDP", MAD: "IMAD"}


def target(sm: int) -> Target:
    return replace(get_target("jetson-orin"), cuda=Cuda(sm, 2, 1, 1.0))


def kernel(found: PeakKernel, sm: int = 87) -> CudaKernel:
    return cuda_kernel(found.function, target(sm))


@pytest.mark.parametrize("sm", ARCHITECTURES)
def test_what_multiplies_on_a_chip(sm: int) -> None:
    """Without tensor cores it is not known which is the fastest: all are measured."""
    assert list(multiplications(Cuda(sm, 2, 1, 1.0))) == CHIPS[sm]


def emulated(found: PeakKernel) -> None:
    arguments = [array.copy() for array in found.arguments]
    kernel(found).run(arguments)
    assert found.expected is not None
    assert arguments[-1].tobytes() == found.expected.tobytes()


@pytest.mark.parametrize("multiplication", MULTIPLICATIONS, ids=lambda each: each.name)
def test_sums(multiplication: Multiplication, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of every warp, and all the multiply-adds that the kernel is counted for: those of ones would be as many."""
    monkeypatch.setattr(peak, "ROUNDS", 1)
    monkeypatch.setattr(peak, "BLOCKS", 2)
    found = multiplying(multiplication, 1)
    emulated(found)
    left, right, sums = found.arguments
    assert found.expected is not None
    assert np.array_equal(found.expected[-1], peak.UNROLLED * (left.astype(np.int32) @ right.T.astype(np.int32)))
    assert found.work == sums.size * left.shape[1] * peak.UNROLLED


@pytest.mark.parametrize(("cache", "size"), [(0, 1 << 16), (10_000, 5 * peak.BLOCK_BYTES)], ids=["least", "cache"])
def test_a_copy(cache: int, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peak, "LEAST_COPIED", 1 << 16)
    found = copying(cache)
    emulated(found)
    assert found.work == 2 * size
    assert found.arguments[0].nbytes == size


@pytest.mark.parametrize(
    ("multiplication", "sm"),
    [
        *((K32, sm) for sm in NEWER),
        (K16, 75),
        (WMMA, 72),
        (WMMA, 75),
        (DP4A, 62),
        (DP4A, 75),
        (MAD, 53),
    ],
    ids=lambda each: each.name if isinstance(each, Multiplication) else f"sm_{each}",
)
def test_the_loop_multiplies_and_a_multiprocessor_holds_all_blocks(multiplication: Multiplication, sm: int) -> None:
    """One wave: with a second one, of a block or two, the time would be that of two."""
    gpu = Cuda(sm, 2, 1, 1.0)
    cubin = cubin_of(kernel(multiplying(multiplication, 2), sm).source, gpu)
    (resources,) = kernels_of(cubin)
    held = occupancy(resources, gpu.architecture) * gpu.architecture.warps * WARP
    assert held >= peak.BLOCKS * peak.THREADS
    (instructions,) = disassembled(cubin, gpu).values()
    operations = frozenset({OPERATIONS[multiplication]})
    loop = max(innermost_loops(instructions), key=lambda each: each.count(operations))
    assert loop.count(operations) >= peak.UNROLLED
    assert loop.count(operations) >= 0.9 * len(loop.instructions)


def test_a_copy_moves_vectors() -> None:
    gpu = target(87).cuda
    assert gpu is not None
    (instructions,) = disassembled(cubin_of(kernel(copying(0)).source, gpu), gpu).values()
    vectors = [each.opcode for each in instructions if each.operation in ("LDG", "STG")]
    assert len(vectors) == 2 * peak.COPIED_TOGETHER
    assert all(".128" in opcode for opcode in vectors)
