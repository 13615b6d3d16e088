"""The attention kernels of Arm CPUs on emulated ones: the oracle's bytes, with padding and with extreme values."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from intbert.compiler.kernels import Shape, build_kernel
from intbert.compiler.operators.attention import Attention
from intbert.compiler.operators.attention_scores import AttentionScores
from intbert.compiler.operators.attention_values import AttentionValues
from intbert.compiler.operators.masked_softmax import MaskedSoftmax
from intbert.compiler.operators.requantize import Requantize
from intbert.compiler.operators.value_range import NARROW
from intbert.targets import get_target

from ..schedules.linear_cases import Array
from .kernels import run_on_board
from .virtual_board import I8MM_CPU, VirtualBoard

Boards = Callable[[str], VirtualBoard]

# (batch, length, heads, head dimension)
SHAPES = [(1, 32, 2, 32), (2, 16, 3, 64), (1, 48, 1, 16), (2, 12, 2, 8)]

QKV: dict[str, Callable[[np.random.Generator, tuple[int, int]], Array]] = {
    "random": lambda random, shape: random.integers(-127, 128, shape),
    "largest": lambda _, shape: np.full(shape, 127),
    "smallest": lambda _, shape: np.full(shape, -127),
    "signs": lambda random, shape: random.choice([-127, 127], shape),
}


def attention(heads: int, head_dim: int) -> Attention:
    return Attention(
        "attention",
        heads,
        AttentionScores("scores", head_dim),
        MaskedSoftmax.from_scale("softmax", 2e-4),
        AttentionValues("values", Requantize.from_ratio("values", np.array([1 / 300]), NARROW)),
    )


def masks(random: np.random.Generator, batch: int, length: int) -> dict[str, Array]:
    lengths = random.integers(1, length, batch)
    return {
        "full": np.ones((batch, length), int),
        "padded": (np.arange(length) < lengths[:, None]).astype(int),
        "one": np.eye(1, length, dtype=int).repeat(batch, axis=0),
    }


@pytest.mark.parametrize(
    ("target_name", "cpu", "strategy"),
    [
        pytest.param("rpi4", "cortex-a72", "neon", id="rpi4-cortex-a72"),
        pytest.param("rpi5", "cortex-a76", "neon_dotprod", id="rpi5-cortex-a76"),
        pytest.param("aarch64-i8mm", I8MM_CPU, "neon_i8mm", id="i8mm"),
    ],
)
def test_kernels_give_the_oracles_bytes(
    boards: Boards, tmp_path: Path, target_name: str, cpu: str, strategy: str
) -> None:
    target = get_target(target_name)
    functions, calls, expected, chosen = {}, {}, {}, set()
    for batch, length, heads, head_dim in SHAPES:
        operator = attention(heads, head_dim)
        function = f"attention_{batch}_{length}_{heads}_{head_dim}"
        kernel = build_kernel(
            operator, Shape(batch, length, batch * length, 3 * heads * head_dim, 0, 0, target.features)
        )
        functions[function] = kernel.function
        chosen.add(kernel.strategy)
        for values, matrix in QKV.items():
            random = np.random.default_rng(length)
            qkv = matrix(random, (batch * length, 3 * heads * head_dim)).astype(np.int64)
            for name, mask in masks(random, batch, length).items():
                call = f"{function}/{values}-{name}"
                output = np.full((batch * length, heads * head_dim), 77, np.int8)
                calls[call] = [qkv.astype(np.int8), mask.astype(np.int32), *operator.parameters(), output]
                expected[call] = operator.oracle(qkv, mask)
    assert chosen == {strategy, "plain"}
    outputs = run_on_board(boards(cpu), target, functions, calls, tmp_path)
    for call, context in expected.items():
        np.testing.assert_array_equal(outputs[call], context, call)
