"""The emulator of CUDA: every primitive against its definition, and every kind of error is found."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from .emulation import EmulationError, Launch, run
from .ptx import without_inline_ptx

WARP = 32
MMA = {
    # instruction -> rows, columns, depth, bits of a value, registers of a, of b, of c
    "m8n8k16.row.col.s32.s8.s8.s32": (8, 8, 16, 8, 1, 1, 2),
    "m16n8k16.row.col.s32.s8.s8.s32": (16, 8, 16, 8, 2, 1, 4),
    "m16n8k32.row.col.s32.s8.s8.s32": (16, 8, 32, 8, 4, 2, 4),
    "m8n8k32.row.col.s32.s4.s4.s32": (8, 8, 32, 4, 1, 1, 2),
    "m8n8k32.row.col.s32.s4.u4.s32": (8, 8, 32, 4, 1, 1, 2),
    "m16n8k64.row.col.s32.s4.s4.s32": (16, 8, 64, 4, 4, 2, 4),
    "m16n8k64.row.col.s32.s4.u4.s32": (16, 8, 64, 4, 4, 2, 4),
    "m8n8k128.row.col.s32.b1.b1.s32.and.popc": (8, 8, 128, 1, 1, 1, 2),
    "m8n8k128.row.col.s32.b1.b1.s32.xor.popc": (8, 8, 128, 1, 1, 1, 2),
    "m16n8k128.row.col.s32.b1.b1.s32.xor.popc": (16, 8, 128, 1, 2, 1, 4),
    "m16n8k256.row.col.s32.b1.b1.s32.xor.popc": (16, 8, 256, 1, 4, 2, 4),
}


def kernel(parameters: str, body: str) -> str:
    return f'extern "C" __global__ void k({parameters}) {{\n{body}\n}}\n'


def launch(threads: int = WARP, blocks: int = 1) -> Launch:
    return Launch((blocks, 1, 1), (threads, 1, 1))


def element(operand: str, lane: int, index: int, rows: int, bits: int) -> tuple[int, int]:
    """(row, column) of element ``index`` of a lane's fragment, from the figures of the PTX ISA, "mma.sync"."""
    group, place, each = lane // 4, lane % 4, 32 // bits
    register, within = divmod(index, each)
    if operand == "a":
        upper = rows == 16 and register % 2 == 1
        return group + 8 * upper, place * each + within + 4 * each * (register // (rows // 8))
    if operand == "b":
        return place * each + within + 4 * each * register, group
    return group + 8 * (index // 2), 2 * place + index % 2


def packed(fragments: NDArray[Any], bits: int) -> NDArray[np.uint32]:
    """[lanes, elements] as 32-bit registers, the first element in the lowest bits."""
    each = 32 // bits
    fields = (fragments.astype(np.int64) & (2**bits - 1)).reshape(len(fragments), -1, each)
    return (fields << (np.arange(each) * bits)).sum(axis=2).astype(np.uint32)


@pytest.mark.parametrize("instruction", MMA)
def test_mma(instruction: str) -> None:
    rows, columns, depth, bits, of_a, of_b, of_c = MMA[instruction]
    random = np.random.default_rng(depth)
    low = 0 if bits == 1 else -(2 ** (bits - 1))
    lowest = 0 if f".u{bits}" in instruction else low
    a, b = (
        random.integers(low, low + 2**bits, (rows, depth)),
        random.integers(lowest, lowest + 2**bits, (depth, columns)),
    )
    c = random.integers(-(2**20), 2**20, (rows, columns))
    registers = []
    for name, matrix, count, width in (("a", a, of_a, bits), ("b", b, of_b, bits), ("c", c, of_c, 32)):
        fragments = [
            [matrix[element(name, lane, index, rows, width)] for index in range(count * 32 // width)]
            for lane in range(WARP)
        ]
        registers.append(packed(np.array(fragments), width))
    d = np.zeros((WARP, of_c), np.int32)
    counts = (of_c, of_a, of_b, of_c)
    starts = np.cumsum([0, *counts])
    places = [
        ", ".join(f"%{i}" for i in range(start, start + count)) for start, count in zip(starts, counts, strict=False)
    ]
    outputs = ", ".join(f'"=r"(d[lane * {of_c} + {i}])' for i in range(of_c))
    inputs = ", ".join(
        f'"r"({name}[lane * {n} + {i}])' for name, n in (("a", of_a), ("b", of_b), ("c", of_c)) for i in range(n)
    )
    text = f"mma.sync.aligned.{instruction} " + ", ".join(f"{{{each}}}" for each in places) + ";"
    source = kernel(
        "unsigned* a, unsigned* b, unsigned* c, int* d",
        f'int lane = threadIdx.x;\nasm volatile("{text}" : {outputs} : {inputs});',
    )
    run(source, "k", launch(), [*registers, d])
    products = (a[:, :, None] ^ b[None]).sum(axis=1) if "xor" in instruction else a @ b
    for lane in range(WARP):
        for index in range(of_c):
            row, column = element("c", lane, index, rows, 32)
            assert d[lane, index] == products[row, column] + c[row, column]


@pytest.mark.parametrize("transposed", [False, True], ids=["rows", "transposed"])
def test_ldmatrix(transposed: bool) -> None:
    matrices = np.random.default_rng(0).integers(0, 2**16, (4, 8, 8)).astype(np.uint16)
    out = np.zeros((WARP, 4, 2), np.uint16)
    trans = ".trans" if transposed else ""
    source = kernel(
        "unsigned short* x, unsigned* y",
        "__shared__ __align__(16) unsigned short s[256]; int lane = threadIdx.x; unsigned r[4];\n"
        "for (int i = 0; i < 8; ++i) s[lane * 8 + i] = x[lane * 8 + i];\n__syncthreads();\n"
        f'asm volatile("ldmatrix.sync.aligned.m8n8.x4{trans}.shared.b16 {{%0, %1, %2, %3}}, [%4];" : '
        '"=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"((unsigned)__cvta_generic_to_shared(s + lane * 8)));\n'
        "for (int i = 0; i < 4; ++i) y[lane * 4 + i] = r[i];",
    )
    run(source, "k", launch(), [matrices, out])
    expected = matrices.transpose(0, 2, 1) if transposed else matrices
    for lane in range(WARP):
        np.testing.assert_array_equal(out[lane], expected[:, lane // 4, lane % 4 * 2 : lane % 4 * 2 + 2])


def test_wmma() -> None:
    random = np.random.default_rng(1)
    a, b = random.integers(-128, 128, (2, 16, 16)).astype(np.int8)
    c = np.zeros((16, 16), np.int32)
    source = kernel(
        "signed char* a, signed char* b, int* c",
        "using namespace nvcuda::wmma; fragment<matrix_a, 16, 16, 16, signed char, row_major> x;\n"
        "fragment<matrix_b, 16, 16, 16, signed char, col_major> y; fragment<accumulator, 16, 16, 16, int> z;\n"
        "fill_fragment(z, 5); load_matrix_sync(x, a, 16); load_matrix_sync(y, b, 16);\n"
        "mma_sync(z, x, y, z); store_matrix_sync(c, z, 16, mem_row_major);",
    )
    run(source, "k", launch(), [a, b, c])
    np.testing.assert_array_equal(c, a.astype(np.int32) @ b.T.astype(np.int32) + 5)


@pytest.mark.parametrize(("kind", "dtype"), [("s8", np.int8), ("u8", np.uint8)])
def test_wmma_as_instructions(kind: str, dtype: type[np.integer]) -> None:
    """Lines further apart than they are long; c and d are other registers."""
    random = np.random.default_rng(3)
    a, b = random.integers(0, 256, (2, 16, 24)).astype(dtype)
    d = np.zeros((16, 16), np.int32)
    shape, registers = "sync.aligned.{layout}.m16n16k16", "{%0, %1, %2, %3, %4, %5, %6, %7}"

    def address(pointer: str) -> str:
        return f'"r"((unsigned)__cvta_generic_to_shared({pointer}))'

    def load(operand: str, layout: str) -> str:
        text = f"wmma.load.{operand}.{shape.format(layout=layout)}.shared.{kind} {{%0, %1}}, [%2], 24;"
        outputs = f'"=r"(r{operand}[0]), "=r"(r{operand}[1])'
        return f'asm volatile("{text}" : {outputs} : {address("s" + operand)});\n'

    sums = ", ".join(f'"=r"(z[{index}])' for index in range(8))
    stored = ", ".join(f"%{index}" for index in range(1, 9))
    source = kernel(
        "signed char* a, signed char* b, int* d",
        "__shared__ __align__(32) signed char sa[16 * 24], sb[16 * 24]; __shared__ __align__(32) int sd[256];\n"
        "int lane = threadIdx.x, ra[2], rb[2], c = 5, z[8];\n"
        "for (int i = lane; i < 16 * 24; i += 32) { sa[i] = a[i]; sb[i] = b[i]; }\n__syncthreads();\n"
        + load("a", "row")
        + load("b", "col")
        + f'asm volatile("wmma.mma.{shape.format(layout="row.col")}.s32.{kind}.{kind}.s32 {registers}, '
        f'{{%8, %9}}, {{%10, %11}}, {{{", ".join(["%12"] * 8)}}};" : {sums} : '
        '"r"(ra[0]), "r"(ra[1]), "r"(rb[0]), "r"(rb[1]), "r"(c));\n'
        f'asm volatile("wmma.store.d.{shape.format(layout="row")}.shared.s32 [%0], {{{stored}}}, 16;" : : '
        f"{address('sd')}, {sums.replace('=', '')});\n__syncthreads();\n"
        "for (int i = lane; i < 256; i += 32) d[i] = sd[i];",
    )
    run(source, "k", launch(), [a, b, d])
    np.testing.assert_array_equal(d, a[:, :16].astype(np.int32) @ b[:, :16].T.astype(np.int32) + 5)


def test_dp4a_and_shuffles() -> None:
    x = np.random.default_rng(2).integers(-128, 128, (WARP, 8)).astype(np.int8)
    y = np.zeros((WARP, 4), np.int32)
    source = kernel(
        "int* x, int4* y",
        "int lane = threadIdx.x, d = __dp4a(x[lane * 2], x[lane * 2 + 1], 7);\n"
        "y[lane] = make_int4(d, __shfl_xor_sync(~0u, d, 5), __shfl_down_sync(~0u, d, 3), __shfl_sync(~0u, d, 9));",
    )
    run(source, "k", launch(), [x, y])
    d = (x[:, :4].astype(np.int32) * x[:, 4:]).sum(axis=1) + 7
    lanes = np.arange(WARP)
    np.testing.assert_array_equal(
        y.T, [d, d[lanes ^ 5], d[np.where(lanes + 3 < WARP, lanes + 3, lanes)], d[[9] * WARP]]
    )


def test_dp4a_of_unsigned_by_signed_bytes() -> None:
    random = np.random.default_rng(4)
    x, y = random.integers(0, 256, (WARP, 4)).astype(np.uint8), random.integers(-128, 128, (WARP, 4)).astype(np.int8)
    z = np.full(WARP, 7, np.int32)
    source = kernel(
        "unsigned* x, int* y, int* z",
        'asm("dp4a.u32.s32 %0, %1, %2, %0;" : "+r"(z[threadIdx.x]) : "r"(x[threadIdx.x]), "r"(y[threadIdx.x]));',
    )
    run(source, "k", launch(), [x, y, z])
    np.testing.assert_array_equal(z, (x.astype(np.int32) * y).sum(axis=1) + 7)


REVERSED = "__shared__ int s[64]; s[threadIdx.x] = x[threadIdx.x];\n{barrier}\ny[threadIdx.x] = s[{index}];"
COPY = """__shared__ __align__(16) int s[256]; int t = threadIdx.x;
asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" : :
             "r"((unsigned)__cvta_generic_to_shared(s + t * 4)), "l"(x + t * 4), "r"({bytes}));
asm volatile("cp.async.commit_group;" : :);
{wait}
__syncthreads();
y[t] = s[(63 - t) * 4 + 3];
asm volatile("cp.async.wait_all;" : :);"""
WAIT = 'asm volatile("cp.async.wait_group 0;" : :);'


def run_on_64(body: str, size: int = 64) -> NDArray[np.int32]:
    x, y = np.arange(256, dtype=np.int32), np.zeros(size, np.int32)
    run(kernel("int* x, int* y", body), "k", launch(64), [x, y])
    return y


@pytest.mark.parametrize(("read", "last"), [(16, 3), (8, None)], ids=["whole", "zero-filled"])
def test_cp_async(read: int, last: int | None) -> None:
    expected = np.zeros(64) if last is None else np.arange(64)[::-1] * 4 + last
    np.testing.assert_array_equal(run_on_64(COPY.format(bytes=read, wait=WAIT)), expected)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (REVERSED.format(barrier="", index="threadIdx.x ^ 1"), "has not written"),
        (REVERSED.format(barrier="", index="threadIdx.x & 62"), r"thread \(1, 0, 0\): race: reads byte 0 of shared"),
        (
            "__shared__ int s[1]; s[0] = threadIdx.x; y[threadIdx.x] = s[0];",
            r"thread \(1, 0, 0\): race: writes byte 0 .* thread 0 has written",
        ),
        (
            REVERSED.format(barrier="__syncthreads();", index="0") + "if (threadIdx.x == 0) s[0] = 7;\n"
            "__syncthreads(); x[threadIdx.x] = s[0];",
            "race: writes byte 0 of shared .* have read since the last barrier",
        ),
        (REVERSED.format(barrier="if (threadIdx.x < 40) __syncthreads();", index="threadIdx.x / 32"), "race"),
        ("if (threadIdx.x < 40) { __shfl_sync(~0u, 1, 0); }", "deadlock"),
        (REVERSED.format(barrier="__syncthreads();", index="threadIdx.x + 1"), "out of bounds: the index 64"),
        ("y[threadIdx.x + 1] = 1;", r"thread \(63, 0, 0\): out of bounds: writes 4 bytes .* array 1"),
        ("if (threadIdx.x == 0) *(int4*)(y + 1) = *(int4*)x;", "not aligned"),
        ("y[0] = threadIdx.x;", "race: writes byte 0 of array 1"),
        (COPY.format(bytes=16, wait=""), "has not been waited for"),
    ],
    ids=[
        "uninitialized", "missing-barrier", "two-writers", "write-after-read", "partial-barrier", "partial-warp",
        "shared-bounds", "global-bounds", "alignment", "global-race", "missing-wait",
    ],
)  # fmt: skip
def test_errors_are_found(body: str, message: str) -> None:
    with pytest.raises(EmulationError, match=message):
        run_on_64(body)


def test_two_blocks_may_not_write_the_same() -> None:
    source = kernel("int* y", "y[threadIdx.x] = 1;")
    with pytest.raises(EmulationError, match=r"block \(1, 0, 0\).*which block 0 has written"):
        run(source, "k", launch(64, blocks=2), [np.zeros(64, np.int32)])


def test_inline_ptx_decides_the_order_of_operands() -> None:
    call = without_inline_ptx(
        'asm volatile("op.x::y.s32 {%2, %0}, [%1], 16;" : "=r"(a[0]) : "r"(b(1, 2)), "r"(c) : "memory");'
    )
    assert call == "op_x_y_s32((c), (a[0]), (b(1, 2)), 16);"


def test_one_instruction_a_statement() -> None:
    with pytest.raises(ValueError, match="one instruction"):
        without_inline_ptx('asm("add %0, %0, 1; add %0, %0, 1;" : "+r"(a));')
