"""Random points of AMX's spaces on a CPU without AMX: each instruction replaced by the loops that describe it.

So the tiles, their order and the places where they are computed are compared with the oracle; the instructions
themselves are what the tests of strategies run where there is AMX.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import tvm
from intbert.compiler.kernels import Alternative, Shape, alternatives
from intbert.schedules.intrinsics import amx
from intbert.targets import get_target

from ..devices.test_attention_kernels import QKV, attention, masks
from .linear_cases import Array, arguments, compile_functions, layer, lesser_host
from .points import points, sketches_of

FEATURES = ("avx2", "avx512", "avx512_vnni")

pytestmark = pytest.mark.skipif(
    not get_target("host").features.issuperset(FEATURES), reason="this CPU lacks AVX-512 VNNI"
)


@pytest.fixture
def described(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """AMX's intrinsics as plain loops."""

    def loops(pair: Callable[..., tuple[Any, Any]]) -> Callable[..., tuple[Any, Any]]:
        return lambda *arguments: (pair(*arguments)[0],) * 2

    amx.register.cache_clear()
    for name in ("_zero", "_dot", "_store"):
        monkeypatch.setattr(amx, name, loops(getattr(amx, name)))
    yield
    amx.register.cache_clear()


def check(way: Alternative, given: list[Array], expected: Array) -> None:
    assert way.strategy.name == amx.STRATEGY
    functions = {
        f"point_{i}": schedule.mod["main"] for i, (_, schedule) in enumerate(points(way, 2 * len(sketches_of(way))))
    }
    executable = compile_functions(functions, lesser_host("x86-64-v4", *FEATURES))
    for name in functions:
        memory = [tvm.runtime.tensor(array) for array in (*given[:-1], np.full_like(expected, 77))]
        executable[name](*memory)
        np.testing.assert_array_equal(memory[-1].numpy(), expected, name)


@pytest.mark.parametrize(("rows", "channels", "inputs"), [(16, 48, 64), (64, 96, 128)], ids=["small", "tiles"])
def test_linear(described: None, rows: int, channels: int, inputs: int) -> None:
    linear = layer(channels, inputs, "narrow")
    target = lesser_host("x86-64-v4", *FEATURES, "amx_int8")
    x = np.random.default_rng(rows).integers(-127, 128, (rows, inputs))
    (way, *_) = alternatives(linear, Shape(1, rows, rows, inputs, 128, 128, target.features))
    check(way, arguments(linear, x, None, target), (linear.oracle(x) + 128).astype(np.uint8))


@pytest.mark.parametrize(("batch", "length", "heads", "head_dim"), [(1, 64, 2, 32), (2, 16, 1, 64)])
def test_attention(described: None, batch: int, length: int, heads: int, head_dim: int) -> None:
    operator = attention(heads, head_dim)
    random = np.random.default_rng(length)
    qkv = QKV["random"](random, (batch * length, 3 * heads * head_dim)).astype(np.int64)
    mask = masks(random, batch, length)["padded"]
    expected = operator.oracle(qkv, mask).astype(np.int8)
    features = lesser_host("x86-64-v4", *FEATURES, "amx_int8").features
    (way, *_) = alternatives(operator, Shape(batch, length, batch * length, 3 * heads * head_dim, 0, 0, features))
    given = [qkv.astype(np.int8), mask.astype(np.int32), *operator.parameters(), expected]
    check(way, given, expected)
