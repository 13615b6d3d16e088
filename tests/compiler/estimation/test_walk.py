"""How often blocks run: small programs, whose counts can be told by reading them."""

from __future__ import annotations

import pytest
from intbert.compiler.estimation.aarch64 import AArch64
from intbert.compiler.estimation.assembly import function_blocks
from intbert.compiler.estimation.instruction_set import InstructionSet
from intbert.compiler.estimation.walk import block_counts
from intbert.compiler.estimation.x86_64 import X86
from intbert.errors import EstimationError


def counts(instructions: InstructionSet, program: str) -> list[int]:
    """Of a program whose lines are separated by semicolons."""
    lines = program.split("; ")
    body = "\n".join(line if line.endswith(":") else "\t" + line.replace(" ", "\t", 1) for line in lines)
    text = f"\t.text\nmain:\n{body}\n\t.size\tmain, .-main\n"
    return block_counts(function_blocks(text, "main", instructions.jump_of, instructions.returns), instructions)


X86_PROGRAMS = [
    pytest.param(
        "movq $-96, %r8; .LBB0_1:; vpdpbusd (%r9), %zmm1, %zmm2; addq $4, %r8; jne .LBB0_1; retq",
        [1, 24, 1],
        id="up-to-zero",
    ),
    pytest.param(
        "movl $7, %ecx; .LBB0_1:; movl $5, %edx; .LBB0_2:; decl %edx; jne .LBB0_2; subl $2, %ecx; jae .LBB0_1; retq",
        [1, 4, 20, 4, 1],
        id="nested-and-unsigned",
    ),
    pytest.param(
        "leaq 4096(%rdi), %rax; .LBB0_1:; vmovdqu64 %zmm0, (%rdi); addq $64, %rdi; cmpq %rax, %rdi; jb .LBB0_1; retq",
        [1, 64, 1],
        id="pointer-to-an-end",
    ),
    pytest.param(
        "movq $3, 16(%rsp); .LBB0_1:; movq 16(%rsp), %rax; decq %rax; movq %rax, 16(%rsp); jne .LBB0_1; retq",
        [1, 3, 1],
        id="on-the-stack",
    ),
    pytest.param(
        "movq TVMBackendAllocWorkspace@GOTPCREL(%rip), %rax; callq *(%rax); testq %rax, %rax; "
        "je .LBB0_2; movq TVMBackendFreeWorkspace@GOTPCREL(%rip), %rax; callq *(%rax); testl %eax, %eax; "
        "jne .LBB0_2; retq; .LBB0_2:; movl $-1, %eax; retq",
        [1, 1, 1, 0],
        id="no-function-fails",
    ),
    pytest.param(
        "xorl %esi, %esi; .LBB0_1:; movl %esi, %eax; shrl $2, %eax; leal (%rax,%rax,2), %eax; "
        "cmpl $9, %eax; jg .LBB0_3; incl %esi; jmp .LBB0_1; .LBB0_3:; retq",
        [1, 17, 16, 1],
        id="computed",
    ),
]

ARM_PROGRAMS = [
    pytest.param(
        "mov x8, xzr; .LBB0_1:; ldr q0, [x9], #16; sdot v1.4s, v0.16b, v2.16b; add x8, x8, #1; "
        "cmp x8, #96; b.ne .LBB0_1; ret",
        [1, 96, 1],
        id="up-to-a-number",
    ),
    pytest.param(
        "mov w8, #6; .LBB0_1:; mov w9, #5; .LBB0_2:; subs w9, w9, #1; b.ne .LBB0_2; sub w8, w8, #2; "
        "cbnz w8, .LBB0_1; ret",
        [1, 3, 15, 3, 1],
        id="nested",
    ),
    pytest.param(
        "add x10, x0, #1, lsl #12; .LBB0_1:; str q0, [x0], #64; cmp x0, x10; b.lo .LBB0_1; ret",
        [1, 64, 1],
        id="pointer-that-an-access-moves",
    ),
    pytest.param(
        "mov w9, #3; stp x8, x9, [sp, #16]; .LBB0_1:; ldr x9, [sp, #24]; sub x9, x9, #1; "
        "str x9, [sp, #24]; tbz w9, #1, .LBB0_2; b .LBB0_1; .LBB0_2:; ret",
        [1, 2, 1, 1],
        id="on-the-stack",
    ),
    pytest.param(
        "adrp x8, :got:TVMBackendAllocWorkspace; ldr x8, [x8, :got_lo12:TVMBackendAllocWorkspace]; "
        "ldr x8, [x8]; blr x8; cbz x0, .LBB0_2; adrp x8, :got:TVMBackendFreeWorkspace; "
        "ldr x8, [x8, :got_lo12:TVMBackendFreeWorkspace]; ldr x8, [x8]; blr x8; cbnz w0, .LBB0_2; ret; "
        ".LBB0_2:; mov w0, #-1; ret",
        [1, 1, 1, 0],
        id="no-function-fails",
    ),
    pytest.param(
        "mov w8, #1; movk w8, #1, lsl #16; .LBB0_1:; lsr w8, w8, #4; cbnz w8, .LBB0_1; ret",
        [1, 5, 1],
        id="shifted",
    ),
]


@pytest.mark.parametrize(("program", "expected"), X86_PROGRAMS)
def test_x86(program: str, expected: list[int]) -> None:
    assert counts(X86(), program) == expected


@pytest.mark.parametrize(("program", "expected"), ARM_PROGRAMS)
def test_arm(program: str, expected: list[int]) -> None:
    assert counts(AArch64(), program) == expected


@pytest.mark.parametrize(
    ("program", "words"),
    [
        pytest.param(".LBB0_1:; rcrq %rax; testq %rax, %rax; jne .LBB0_1; retq", "depends on `rcrq", id="unknown"),
        pytest.param("vptest %xmm0, %xmm0; je .LBB0_1; .LBB0_1:; retq", "depends on `vptest", id="data"),
        pytest.param(".LBB0_1:; addq $2, %rax; jp .LBB0_1; retq", "condition is not known", id="parity"),
        pytest.param("jmp .LBB1_7", "jumps out of itself", id="out-of-it"),
        pytest.param("addq $2, %rax", "runs on behind its end", id="no-return"),
        pytest.param(".LBB0_1:; jmp .LBB0_1", "does not end", id="endless"),
    ],
)
def test_what_is_not_followed_is_said(monkeypatch: pytest.MonkeyPatch, program: str, words: str) -> None:
    monkeypatch.setattr("intbert.compiler.estimation.walk.LONGEST", 1000)
    with pytest.raises(EstimationError, match=words):
        counts(X86(), program)


def test_a_function_that_is_not_there() -> None:
    with pytest.raises(EstimationError, match="no function main"):
        function_blocks("\t.text\nother:\n\tretq\n\t.size\tother, 1\n", "main", X86().jump_of, X86.returns)
