"""Loops are found in machine code as the control flow closes them, and what is in them is counted."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
from intbert.compiler.cuda import sass
from intbert.compiler.cuda.sass import (
    LOCAL_MEMORY,
    MULTIPLIES,
    Instruction,
    disassemble,
    innermost_loops,
    main_loop,
)
from intbert.errors import ToolchainError
from intbert.targets import get_target

from ...cuda.machine_code import cubin_of, disassembled

KERNEL = """
extern "C" __global__ void __launch_bounds__(32) k(const int* a, const int* b, int* c, float* d, int n) {
  int sum = 0;
#pragma unroll 1
  for (int i = 0; i < n; ++i) {
    sum = __dp4a(a[i], b[i], sum);
    sum = __dp4a(a[i + 1], b[i], sum);
    sum = __dp4a(a[i + 2], b[i], sum);
  }
#pragma unroll 1
  for (int i = 0; i < n; ++i) d[i] = d[i] * 3.0f + (float)c[i];
  c[threadIdx.x] = sum;
}
"""


def code(text: str) -> list[Instruction]:
    """A line is an instruction, 16 bytes each: its predicate if any, its opcode, its operands."""
    instructions: list[Instruction] = []
    for index, line in enumerate(text.strip().splitlines()):
        words = line.split()
        predicate = words.pop(0) if words[0].startswith("@") else ""
        instructions.append(Instruction(index * 16, words[0], "".join(words[1:]), predicate))
    return instructions


def addresses(text: str) -> list[list[int]]:
    return sorted([each.address // 16 for each in loop.instructions] for loop in innermost_loops(code(text)))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("MOV R1,R2\nEXIT", []),
        ("MOV R1,R2\nIADD3 R1,R1,1\n@P0 BRA 0x10\nEXIT", [[1, 2]]),
        ("MOV R1,R2\nBRA 0x20\nEXIT", []),
        ("IMMA R1\nIMMA R2\n@P0 BRA 0x10\n@P1 BRA 0x0\nEXIT", [[1, 2]]),
        ("IMMA R1\n@P0 BRA 0x0\nIDP R2\n@P0 BRA 0x20\nEXIT", [[0, 1], [2, 3]]),
        ("IADD3 R1\n@P0 BRA 0x50\nIMMA R2\n@P1 BRA 0x0\nEXIT\nMOV R3,R4\nBRA 0x20", [[0, 1, 2, 3, 5, 6]]),
        (
            "BSSY B0,0x30\n@P0 BRA 0x60\nBSYNC B0\nIMMA R2\n@P1 BRA 0x0\nEXIT\nMOV R3,R4\nBSYNC B0",
            [[0, 1, 2, 3, 4, 6, 7]],
        ),
        (
            "IMMA R1\nBSSY B0,0x40\n@P0 BRA 0x30\nBSYNC B0\nBSSY B0,0x70\n@P0 BRA 0x60\nBSYNC B0\n@P1 BRA 0x0\nEXIT",
            [[*range(8)]],
        ),
        (
            "PBK 0x90\nSSY 0x70\nSSY 0x50\n@P0 SYNC\nSYNC\n@P1 BRK\nSYNC\nIMMA R1\nBRA 0x10\nEXIT",
            [[*range(1, 9)]],
        ),
        ("IMMA R1\n@P0 CALL.REL.NOINC 0x30\nBRA 0x0\nEXIT", [[0, 1, 2]]),
        ("IMMA R1\nBRA P0,0x0\nEXIT", [[0, 1]]),
        ("@P0 BRA 0x20\nMOV R1,R2\nIMMA R1\n@P1 BRA 0x10\nEXIT", []),
        ("IMMA R1\nEXIT\nMOV R3,R4\nBRA 0x20", []),
    ],
    ids=[
        "none",
        "one",
        "forward",
        "nested",
        "two",
        "a-part-lies-behind-the-end",
        "threads-meet",
        "a-barrier-serves-twice",
        "a-stack-of-barriers",
        "left-by-a-call",
        "condition-as-operand",
        "two-entries",
        "never-reached",
    ],
)
def test_loops(text: str, expected: list[list[int]]) -> None:
    assert addresses(text) == expected


def test_the_main_loop_multiplies_the_most() -> None:
    instructions = code("IDP R1\n@P0 BRA 0x0\nIMMA R1\nIMMA.16832.S8.S8 R2\nLDL R1\n@P0 BRA 0x20\nEXIT")
    loop = main_loop(instructions)
    assert loop is not None
    assert (loop.count(MULTIPLIES), loop.multiply_share, loop.count(LOCAL_MEMORY)) == (2, 0.5, 1)


def test_no_main_loop_where_none_multiplies() -> None:
    assert main_loop(code("IADD3 R1\n@P0 BRA 0x0\nIMMA R1\nEXIT")) is None


@pytest.mark.parametrize("target", ["cuda-sm75", "jetson-orin", "jetson-thor", "jetson-xavier"])
def test_a_kernel_that_was_compiled(target: str) -> None:
    gpu = get_target(target).cuda
    assert gpu is not None
    functions = disassembled(cubin_of(KERNEL, gpu), gpu)
    assert list(functions) == ["k"]
    loop = main_loop(functions["k"])
    assert loop is not None
    assert loop.count(MULTIPLIES) == 3
    assert not loop.count(LOCAL_MEMORY)
    assert not any(instruction.computes_floats for instruction in loop.instructions)
    found = {instruction.operation for instruction in functions["k"] if instruction.computes_floats}
    assert found & {"I2F", "I2FP"}
    assert found & {"FFMA", "FMUL"}


@pytest.mark.parametrize(
    ("opcode", "operands", "floats"),
    [
        ("I2F.RP", "R3,R2", True),
        ("I2FP.F32.S32", "R3,R2", True),
        ("F2I.FTZ.U32.TRUNC.NTZ", "R3,R2", True),
        ("F2F.F64.F32", "R4,R2", True),
        ("F2FP.PACK_AB", "R4,R2,R3", True),
        ("MUFU.RCP", "R3,R2", True),
        ("FFMA", "R1,R2,R3,R4", True),
        ("FSEL", "R1,R2,R3,!P0", True),
        ("FSETP.NEU.AND", "P0,PT,R1,RZ,PT", True),
        ("DSETP.MAX.AND", "P0,P1,R2,R4,PT", True),
        ("DFMA", "R2,R4,R6,R8", True),
        ("HADD2.F32", "R1,-RZ,R2.H0_H0", True),
        ("HMMA.16816.F32", "R4,R8,R12,R4", True),
        ("QMMA.16832.F32.E4M3.E4M3", "R4,R8,R12,R4", True),
        ("UFADD", "UR4,UR5,UR6", True),
        ("UI2F.RP", "UR4,UR5", True),
        ("RED.E.ADD.F32.FTZ.RN.STRONG.GPU", "[R2],R5", True),
        ("HFMA2.MMA", "R5,-RZ,RZ,0,4.76837158203125e-07", False),
        ("HFMA2", "R5,-RZ,RZ,1.875,0", False),
        ("HFMA2", "R5,-RZ,RZ,R4", True),
        ("HFMA2.MMA", "R5,R4,1,1,R2", True),
        ("FLO.U32", "R3,R2", False),
        ("UFLO.U32", "UR3,UR2", False),
        ("DEPBAR.LE", "SB0,0x1", False),
        ("IMAD.MOV.U32", "R3,RZ,RZ,R2", False),
        ("IMMA.16832.S8.S8", "R4,R8.ROW,R12.COL,R4", False),
        ("BMMA.168256.XOR.POPC", "R4,R8.ROW,R12.COL,R4", False),
        ("I2I.S8.S32.SAT", "R3,R2", False),
        ("I2IP.S8.S32.SAT", "R3,R2,R4,RZ", False),
        ("RED.E.ADD.STRONG.GPU", "[R2],R5", False),
        ("SEL", "R1,R2,R3,P0", False),
    ],
)
def test_instructions_that_compute_with_floats(opcode: str, operands: str, floats: bool) -> None:
    assert Instruction(0, opcode, operands).computes_floats == floats


@pytest.fixture
def no_disassembler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)


@pytest.mark.usefixtures("no_disassembler")
def test_without_a_disassembler() -> None:
    with pytest.raises(ToolchainError, match="nvdisasm is not installed; run `pip install nvidia-cuda-nvdisasm`"):
        disassemble(b"")


@pytest.mark.usefixtures("no_disassembler")
@pytest.mark.parametrize(
    ("script", "message"),
    [
        (
            "echo unknown chip >&2; exit 1",
            "no installed disassembler reads the compiled kernels: .*nvdisasm: unknown chip",
        ),
        ("echo disassembled", "nvdisasm writes in a form that is not known here"),
        ("echo '[{}, [{}]]'", "nvdisasm writes in a form that is not known here"),
    ],
    ids=["refuses", "no-json", "another-form"],
)
def test_a_disassembler_that_does_not_read_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, message: str
) -> None:
    command = tmp_path / "nvdisasm"
    command.write_text(f"#!/bin/sh\n{script}\n")
    command.chmod(0o755)
    monkeypatch.setattr(sass, "disassemblers", lambda: iter([command]))
    with pytest.raises(ToolchainError, match=message):
        disassemble(b"")


def test_what_is_on_the_path_is_tried_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = tmp_path / "nvdisasm"
    command.write_text("#!/bin/sh\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert next(sass.disassemblers()) == command
