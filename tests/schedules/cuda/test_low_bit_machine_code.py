"""What the compiler makes of packed linear kernels: as much multiplies as the tile needs, nothing is spilled."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from intbert.compiler.cuda.sass import TENSOR_CORES, Loop, main_loop
from intbert.compiler.packing import Packing
from intbert.schedules.cuda.linear.warp_tile import WarpTile
from intbert.schedules.cuda.packed_linear.codes import DEPTH
from intbert.targets import get_target

from ...cuda.kernels import kernels_source
from ...cuda.machine_code import integer_code
from .test_low_bits import BINARY, STRATEGIES, definition, layer, scheduled_for

# Outputs of one instruction of a warp, and how many inputs of each it takes.
SHAPES = {
    "unpack_mma_k32": (16 * 8, 32),
    "unpack_mma_k16": (8 * 8, 16),
    "unpack_wmma": (8 * 8, 16),
    "mma_s4_k64": (16 * 8, 64),
    "mma_s4_k32": (8 * 8, 32),
    "mma_b1_m16_few": (16 * 8, 128),
    "mma_b1_m16_many": (16 * 8, 128),
    "mma_b1_m8_few": (8 * 8, 128),
    "mma_b1_m8_many": (8 * 8, 128),
}


def offered(name: str, packing: Packing, bits: int, inputs: int) -> Sequence[WarpTile]:
    """The strategy's tiles, from the largest to the smallest."""
    strategy, target = STRATEGIES[name]
    return strategy.tiles(definition(layer(768, inputs, packing, bits), 1024, target).workload)


def loops(name: str, packing: Packing, bits: int, inputs: int, tiles: Sequence[WarpTile]) -> dict[WarpTile, Loop]:
    """The main loop of each of ``tiles`` for 768 channels, all of the kernel where it is unrolled. Asserts that all
    kernels are of integers."""
    strategy, target = STRATEGIES[name]
    assert target.cuda is not None
    of = definition(layer(768, inputs, packing, bits), 1024, target)
    names = [sketch.name for sketch in strategy.sketches(of.workload)]
    numbers = {tile: names.index(f"{tile} tile") for tile in tiles}
    functions = {f"tile{number}": scheduled_for(strategy, of, number) for number in numbers.values()}
    code = integer_code(kernels_source(functions, target), target.cuda)
    kernels = {tile: code[f"tile{number}_kernel"] for tile, number in numbers.items()}
    return {tile: main_loop(instructions) or Loop(instructions) for tile, instructions in kernels.items()}


def products(name: str, tile: WarpTile, bits: int) -> int:
    """Instructions of a warp that multiply a stage; single bits are multiplied once for each bit of an activation."""
    outputs, inputs = SHAPES[name]
    return tile.registers * 32 // outputs * (DEPTH // inputs) * (bits if name.startswith("mma_b1") else 1)


@pytest.mark.parametrize(
    ("name", "packing", "bits"),
    [
        ("unpack_mma_k32", Packing(7), 8),
        ("unpack_mma_k32", BINARY, 8),
        ("unpack_mma_k16", Packing(3), 8),
        ("mma_s4_k64", Packing(3), 4),
        ("mma_s4_k32", Packing(4), 4),
        ("mma_b1_m16_few", BINARY, 2),
        ("mma_b1_m16_many", BINARY, 8),
        ("mma_b1_m8_few", BINARY, 2),
        ("mma_b1_m8_many", BINARY, 8),
    ],
    ids=lambda value: f"w{value.bits}" if isinstance(value, Packing) else str(value),
)
def test_every_tile(name: str, packing: Packing, bits: int) -> None:
    inputs = 768
    for tile, loop in loops(name, packing, bits, inputs, offered(name, packing, bits, inputs)).items():
        # A turn of the loop is a stage, or one of each buffer, or all of them.
        turns = {products(name, tile, bits) * stages for stages in (1, tile.stages, inputs // DEPTH)}
        assert loop.count(TENSOR_CORES) in turns, tile


@pytest.mark.parametrize(
    ("name", "packing", "bits", "least"),
    [
        ("unpack_mma_k32", Packing(4), 8, 0.42),
        ("unpack_mma_k32", Packing(2), 8, 0.41),
        ("mma_s4_k64", Packing(4), 4, 0.3),
        ("mma_s4_k64", BINARY, 4, 0.2),
        ("mma_b1_m16_few", BINARY, 2, 0.22),
        ("unpack_mma_k16", Packing(4), 8, 0.57),
    ],
    ids=lambda value: f"w{value.bits}" if isinstance(value, Packing) else str(value),
)
def test_what_multiplies_is_much_of_the_main_loop(name: str, packing: Packing, bits: int, least: float) -> None:
    """Of the largest tile."""
    ((_, loop),) = loops(name, packing, bits, 3072, offered(name, packing, bits, 3072)[:1]).items()
    assert loop.count(TENSOR_CORES) >= least * len(loop.instructions)


@pytest.mark.parametrize("chip", ["jetson-xavier", "cuda-sm75"])
def test_wmma(chip: str) -> None:
    """Of every tile on the chip that takes it, where none of PyPI's disassemblers knows it, and on the next one."""
    (strategy, _), target = STRATEGIES["unpack_wmma"], get_target(chip)
    assert target.cuda is not None
    of = definition(layer(768, 3072, Packing(7), 8), 1024, target)
    names = [sketch.name for sketch in strategy.sketches(of.workload)]
    functions = {f"tile{number}": scheduled_for(strategy, of, number) for number in range(len(names))}
    code = integer_code(kernels_source(functions, target), target.cuda)
    for tile in strategy.tiles(of.workload):
        loop = main_loop(code[f"tile{names.index(f'{tile} tile')}_kernel"])
        assert loop is not None, tile
        assert loop.count(TENSOR_CORES) == products("unpack_wmma", tile, 7), tile
