"""Every linear strategy that this machine can run: the oracle's bytes, for every epilogue, shape and extreme."""

from __future__ import annotations

import re
from functools import cache

import numpy as np
import pytest
from intbert.compiler.operators.fixed_point import WIDE_LIMIT
from intbert.schedules.linear import LINEAR_STRATEGIES
from intbert.schedules.lookup.kernels import LOOKUP_KERNELS
from intbert.targets import get_target
from intbert.targets.features import IMPLIED
from intbert.targets.target import Target

from .linear_cases import EPILOGUES, PAIRS, VALUES, Compiled, compile_layer, layer, lesser_host

# Strategy -> the CPU that gets it.
CPUS: dict[str, tuple[str, ...]] = {
    "amx": ("x86-64-v4", "avx512_vnni", "amx_int8"),
    "avx512_vnni": ("x86-64-v4", "avx512_vnni"),
    "avx_vnni": ("x86-64-v3", "avx_vnni"),
    "avx2": ("x86-64-v3", "avx2"),
    "plain": ("x86-64",),
    "neon_i8mm": ("generic", "i8mm"),
    "neon_dotprod": ("generic", "dotprod"),
    "neon": ("generic", "neon"),
}

CHANNELS, INPUTS = 96, 64
"""What every strategy takes."""

HOST = get_target("host")
STRATEGIES = [name for name, (_, *features) in CPUS.items() if set(features) <= set(IMPLIED[HOST.arch])]
"""Those for CPUs of this machine's architecture."""
every_strategy = pytest.mark.parametrize("strategy", STRATEGIES)


def cpu(strategy: str) -> Target:
    """This machine, with no more features than make the compiler choose ``strategy``."""
    name, *features = CPUS[strategy]
    if lacking := sorted(set(features) - HOST.features):
        pytest.skip(f"this CPU lacks {', '.join(lacking)}")
    return lesser_host(name if features or HOST.arch == "x86_64" else "generic", *features)


@cache
def compiled(strategy: str, rows: int, channels: int, inputs: int, epilogue: str) -> Compiled:
    return compile_layer(layer(channels, inputs, epilogue), rows, cpu(strategy))


def assert_oracle(strategy: str, rows: int, channels: int, inputs: int, epilogue: str) -> Compiled:
    """The kernel's integers are the oracle's, for random and for extreme activations and weights."""
    kernel = compiled(strategy, rows, channels, inputs, epilogue)
    for activations, weights in PAIRS:
        random = np.random.default_rng(rows)
        linear = layer(channels, inputs, epilogue, weights)
        x = VALUES[activations](random, (rows, inputs)).astype(np.int64)
        residual = random.integers(-WIDE_LIMIT, WIDE_LIMIT + 1, (rows, channels))
        residual = residual if linear.epilogue.takes_residual else None
        np.testing.assert_array_equal(
            kernel.run(linear, x, residual), linear.oracle(x, residual), f"{activations} x {weights}"
        )
    return kernel


def test_every_strategy_is_tested() -> None:
    lookups = {kernel.name for kernel in LOOKUP_KERNELS}  # tests/schedules/test_lookup_strategies.py
    assert {strategy.name for strategy in LINEAR_STRATEGIES} == set(CPUS) | lookups


@pytest.mark.parametrize(
    ("strategy", "rows"),
    # AMX takes multiples of 16 rows.
    [(name, rows) for name in STRATEGIES for rows in (1, 3, 7, 8, 32, 128) if name != "amx" or rows % 16 == 0],
)
def test_rows(strategy: str, rows: int) -> None:
    assert assert_oracle(strategy, rows, CHANNELS, INPUTS, "narrow").kernel.strategy == strategy


@every_strategy
@pytest.mark.parametrize("epilogue", [name for name in EPILOGUES if name != "narrow"])
def test_epilogues(strategy: str, epilogue: str) -> None:
    assert assert_oracle(strategy, 16, CHANNELS, INPUTS, epilogue).kernel.strategy == strategy


@every_strategy
@pytest.mark.parametrize(("channels", "inputs"), [(384, 1536), (48, 256)], ids=["384x1536", "48x256"])
def test_more_shapes(strategy: str, channels: int, inputs: int) -> None:
    assert assert_oracle(strategy, 16, channels, inputs, "narrow").kernel.strategy == strategy


@every_strategy
@pytest.mark.parametrize(
    ("rows", "channels", "inputs"),
    [(16, 5, 64), (16, 2, 30), (3, 1, 1), (8, 40, 20), (5, 12, 36)],
    ids=["odd-channels", "classifier", "one", "few-inputs", "four"],
)
@pytest.mark.parametrize("epilogue", ["narrow", "logits"])
def test_shapes_that_the_strategy_may_refuse(
    strategy: str, rows: int, channels: int, inputs: int, epilogue: str
) -> None:
    kernel = assert_oracle(strategy, rows, channels, inputs, epilogue).kernel
    # Whatever was chosen, the better ones say why not.
    names = [each.name for each in LINEAR_STRATEGIES]
    assert [name for name, _ in kernel.rejected] == names[: names.index(kernel.strategy)]
    assert all(reason for _, reason in kernel.rejected)


@every_strategy
def test_no_float_in_the_kernel(strategy: str) -> None:
    own_functions = re.findall(
        r"^define .*?^}", compiled(strategy, 16, CHANNELS, INPUTS, "gelu_narrow").llvm, re.M | re.S
    )
    # TVM adds conversions of half-precision numbers, weak and unused, to every module.
    own_functions = [text for text in own_functions if ".text.tvm.fp16.conv" not in text]
    assert any("@main" in text or "main_compute_" in text for text in own_functions)
    assert not re.search(r"\b(half|bfloat|float|double)\b", "\n".join(own_functions))
