"""Which tile a linear layer has without tuning, and in which order its blocks run."""

from __future__ import annotations

from dataclasses import replace

import pytest
from intbert.schedules.cuda.linear.cost import TileCost
from intbert.schedules.cuda.linear.strategy import TILES
from intbert.schedules.cuda.linear.warp_tile import WarpTile
from intbert.schedules.cuda.threads import most_shared_bytes
from intbert.targets import get_target
from intbert.targets.cuda import ARCHITECTURES, STATIC_SHARED_BYTES, Cuda

from .linear_kernels import STRATEGIES, workload

ORIN = get_target("jetson-orin").cuda
CARD = get_target("cuda-sm90").cuda
SHAPES = [(768, 768), (3072, 768), (768, 3072), (384, 384), (100, 48)]


def default(rows: int, channels: int, inputs: int, gpu: Cuda | None) -> TileCost:
    strategy, _ = STRATEGIES["mma_k32"]
    work = workload(rows, channels, inputs, gpu)
    name = strategy.sketches(work)[0].name
    tile = next(tile for tile in TILES if name == f"{tile} tile")
    return TileCost(tile, strategy.depth(tile, work), work)


@pytest.mark.parametrize(("channels", "inputs"), SHAPES)
def test_no_tile_has_rows_that_only_a_smaller_one_needs(channels: int, inputs: int):
    for rows in (1, 8, 16):
        assert default(rows, channels, inputs, ORIN).tile.rows == 16
    assert default(32, channels, inputs, ORIN).tile.rows <= 32


@pytest.mark.parametrize(("channels", "inputs"), SHAPES[:3])
def test_many_rows_take_the_largest_tile(channels: int, inputs: int):
    assert default(4096, channels, inputs, ORIN).tile == TILES[0]


@pytest.mark.parametrize(("channels", "inputs"), SHAPES)
@pytest.mark.parametrize("rows", [1, 32, 128, 1024])
def test_more_multiprocessors_have_no_fewer_blocks(rows: int, channels: int, inputs: int):
    def blocks(gpu: Cuda | None) -> int:
        cost = default(rows, channels, inputs, gpu)
        return cost.row_blocks * cost.column_blocks

    assert ORIN is not None
    assert CARD is not None
    assert blocks(ORIN) <= blocks(replace(ORIN, multiprocessors=64)) <= blocks(replace(ORIN, multiprocessors=512))
    assert blocks(ORIN) <= blocks(CARD)


def test_a_gpu_that_is_not_known_is_a_typical_one():
    known = Cuda(sm=87, multiprocessors=16, clock_mhz=1300, bandwidth_gbs=204.8)
    unknown = default(128, 768, 768, None)
    assert unknown.cycles == replace(unknown, workload=workload(128, 768, 768, known)).cycles


@pytest.mark.parametrize(
    ("rows", "channels", "together"),
    [
        pytest.param(1024, 3072, 4, id="a square of blocks"),
        pytest.param(128, 3072, 1, id="one row of blocks"),
        pytest.param(7 * 128, 3072, 7, id="nothing but one and all divides them"),
        pytest.param(4096, 128, 1, id="one column of blocks"),
    ],
)
def test_blocks_that_run_at_once_share_rows_and_columns(rows: int, channels: int, together: int):
    """16 blocks of 128 x 128 run at once."""
    cost = TileCost(WarpTile((2, 2), (4, 8), 3), 64, workload(rows, channels, 768, ORIN))
    assert cost.rows_together == together


@pytest.mark.parametrize("sm", ARCHITECTURES)
def test_two_blocks_fit_a_multiprocessor_or_no_more_than_is_declared(sm: int):
    chip = ARCHITECTURES[sm]
    most = most_shared_bytes(Cuda(sm, 8, 1000, 100))
    assert most <= chip.shared_bytes_per_block
    assert most == STATIC_SHARED_BYTES or 2 * (most + chip.reserved_shared_bytes) <= chip.shared_bytes
    assert most_shared_bytes(None) == STATIC_SHARED_BYTES
