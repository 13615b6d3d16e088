"""What the compiler makes of the linear kernels: as much multiplies as the tile needs, nothing is spilled."""

from __future__ import annotations

import pytest
from intbert.compiler.cuda.sass import MULTIPLIES, Loop, main_loop
from intbert.schedules.cuda.linear.strategy import TILES
from intbert.schedules.cuda.linear.warp_tile import WarpTile
from intbert.targets import get_target

from ...cuda.machine_code import integer_code
from .linear_kernels import STRATEGIES, kernel, tiles, workload

# Outputs of one instruction that multiplies, and how many inputs of each it takes; of a lane for dp4a, else of a warp.
SHAPES = {"mma_k32": (16 * 8, 32), "mma_k16": (8 * 8, 16), "wmma": (8 * 8, 16), "dp4a": (1, 4)}
# (channels, inputs), and the tile that 128 rows take.
MINILM = {
    (384, 384): "64x96_2x2_3",
    (1152, 384): "64x96_2x2_3",
    (1536, 384): "128x96_2x2_3",
    (384, 1536): "64x96_2x2_3",
}
BERT_BASE = {
    (768, 768): "64x96_2x2_3",
    (2304, 768): "128x96_2x2_3",
    (3072, 768): "128x128_2x2_3",
    (768, 3072): "64x64_1x1x4_3",
}


def machine_code(
    name: str, target: str, rows: int, channels: int, inputs: int, tile: str | None = None, epilogue: str = "narrow"
) -> Loop:
    """The main loop of a kernel, all of it where one turn is enough. Asserts that it is of integers.

    Skips, once registers are known not to spill, where no disassembler knows the chip.
    """
    gpu = get_target(target).cuda
    assert gpu is not None
    (instructions,) = integer_code(kernel(name, rows, channels, inputs, epilogue, tile).source, gpu).values()
    return main_loop(instructions) or Loop(instructions)


def multiplies(name: str, inputs: int, tile: WarpTile) -> int:
    """What a warp needs for as many turns of the loop as it has, at most one, if none is left out."""
    strategy, target = STRATEGIES[name]
    outputs, instruction_inputs = SHAPES[name]
    if name == "dp4a":  # the loop over the pieces of a stage is the innermost
        return tile.registers * 16 // instruction_inputs
    depth = strategy.depth(tile, workload(128, 128, inputs, target.cuda))
    stages = min(strategy.multiplication.stages(tile), -(-inputs // depth))
    return tile.registers * 32 // outputs * (depth // instruction_inputs // tile.slices) * stages


def of_name(name: str) -> WarpTile:
    return next(tile for tile in TILES if str(tile) == name)


@pytest.mark.parametrize(
    ("name", "target", "tile"),
    [
        (name, target, tile)
        for name, target, chosen in (
            ("mma_k32", "jetson-orin", slice(None)),
            ("mma_k16", "cuda-sm75", slice(None)),
            ("dp4a", "cuda-sm75", slice(0, None, 4)),
        )
        for tile in tiles(name)[chosen]
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
    strategy, target = STRATEGIES["mma_k32"]
    assert strategy.sketches(workload(128, channels, inputs, target.cuda))[0].name == f"{tile} tile"
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
@pytest.mark.parametrize("tile", [tiles("wmma")[0], tiles("wmma")[-1]], ids=str)
def test_wmma(target: str, tile: WarpTile) -> None:
    loop = machine_code("wmma", target, 1024, 768, 768, str(tile))
    assert loop.count(MULTIPLIES) == multiplies("wmma", 768, tile)


@pytest.mark.parametrize(
    ("tile", "least"),
    [
        ("128x128_2x2_3", 0.6),
        ("128x96_2x2_3", 0.55),
        ("64x128_1x2x2_3", 0.55),
        ("64x96_2x2_3", 0.5),
        ("64x64_1x1x4_3", 0.5),
    ],
)
def test_what_multiplies_is_the_most_of_the_main_loop(tile: str, least: float) -> None:
    """On sm_87, BERT-base, 8 sequences of 128 tokens."""
    assert machine_code("mma_k32", "jetson-orin", 1024, 768, 3072, tile).multiply_share >= least


def test_tx2_has_no_dp4a() -> None:
    """sm_62 is later than sm_61, but multiplies 16 bits where that one takes four bytes at once."""
    assert machine_code("dp4a", "jetson-tx2", 128, 384, 384).count(MULTIPLIES) == 0
