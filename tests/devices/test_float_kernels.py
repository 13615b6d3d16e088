"""The float operators' kernels on emulated Arm CPUs: the oracle's bytes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from intbert.compiler.kernels import Shape, build_kernel
from intbert.compiler.operators.real.attention import AttentionRoundings, RealAttention
from intbert.compiler.operators.real.elementwise import Elementwise
from intbert.compiler.operators.real.functions import Function
from intbert.compiler.operators.real.layer_norm import RealLayerNorm
from intbert.compiler.operators.real.operator import RealOperator
from intbert.targets import get_target
from numpy.typing import NDArray

from ..compiler.operators.real.floats import assert_same_bytes, draws
from ..compiler.operators.real.operators import source, source_inputs
from .kernels import run_on_board
from .virtual_board import VirtualBoard

ROWS, LENGTH = 16, 16


def operators() -> dict[str, RealOperator]:
    random = np.random.default_rng(0)
    gamma, beta = (random.normal(1, 1, 64).astype(np.float32) for _ in range(2))
    return {
        "gelu": Elementwise("gelu", source("accumulators", 64), Function.GELU),
        "tanh": Elementwise("tanh", source("accumulators", 64), Function.TANH),
        "norm": RealLayerNorm("norm", source("accumulators", 64), True, gamma, beta, 1e-12),
        "attention": RealAttention("attention", 2, 32, source("accumulators", 192), AttentionRoundings()),
    }


def inputs_of(name: str) -> list[NDArray[Any]]:
    if name == "attention":
        return [
            source_inputs("accumulators", 1, ROWS, 192)[0] % 4001 - 2000,
            (np.arange(LENGTH) < 13)[None].astype(int),
        ]
    accumulators = source_inputs("accumulators", 1, ROWS, 64)
    return [*accumulators, draws(1, ROWS, 64)] if name == "norm" else accumulators


def test_kernels_give_the_oracles_bytes(boards: Callable[[str], VirtualBoard], tmp_path: Path) -> None:
    target = get_target("rpi4")
    functions, calls, expected = {}, {}, {}
    for name, operator in operators().items():
        inputs = inputs_of(name)
        shape = Shape(1, LENGTH, ROWS, inputs[0].shape[1], 0, 0, target.features)
        functions[name] = build_kernel(operator, shape).function
        expected[name] = operator.oracle(*inputs)
        memory = [array if array.dtype == np.float32 else array.astype(np.int32) for array in inputs]
        calls[f"{name}/case"] = [*memory, *operator.parameters(), np.full_like(expected[name], 77)]
    outputs = run_on_board(boards("cortex-a72"), target, functions, calls, tmp_path)
    for name, oracle in expected.items():
        assert_same_bytes(outputs[f"{name}/case"], oracle)
