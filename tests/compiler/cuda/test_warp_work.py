"""What warps issue, of code written down here."""

from __future__ import annotations

import pytest
from intbert.compiler.cuda.sass import Instruction
from intbert.compiler.cuda.warp_work import Work, warp_work


@pytest.mark.parametrize(
    ("opcode", "macs", "shared_cycles"),
    [
        ("IMMA.16832.S8.S8", 16 * 8 * 32, 0),
        ("IMMA.8816.S8.S8", 8 * 8 * 16, 0),
        ("IMMA.16864.S4.S4", 16 * 8 * 64, 0),
        ("BMMA.168256.AND.POPC", 16 * 8 * 256, 0),
        ("IDP.4A.S8.S8", 32 * 4, 0),
        ("IMAD.X", 0, 0),
        ("LDSM.16.M88.4", 0, 4),
        ("LDSM.16.M88", 0, 1),
        ("LDS", 0, 1),
        ("LDS.128", 0, 4),
        ("LDGSTS.E.BYPASS.128", 0, 4),
        ("STS.64", 0, 2),
        ("LDG.E.128", 0, 0),
    ],
)
def test_an_instruction(opcode: str, macs: int, shared_cycles: int):
    assert Work.of([Instruction(0, opcode)]) == Work(macs, 1, shared_cycles)


def code(*opcodes: str) -> tuple[Instruction, ...]:
    """A loop of ``opcodes`` after one instruction, and two after it."""
    body = [Instruction(16 * (number + 1), opcode) for number, opcode in enumerate(opcodes)]
    end = 16 * (len(body) + 1)
    return (
        Instruction(0, "MOV"),
        *body,
        Instruction(end, "BRA", "0x10", "P0"),
        Instruction(end + 16, "STG.E"),
        Instruction(end + 32, "EXIT"),
    )


def test_a_loop_and_the_rest():
    work = warp_work(code("LDSM.16.M88.4", "IMMA.16832.S8.S8", "IMMA.16832.S8.S8"))
    assert work is not None
    assert (work.loops, work.once) == (Work(8192, 4, 4), Work(0, 3, 0))
    assert work.multiply_share == 0.5
    assert work.issue_cycles(3 * 8192) == 3 + 3 * 4
    assert work.shared_cycles(3 * 8192) == 3 * 4


def test_sums_of_rows_are_no_multiply_adds():
    """They are added up by products with ones, after the loop too."""
    work = warp_work((*code("IMMA.16832.S8.S8", "IDP.4A.S8.S8"), Instruction(0x70, "IDP.4A.S8.S8")))
    assert work is not None
    assert (work.loops.macs, work.once.macs, work.multiply_share) == (4096, 0, 1 / 3)


def test_a_loop_of_lanes_beside_tensor_cores():
    """Columns that are added to a weight."""
    lanes = [Instruction(0x70, "IDP.4A.S8.S8"), Instruction(0x80, "BRA", "0x70", "P0")]
    work = warp_work((*code("IMMA.16832.S8.S8")[:-1], *lanes))
    assert work is not None
    assert (work.loops, work.once.macs) == (Work(4096, 2, 0), 0)


def test_a_loop_that_was_unrolled():
    """As those of attention are."""
    work = warp_work((Instruction(0, "LDSM.16.M88.4"), Instruction(16, "IMMA.16832.S8.S8"), Instruction(32, "EXIT")))
    assert work is not None
    assert (work.loops, work.once, work.multiply_share) == (Work(0, 0, 0), Work(4096, 3, 4), 1 / 3)
    assert (work.issue_cycles(4096), work.shared_cycles(4096)) == (3, 4)


def test_nothing_that_multiplies():
    assert warp_work(code("IADD3", "LDG.E")) is None
