"""Every strategy of table look-up that this machine can run: the oracle's bytes; none where dot products win."""

from __future__ import annotations

import re
from functools import cache

import numpy as np
import pytest
import tvm
from intbert.compiler.kernels import Alternative, Shape, alternatives
from intbert.compiler.operators.linear import Linear
from intbert.schedules.linear import activation_zero_point
from intbert.schedules.lookup.kernels import LOOKUP_KERNELS
from intbert.schedules.lookup.operands import lookup_operands
from intbert.targets import get_target
from intbert.targets.target import Target

from .assembly import count, hot_loop
from .linear_cases import EPILOGUES, arguments, as_integers, compile_functions, lesser_host
from .lookup_cases import PACKINGS, calls, linear
from .points import points, sketches_of

CPUS: dict[str, tuple[str, ...]] = {
    "avx512_vpermb": ("x86-64-v4", "avx2", "avx512", "avx512_vnni", "avx512_vbmi"),
    "avx512_vpermw": ("x86-64-v4", "avx2", "avx512", "avx512_vnni"),
    "avx2_vpshufb": ("x86-64-v3", "avx2"),
    "avx2_vpshufb_digits": ("x86-64-v3", "avx2"),
    "avx_vnni_vpshufb": ("x86-64-v3", "avx2", "avx_vnni"),
    "avx_vnni_vpshufb_digits": ("x86-64-v3", "avx2", "avx_vnni"),
}
"""Strategy -> the CPU that gets it."""
CASES = [
    ("avx512_vpermb", "binary", 7),
    ("avx512_vpermb", "binary", 31),
    ("avx512_vpermb", "ternary", 7),
    ("avx512_vpermb", "quaternary", 7),
    ("avx512_vpermw", "binary", 7),
    ("avx512_vpermw", "binary", 127),
    ("avx2_vpshufb", "binary", 7),
    ("avx2_vpshufb", "binary", 31),
    ("avx2_vpshufb", "ternary", 7),
    ("avx2_vpshufb", "quaternary", 7),
    ("avx2_vpshufb_digits", "binary", 127),
    ("avx2_vpshufb_digits", "ternary", 127),
    ("avx2_vpshufb_digits", "quaternary", 127),
    ("avx_vnni_vpshufb", "binary", 7),
    ("avx_vnni_vpshufb_digits", "binary", 127),
]
"""(strategy, weights, the activations' largest magnitude)."""
CHANNELS, INPUTS = 384, 256
every_case = pytest.mark.parametrize(("strategy", "weights", "reach"), CASES)


def cpu(strategy: str) -> Target:
    """This machine, with no more features than make the compiler choose ``strategy``."""
    name, *features = CPUS[strategy]
    if lacking := sorted(set(features) - get_target("host").features):
        pytest.skip(f"this CPU lacks {', '.join(lacking)}")
    return lesser_host(name, *features)


def way(of: Linear, rows: int, target: Target) -> Alternative:
    zero_point = activation_zero_point(target.features)
    return alternatives(of, Shape(1, rows, rows, of.inputs, zero_point, zero_point, target.features))[0]


@cache
def compiled(strategy: str, weights: str, reach: int, rows: int, channels: int, inputs: int, epilogue: str):
    target = cpu(strategy)
    found = way(linear(weights, reach, channels, inputs, epilogue), rows, target)
    assert found.strategy.name == strategy
    return compile_functions({"main": found.finish(found.default())}, target), target


def assert_oracle(
    executable, target: Target, weights: str, reach: int, rows: int, channels: int, inputs: int, epilogue: str
) -> None:
    for of, x, residual in calls(weights, reach, rows, channels, inputs, epilogue):
        memory = [tvm.runtime.tensor(array) for array in arguments(of, x, residual, target)]
        executable["main"](*memory)
        np.testing.assert_array_equal(as_integers(of, memory[-1].numpy(), target), of.oracle(x, residual))


def test_every_strategy_is_tested() -> None:
    here = {kernel.name for kernel in LOOKUP_KERNELS if kernel.feature != "neon"}  # those: tests/devices
    assert here == set(CPUS) == {strategy for strategy, _, _ in CASES}


@every_case
@pytest.mark.parametrize("rows", [1, 3, 8, 40])
def test_rows(strategy: str, weights: str, reach: int, rows: int) -> None:
    case = weights, reach, rows, CHANNELS, INPUTS, "narrow"
    assert_oracle(*compiled(strategy, *case), *case)


