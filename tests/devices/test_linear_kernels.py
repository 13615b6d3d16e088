"""The linear kernels of Arm CPUs on emulated ones: the oracle's bytes, for every epilogue, shape and extreme."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from intbert.compiler.operators.fixed_point import WIDE_LIMIT
from intbert.compiler.operators.linear import Linear
from intbert.targets import get_target

from ..compiler.packings import FIELDS, draw_values
from ..schedules.linear_cases import (
    EPILOGUES,
    PAIRS,
    VALUES,
    Array,
    arguments,
    as_integers,
    kernel_for,
    layer,
)
from .kernels import run_on_board
from .virtual_board import I8MM_CPU, VirtualBoard

Boards = Callable[[str], VirtualBoard]

# (rows, channels, inputs, epilogue)
LAYERS = [
    *((rows, 48, 64, "narrow") for rows in (1, 2, 3, 5, 8, 32)),
    (16, 40, 112, "narrow"),  # an odd number of blocks of channels and of groups of inputs
    *((8, 48, 64, epilogue) for epilogue in EPILOGUES if epilogue != "narrow"),
    (4, 384, 1536, "narrow"),
    (4, 24, 20, "narrow"),  # sdot's layout, but not whole vectors of inputs
    (4, 12, 32, "narrow"),  # no pair of vectors of channels
    (3, 5, 64, "logits"),  # row-major
]


@pytest.mark.parametrize(
    ("target_name", "cpu", "strategies"),
    [
        pytest.param("rpi4", "cortex-a72", {"neon", "plain"}, id="rpi4-cortex-a72"),
        pytest.param("rpi5", "cortex-a76", {"neon_dotprod", "neon", "plain"}, id="rpi5-cortex-a76"),
        pytest.param("aarch64-i8mm", I8MM_CPU, {"neon_i8mm", "neon", "plain"}, id="i8mm"),
    ],
)
def test_kernels_give_the_oracles_bytes(
    boards: Boards, tmp_path: Path, target_name: str, cpu: str, strategies: set[str]
) -> None:
    target = get_target(target_name)
    functions, chosen = {}, set()
    calls: dict[str, list[Array]] = {}
    expected: dict[str, tuple[Linear, Array]] = {}
    for rows, channels, width, epilogue in LAYERS:
        function = f"linear_{rows}_{channels}_{width}_{epilogue}"
        kernel = kernel_for(layer(channels, width, epilogue), rows, target)
        functions[function] = kernel.function
        chosen.add(kernel.strategy)
        for activations, weights in PAIRS:
            random = np.random.default_rng(rows)
            linear = layer(channels, width, epilogue, weights)
            x = VALUES[activations](random, (rows, width)).astype(np.int64)
            residual = random.integers(-WIDE_LIMIT, WIDE_LIMIT + 1, (rows, channels))
            residual = residual if linear.epilogue.takes_residual else None
            call = f"{function}/{activations}-{weights}"
            calls[call] = arguments(linear, x, residual, target)
            expected[call] = linear, linear.oracle(x, residual)
    assert chosen == strategies
    outputs = run_on_board(boards(cpu), target, functions, calls, tmp_path)
    for call, (linear, oracle) in expected.items():
        np.testing.assert_array_equal(as_integers(linear, outputs[call], target), oracle, call)


@pytest.mark.parametrize(
    ("target_name", "cpu"), [("rpi4", "cortex-a72"), ("rpi5", "cortex-a76"), ("aarch64-i8mm", I8MM_CPU)]
)
def test_packed_weights_give_the_oracles_bytes(boards: Boards, tmp_path: Path, target_name: str, cpu: str) -> None:
    """Weights of one, two and three planes, as the micro-kernels and the plain loop read them."""
    target = get_target(target_name)
    functions, calls, expected = {}, {}, {}
    for packing in FIELDS:
        for rows, channels, width in ((8, 48, 64), (3, 5, 24)):
            weight = draw_values(packing, (channels, width), packing.bits)
            linear = replace(layer(channels, width, "narrow"), weight=weight, packing=packing)
            x = VALUES["random"](np.random.default_rng(rows), (rows, width)).astype(np.int64)
            function = f"linear_{packing.bits}_{rows}"
            functions[function] = kernel_for(linear, rows, target).function
            calls[f"{function}/random"] = arguments(linear, x, None, target)
            expected[f"{function}/random"] = linear, linear.oracle(x)
    outputs = run_on_board(boards(cpu), target, functions, calls, tmp_path)
    for call, (linear, oracle) in expected.items():
        np.testing.assert_array_equal(as_integers(linear, outputs[call], target), oracle, call)
