"""The emulator's operations on the registers of a warp: votes, bytes, products of unsigned by signed values."""

from __future__ import annotations

import numpy as np
import pytest

from .emulation import EmulationError, run
from .test_emulator import WARP, kernel, launch


def test_ballot() -> None:
    values = np.random.default_rng(0).integers(0, 3, WARP).astype(np.int32)
    votes = np.zeros(WARP, np.uint32)
    source = kernel("int* x, unsigned* y", "y[threadIdx.x] = __ballot_sync(0xffffffffu, x[threadIdx.x]);")
    run(source, "k", launch(), [values, votes])
    assert set(votes) == {sum(1 << lane for lane in range(WARP) if values[lane])}


def test_a_vote_of_a_part_of_a_warp_is_told() -> None:
    source = kernel("unsigned* y", "y[threadIdx.x] = __ballot_sync(1, 1);")
    with pytest.raises(EmulationError, match="__ballot_sync of a part of a warp"):
        run(source, "k", launch(), [np.zeros(WARP, np.uint32)])


@pytest.mark.parametrize("selector", [0x6420, 0x7531, 0x0000, 0x3210, 0x7654])
def test_byte_perm(selector: int) -> None:
    words = np.random.default_rng(1).integers(0, 2**32, (2, WARP)).astype(np.uint32)
    result = np.zeros(WARP, np.uint32)
    body = f"int i = threadIdx.x; z[i] = __byte_perm(x[i], y[i], {selector});"
    run(kernel("unsigned* x, unsigned* y, unsigned* z", body), "k", launch(), [*words, result])
    pairs = words.T.copy().view(np.uint8)  # [lane, byte of x, then of y]
    expected = pairs[:, [selector >> 4 * place & 7 for place in range(4)]]
    np.testing.assert_array_equal(result.view(np.uint8).reshape(WARP, 4), expected)


@pytest.mark.parametrize(
    ("shape", "sums", "left", "right"), [("m8n8k16", 2, 1, 1), ("m16n8k32", 4, 4, 2)], ids=["m8n8k16", "m16n8k32"]
)
def test_unsigned_by_signed_products(shape: str, sums: int, left: int, right: int) -> None:
    # All rows are alike, and all columns: each sum is that of one row and one column.
    depth = int(shape.rpartition("k")[2])
    names = [f"%{i}" for i in range(sums + left + right)]
    operands = names[:sums], names[sums : sums + left], names[sums + left :], names[:sums]
    text = f"mma.sync.aligned.{shape}.row.col.s32.u8.s8.s32 " + ", ".join(f"{{{', '.join(each)}}}" for each in operands)
    outputs = ", ".join(f'"+r"(d[{i}])' for i in range(sums))
    inputs = ", ".join(['"r"(0xffffffffu)'] * left + ['"r"(0x80808080u)'] * right)
    body = (
        f'int d[{sums}] = {{}};\nasm volatile("{text};" : {outputs} : {inputs});\n'
        f"for (int i = 0; i < {sums}; ++i) y[threadIdx.x * {sums} + i] = d[i];"
    )
    results = np.zeros((WARP, sums), np.int32)
    run(kernel("int* y", body), "k", launch(), [results])
    assert set(results.flat) == {255 * -128 * depth}
