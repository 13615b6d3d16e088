"""What multiplies, read from PTX."""

from __future__ import annotations

import pytest
from intbert.compiler.cuda.multipliers import multipliers
from intbert.targets.cuda_rates import Multiplier

HEADER = ".version 9.0\n.target sm_87\n.address_size 64\n"
INSTRUCTIONS = {
    "mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%r1}, {%r2};": Multiplier.IMMA,
    "mma.sync.aligned.m8n8k16.row.col.satfinite.s32.u8.s8.s32 {%r1}, {%r2};": Multiplier.IMMA,
    "wmma.mma.sync.aligned.row.col.m16n16k16.s32.s8.s8.s32 {%r1}, {%r2};": Multiplier.IMMA,
    "mma.sync.aligned.m16n8k64.row.col.s32.s4.s4.s32 {%r1}, {%r2};": Multiplier.IMMA_S4,
    "mma.sync.aligned.m16n8k256.row.col.s32.b1.b1.s32.and.popc {%r1}, {%r2};": Multiplier.BMMA,
    "wmma.mma.xor.popc.sync.aligned.row.col.m8n8k128.s32.b1.b1.s32 {%r1}, {%r2};": Multiplier.BMMA,
    "dp4a.s32.s32 %r1, %r2, %r3, %r4;": Multiplier.DP4A,
    "mul.rn.f32 %f1, %f2, %f3;": Multiplier.FLOAT32,
    "mul.f32 %f1, %f2, %f3;": Multiplier.FLOAT32,
    "mad.lo.s32 %r1, %r2, %r3, %r4;": Multiplier.INT32,
    "ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%r1}, [%r2];": Multiplier.INT32,
    "wmma.load.a.sync.aligned.row.m16n16k16.s8 {%r1}, [%r2];": Multiplier.INT32,
}


def entry(name: str, *instructions: str) -> str:
    return f".visible .entry {name}(\n\t.param .u64 {name}_param_0\n)\n{{\n" + "\n\t".join(instructions) + "\n}\n"


@pytest.mark.parametrize(("instruction", "multiplier"), INSTRUCTIONS.items(), ids=[i.split()[0] for i in INSTRUCTIONS])
def test_an_instruction(instruction: str, multiplier: Multiplier):
    assert multipliers(HEADER + entry("linear_kernel", instruction)) == {"linear_kernel": multiplier}


def test_each_kernel_has_its_own():
    first, second = entry("a_kernel", "dp4a.s32.s32 %r1, %r2, %r3, %r4;"), entry("b_kernel", "ret;")
    assert multipliers(HEADER + first + second) == {"a_kernel": Multiplier.DP4A, "b_kernel": Multiplier.INT32}
    assert multipliers(HEADER) == {}


def test_the_fastest_counts():
    """Tensor cores' kernels have lanes that multiply, too: addresses, epilogues."""
    both = entry("k", "mad.lo.s32 %r1, %r2, %r3, %r4;", next(iter(INSTRUCTIONS)), "dp4a.s32.s32 %r1, %r2, %r3, %r4;")
    assert multipliers(both) == {"k": Multiplier.IMMA}
