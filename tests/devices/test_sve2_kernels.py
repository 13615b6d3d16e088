"""CPUs with scalable vectors: they get the kernels of NEON's dot products, and those give the oracle's bytes there.

Whatever LLVM makes of the rest with SVE2 runs on vectors of 512 bits here: nothing may depend on their length.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from intbert.compiler.kernels import Shape, build_kernel
from intbert.targets import get_target

from ..schedules.linear_cases import Array, arguments, as_integers, kernel_for, layer
from ..schedules.lookup_cases import linear as linear_of_few_bits
from .kernels import run_on_board
from .test_attention_kernels import attention
from .virtual_board import VirtualBoard

Boards = Callable[[str], VirtualBoard]

SVE2_CPU = "max,sme=off"
ROWS, CHANNELS, INPUTS = 16, 48, 64
BATCH, LENGTH, HEADS, HEAD_DIM = 2, 32, 2, 32


@pytest.mark.parametrize(
    ("feature", "strategy", "look_up"), [("i8mm", "neon_i8mm", "neon_i8mm"), ("dotprod", "neon_dotprod", "neon_tbl")]
)
def test_kernels_give_the_oracles_bytes(
    boards: Boards, tmp_path: Path, feature: str, strategy: str, look_up: str
) -> None:
    target = replace(get_target("aarch64-i8mm"), name="sve2", features=frozenset({feature, "sve2"}))
    random = np.random.default_rng(0)
    functions, calls, expected = {}, {}, {}
    layers = {
        epilogue: (layer(CHANNELS, INPUTS, epilogue), 127, strategy)
        for epilogue in ("narrow", "gelu_narrow", "residual_add")
    }
    layers["binary"] = linear_of_few_bits("binary", 7, 384, 384, "narrow"), 7, look_up
    for function, (linear, reach, chosen) in layers.items():
        kernel = kernel_for(linear, ROWS, target)
        assert kernel.strategy == chosen
        functions[function] = kernel.function
        x = random.integers(-reach, reach + 1, (ROWS, linear.inputs))
        residual = random.integers(-1000, 1000, (ROWS, linear.channels)) if linear.epilogue.takes_residual else None
        calls[f"{function}/random"] = arguments(linear, x, residual, target)
        expected[f"{function}/random"] = linear.oracle(x, residual)
    operator, width = attention(HEADS, HEAD_DIM), HEADS * HEAD_DIM
    kernel = build_kernel(operator, Shape(BATCH, LENGTH, BATCH * LENGTH, 3 * width, 0, 0, target.features))
    assert kernel.strategy == strategy
    functions["attention"] = kernel.function
    qkv = random.integers(-127, 128, (BATCH * LENGTH, 3 * width))
    mask = (np.arange(LENGTH) < np.array([[LENGTH], [5]])).astype(int)
    output = np.full((BATCH * LENGTH, width), 77, np.int8)
    calls["attention/random"] = [qkv.astype(np.int8), mask.astype(np.int32), *operator.parameters(), output]
    expected["attention/random"] = operator.oracle(qkv, mask)

    outputs: dict[str, Array] = run_on_board(boards(SVE2_CPU), target, functions, calls, tmp_path)
    for call, oracle in expected.items():
        linear = layers.get(call.partition("/")[0])
        found = outputs[call] if linear is None else as_integers(linear[0], outputs[call], target)
        np.testing.assert_array_equal(found, oracle, call)
