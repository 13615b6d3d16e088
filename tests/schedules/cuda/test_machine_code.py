"""What the compiler makes of the linear kernels: as much multiplies as the tile needs, nothing is spilled."""

from __future__ import annotations

import pytest
from intbert.compiler.cuda.cubin import kernels_of
from intbert.compiler.cuda.sass import (
    CONVERSIONS,
    FLOAT_ARITHMETIC,
    LOCAL_MEMORY,
    MULTIPLIES,
    Loop,
    main_loop,
)
from intbert.schedules.cuda.linear.strategy import TILES
from intbert.schedules.cuda.linear.warp_tile import WarpTile
from intbert.targets import get_target

from ...cuda.machine_code import cubin_of, disassembled
from .linear_kernels import STRATEGIES, kernel, workload

# Outputs of one instruction that multiplies, and how many inputs of each it takes; of a lane for dp4a, else of a warp.
SHAPES = {"mma_k32": (16 * 8, 32), "mma_k16": (8 * 8, 16), "wmma": (8 * 8, 16), "dp4a": (1, 4)}
# (channels, inputs), and the tile that 128 rows take.
MINILM = {(384, 384): "32x32_1x2_3", (1152, 384): "64x64_2x2_3", (1536, 384): "64x64_2x2_3", (384, 1536): "32x32_1x2_3"}
BERT_BASE = {
    (768, 768): "32x64_1x2_3",
    (2304, 768): "64x128_2x2_3",
    (3072, 768): "64x128_2x2_3",
    (768, 3072): "32x64_1x2_3",
}


def machine_code(
    name: str, target: str, rows: int, channels: int, inputs: int, tile: str | None = None, epilogue: str = "narrow"
) -> Loop:
    """The main loop of a kernel, all of it where one turn is enough. Asserts what is so of every kernel.

    Skips where no compiler or no disassembler knows the chip.
    """
    gpu = get_target(target).cuda
    assert gpu is not None
    cubin = cubin_of(kernel(name, rows, channels, inputs, epilogue, tile).source, gpu)
    (resources,) = kernels_of(cubin)
    assert resources.local_bytes == 0, "registers are spilled"
    (instructions,) = disassembled(cubin, gpu).values()
    assert not Loop(instructions).count(LOCAL_MEMORY)
    loop = main_loop(instructions) or Loop(instructions)
    assert loop.count(CONVERSIONS) == loop.count(FLOAT_ARITHMETIC) == 0
    return loop


def multiplies(name: str, inputs: int, tile: WarpTile) -> int:
    """What a warp needs for as many turns of the loop as it has, at most one, if none is left out."""
    multiplication = STRATEGIES[name][0].multiplication
    outputs, instruction_inputs = SHAPES[name]
    if name == "dp4a":  # the loop over the pieces of a stage is the innermost
        return tile.registers * 16 // instruction_inputs
    depth = multiplication.depth(tile)
    stages = min(multiplication.stages(tile), -(-inputs // depth))
    return tile.registers * 32 // outputs * (depth // instruction_inputs) * stages


def tiles(name: str) -> list[WarpTile]:
    return [tile for tile in TILES if tile.registers <= STRATEGIES[name][0].multiplication.most_sums]


def of_name(name: str) -> WarpTile:
    return next(tile for tile in TILES if str(tile) == name)


@pytest.mark.parametrize(
    ("name", "target", "tile"),
    [
        (name, target, tile)
        for name, target in (("mma_k32", "jetson-orin"), ("mma_k16", "cuda-sm75"), ("dp4a", "cuda-sm75"))
        for tile in tiles(name)
    ],
    ids=str,
)
def test_every_tile(name: str, target: str, tile: WarpTile) -> None:
    loop = machine_code(name, target, 128, 768, 768, str(tile))
    assert loop.count(MULTIPLIES) == multiplies(name, 768, tile)


@pytest.mark.parametrize(
    ("channels", "inputs", "tile"), [(*shape, tile) for shape, tile in {**MINILM, **BERT_BASE}.items()]
)
def test_shapes(channels: int, inputs: int, tile: str) -> None:
    """Of MiniLM-L6 and BERT-base, 128 rows."""
    strategy, _ = STRATEGIES["mma_k32"]
    assert strategy.sketches(workload(128, channels, inputs))[0].name == f"{tile} tile"
    loop = machine_code("mma_k32", "jetson-orin", 128, channels, inputs)
    assert loop.count(MULTIPLIES) == multiplies("mma_k32", inputs, of_name(tile))


@pytest.mark.parametrize(("epilogue", "channels"), [("residual_add", 384), ("gelu_narrow", 1536)])
def test_epilogues(epilogue: str, channels: int) -> None:
    """Registers of sums and of what is done to them do not spill either."""
    loop = machine_code("mma_k32", "jetson-orin", 128, channels, 384, epilogue=epilogue)
    assert loop.count(MULTIPLIES) == multiplies("mma_k32", 384, of_name(MINILM[channels, 384]))


# Neither rows, channels nor inputs are a multiple of the tile's; the stages are none of the buffers'.
@pytest.mark.parametrize("name", ["mma_k32", "mma_k16"])
def test_odd_shapes(name: str) -> None:
    tile = TILES[0]
    loop = machine_code(name, "jetson-orin", 1000, 700, 656, str(tile))
    assert loop.count(MULTIPLIES) == multiplies(name, 656, tile)


@pytest.mark.parametrize("target", ["cuda-sm80", "cuda-sm86", "cuda-sm89", "cuda-sm90", "jetson-thor"])
def test_every_chip(target: str) -> None:
    loop = machine_code("mma_k32", target, 1024, 768, 3072)
    assert loop.count(MULTIPLIES) == multiplies("mma_k32", 3072, TILES[0])


@pytest.mark.parametrize("target", ["jetson-xavier", "cuda-sm75"])
@pytest.mark.parametrize("tile", [TILES[0], TILES[-1]], ids=str)
def test_wmma(target: str, tile: WarpTile) -> None:
    loop = machine_code("wmma", target, 1024, 768, 768, str(tile))
    assert loop.count(MULTIPLIES) == multiplies("wmma", 768, tile)


@pytest.mark.parametrize(("tile", "least"), [("128x128_2x2_3", 0.6), ("64x128_2x2_3", 0.5), ("64x64_2x2_3", 0.45)])
def test_what_multiplies_is_the_most_of_the_main_loop(tile: str, least: float) -> None:
    """On sm_87, BERT-base, 8 sequences of 128 tokens."""
    assert machine_code("mma_k32", "jetson-orin", 1024, 768, 3072, tile).multiply_share >= least


def test_tx2_has_no_dp4a() -> None:
    """sm_62 is later than sm_61, but multiplies 16 bits where that one takes four bytes at once."""
    assert machine_code("dp4a", "jetson-tx2", 128, 384, 384).count(MULTIPLIES) == 0