@pytest.mark.parametrize(
    ("strategy", "weights", "reach"), [next(case for case in CASES if case[0] == strategy) for strategy in CPUS]
)
@pytest.mark.parametrize("epilogue", [name for name in EPILOGUES if name != "narrow"])
def test_epilogues(strategy: str, weights: str, reach: int, epilogue: str) -> None:
    case = weights, reach, 16, CHANNELS, INPUTS, epilogue
    assert_oracle(*compiled(strategy, *case), *case)


@every_case
@pytest.mark.parametrize(("channels", "inputs"), [(384, 1536), (768, 48), (1056, 80)], ids=str)
def test_shapes(strategy: str, weights: str, reach: int, channels: int, inputs: int) -> None:
    """More groups than one pass, and than int16 accumulators take; groups and fields that are filled up."""
    case = weights, reach, 16, channels, inputs, "narrow"
    assert_oracle(*compiled(strategy, *case), *case)


@pytest.mark.parametrize("inputs", [33, 77, 251])
@pytest.mark.parametrize(
    ("strategy", "reach"), [("avx512_vpermw", 127), ("avx2_vpshufb", 7), ("avx2_vpshufb_digits", 127)]
)
def test_inputs_that_are_no_whole_groups(strategy: str, reach: int, inputs: int) -> None:
    case = "binary", reach, 8, 1024, inputs, "narrow"
    assert_oracle(*compiled(strategy, *case), *case)


@pytest.mark.parametrize(
    ("strategy", "reach", "rows"),
    [("avx512_vpermb", 7, 64), ("avx512_vpermw", 127, 8), ("avx2_vpshufb", 7, 8), ("avx2_vpshufb_digits", 127, 64)],
)
def test_every_sketch_computes_the_same(strategy: str, reach: int, rows: int) -> None:
    """With decisions that are drawn: several tiles of rows and of columns together."""
    target, case = cpu(strategy), ("binary", reach, rows, 1536, 80, "narrow")
    found = way(linear("binary", reach, 1536, 80, "narrow"), rows, target)
    for _, point in points(found, len(sketches_of(found))):
        assert_oracle(compile_functions({"main": found.finish(point)}, target), target, *case)


@pytest.mark.parametrize(
    ("weights", "reach", "digits", "budget"),
    [("binary", 7, 1, 4.5), ("quaternary", 7, 1, 5.2), ("binary", 127, 2, 8), ("quaternary", 127, 2, 8)],
)
def test_vpshufb_keeps_all_in_registers(weights: str, reach: int, digits: int, budget: float) -> None:
    """Instructions that look up 32 entries and add them, and no more loads than those of tables and indices."""
    target = get_target("x86-64-v3")
    found = way(linear(weights, reach, CHANNELS, INPUTS, "narrow"), 32, target)
    executable = compile_functions({"main": found.finish(found.default())}, target)
    loop = hot_loop(executable.mod.inspect_source("asm"), "vpshufb")
    assert len(loop) <= budget * count(loop, "vpshufb") / digits
    assert not [line for line in loop if re.search(r"%ymm\d+, -?\d*\(%r[sb]p", line)], "sums are spilled"


ALL = frozenset(CPUS["avx512_vpermb"][1:])


@pytest.mark.parametrize(
    ("features", "weights", "reach", "shape"),
    [
        (ALL | {"amx_int8"}, "binary", 7, (768, 768)),
        (frozenset({"neon", "i8mm"}), "quaternary", 127, (768, 768)),
        (ALL, "quaternary", 127, (768, 768)),
        (frozenset({"avx2", "avx_vnni"}), "quaternary", 127, (768, 768)),
        (ALL, "binary", 7, (2, 768)),
        (frozenset(), "binary", 7, (768, 768)),
    ],
    ids=["matrix-unit", "matrix-instructions", "few-weights", "few-weights-two-digits", "few-channels", "no-vectors"],
)
def test_dot_products_where_they_are_cheaper(
    features: frozenset[str], weights: str, reach: int, shape: tuple[int, int]
) -> None:
    levels = PACKINGS[weights][0].levels
    assert lookup_operands(features, activation_zero_point(features) != 0, levels, *shape, reach) is None


def test_kernels_of_other_reaches_are_others() -> None:
    """Tables are made for activations of a certain magnitude: layers that differ in it share no kernel."""
    assert linear("binary", 7, 64, 64, "narrow").structure != linear("binary", 3, 64, 64, "narrow").structure


def test_the_plain_loops_do_not_read_indices() -> None:
    target = cpu("avx512_vpermb")
    of = linear("binary", 7, CHANNELS, INPUTS, "narrow")
    zero_point = activation_zero_point(target.features)
    found = alternatives(of, Shape(1, 8, 8, INPUTS, zero_point, zero_point, target.features))
    assert [each.strategy.name for each in found] == ["avx512_vpermb"]
