"""The linear strategies of NVIDIA GPUs and their kernels, as tests take them."""

from __future__ import annotations

from functools import cache

from intbert.compiler.operators.linear import linear_kernel
from intbert.schedules.cuda.linear import DP4A, MMA_K16, MMA_K32
from intbert.schedules.cuda.linear.strategy import WarpTileLinear
from intbert.schedules.cuda.linear.warp_tile import WarpTile
from intbert.schedules.cuda.linear.wmma import WMMA
from intbert.schedules.layout import ROW_MAJOR
from intbert.schedules.linear.workload import LinearWorkload
from intbert.schedules.space import all_sketches, scheduled
from intbert.targets import get_target
from intbert.targets.cuda import Cuda

from ...cuda.kernels import CudaKernel, cuda_kernel
from ..linear_cases import layer

STRATEGIES = {
    strategy.name: (strategy, get_target(chip))
    for strategy, chip in (
        (WarpTileLinear(MMA_K32, ("mma_k32", "cp_async")), "jetson-orin"),
        (WarpTileLinear(MMA_K16, ("ldmatrix",)), "cuda-sm75"),
        (WarpTileLinear(WMMA, ("imma",)), "jetson-xavier"),
        (WarpTileLinear(DP4A, ("dp4a",)), "jetson-tx2"),
    )
}


def workload(rows: int, channels: int, inputs: int, gpu: Cuda | None = None) -> LinearWorkload:
    return LinearWorkload(rows, channels, inputs, ROW_MAJOR, False, 8, gpu=gpu)


def tiles(name: str) -> list[WarpTile]:
    """All that a workload on the strategy's chip may have, from the largest to the smallest."""
    strategy, target = STRATEGIES[name]
    return list(strategy.tiles(workload(1, 1, 16, target.cuda)))


@cache
def kernel(
    name: str, rows: int, channels: int, inputs: int, epilogue: str = "narrow", tile: str | None = None
) -> CudaKernel:
    """With the default tile, or the one of this name."""
    strategy, target = STRATEGIES[name]
    work = workload(rows, channels, inputs, target.cuda)
    function = linear_kernel(layer(channels, inputs, epilogue), rows, ROW_MAJOR, 0, 0)
    names = [sketch.name for sketch in strategy.sketches(work)]
    index = 0 if tile is None else names.index(f"{tile} tile")
    return cuda_kernel(scheduled(strategy, all_sketches(strategy, function, work)[index], work), target)
