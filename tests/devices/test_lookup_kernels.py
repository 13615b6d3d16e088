"""Table look-up on emulated Arm CPUs: the oracle's bytes, for random and extreme weights and activations."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from intbert.compiler.operators.linear import Linear
from intbert.targets import get_target

from ..schedules.linear_cases import EPILOGUES, Array, arguments, as_integers, kernel_for
from ..schedules.lookup_cases import calls, linear
from .kernels import run_on_board
from .virtual_board import VirtualBoard

Boards = Callable[[str], VirtualBoard]

# (rows, channels, inputs, epilogue)
SHAPES = [
    *((rows, 96, 64, "narrow") for rows in (1, 3, 8, 33)),
    *((4, 96, 64, epilogue) for epilogue in EPILOGUES if epilogue != "narrow"),
    (8, 96, 3072, "narrow"),  # more groups than sums of 16 bits take, and than the first-level cache
    (4, 384, 77, "narrow"),  # the last group is filled up
]
FEW_SHAPES = [shape for shape in SHAPES if shape[0] in (1, 8) or shape[2] == 77]
"""For the other weights and activations: what differs is how sums are made, not how they are finished."""


@pytest.mark.parametrize(
    ("target_name", "cpu", "weights", "reach", "strategy", "shapes"),
    [
        ("rpi4", "cortex-a72", "binary", 7, "neon_tbl", SHAPES),
        ("rpi4", "cortex-a72", "binary", 15, "neon_tbl", FEW_SHAPES),
        ("rpi4", "cortex-a72", "quaternary", 7, "neon_tbl", FEW_SHAPES),
        ("rpi4", "cortex-a72", "binary", 127, "neon_tbl_nibbles", SHAPES),
        ("rpi5", "cortex-a76", "binary", 7, "neon_tbl", FEW_SHAPES),
    ],
    ids=["a72-w1a4", "a72-w1a5", "a72-w2a4", "a72-w1a8", "a76-w1a4"],
)
def test_kernels_give_the_oracles_bytes(
    boards: Boards,
    tmp_path: Path,
    target_name: str,
    cpu: str,
    weights: str,
    reach: int,
    strategy: str,
    shapes: list[tuple[int, int, int, str]],
) -> None:
    target = get_target(target_name)
    functions = {}
    memory: dict[str, list[Array]] = {}
    expected: dict[str, tuple[Linear, Array]] = {}
    for shape in shapes:
        rows, channels, inputs, epilogue = shape
        function = f"linear_{rows}_{channels}_{inputs}_{epilogue}"
        kernel = kernel_for(linear(weights, reach, channels, inputs, epilogue), rows, target)
        assert kernel.strategy == strategy
        functions[function] = kernel.function
        for number, (of, x, residual) in enumerate(calls(weights, reach, *shape)):
            call = f"{function}/{number}"
            memory[call] = arguments(of, x, residual, target)
            expected[call] = of, of.oracle(x, residual)
    outputs = run_on_board(boards(cpu), target, functions, memory, tmp_path)
    for call, (of, oracle) in expected.items():
        np.testing.assert_array_equal(as_integers(of, outputs[call], target), oracle, call)


def test_dot_products_where_they_are_cheaper() -> None:
    """sdot and smmla multiply activations of 8 bits faster than two look-ups would."""
    for target_name, weights, reach in (("rpi5", "binary", 127), ("rpi4", "quaternary", 127)):
        kernel = kernel_for(linear(weights, reach, 96, 64, "narrow"), 8, get_target(target_name))
        assert not kernel.strategy.startswith("neon_tbl"), target_name
