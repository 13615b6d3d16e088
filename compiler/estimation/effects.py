"""What an instruction does to the registers that decide where a program goes: the instruction sets' common words.

A register's value is a Python integer, and what an instruction does is a Python expression. Two names stand for the
flags: ``flags`` is a pair (a, b) that was compared as signed numbers, ``carry`` whether a is below b as unsigned ones.
What comes from memory that is no slot of the stack, and from vectors, is :data:`ELSEWHERE`: a pointer, as far as a
branch is concerned, which is never null. A function returns 0 (there was no error), or the memory that it was asked
for.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

FLAGS = "flags"
CARRY = "carry"
ELSEWHERE = str(1 << 48)
ALLOCATOR = str(1 << 49)
"""The address of the function that is asked for memory, and of where that address lies."""


@dataclass(frozen=True)
class Effect:
    """``target`` becomes ``expression``, which reads ``reads``; None: nobody has said how it is computed."""

    target: str
    expression: str | None
    reads: frozenset[str] = frozenset()


def effect(target: str, expression: str | None, *reads: str) -> Effect:
    """An effect that reads registers, and constants."""
    return Effect(target, expression, frozenset(name for name in reads if name.isidentifier()))


def compared(left: str, right: str, bits: int) -> tuple[Effect, Effect]:
    """The flags after ``left - right``."""
    mask = f"{(1 << bits) - 1:#x}"
    return (
        effect(FLAGS, f"({left}, {right})", left, right),
        effect(CARRY, f"({left} & {mask}) < ({right} & {mask})", left, right),
    )


def tested(expression: str, reads: Iterable[str]) -> tuple[Effect, Effect]:
    """The flags after a logical operation."""
    names = tuple(reads)
    return effect(FLAGS, f"({expression}, 0)", *names), effect(CARRY, "False")


def wrapped(expression: str, bits: int) -> str:
    """The low ``bits`` of a number, as a signed one."""
    half, mask = 1 << (bits - 1), (1 << bits) - 1
    return f"((({expression}) + {half:#x} & {mask:#x}) - {half:#x})"


def divided(dividend: str, divisor: str) -> str:
    """The quotient, towards zero."""
    return f"(abs({dividend}) // (abs({divisor}) or 1) * (1 if ({dividend} < 0) == ({divisor} < 0) else -1))"


def leading_zeros(value: str, bits: int) -> str:
    """The number of zeros before the highest one."""
    return f"({bits} - ({value} & {(1 << bits) - 1:#x}).bit_length())"


def symbol(name: str) -> str:
    """The address of what ``name`` names."""
    return ALLOCATOR if "AllocWorkspace" in name else ELSEWHERE


def loaded(base: str) -> str:
    """What lies where the register ``base`` points."""
    return f"({ALLOCATOR} if {base} == {ALLOCATOR} else {ELSEWHERE})"


def returned(function: str) -> str:
    """What the function at the address in the register ``function`` returns."""
    return f"({ELSEWHERE} if {function} == {ALLOCATOR} else 0)"


SIGNED = {"eq": "==", "ne": "!=", "lt": "<", "ge": ">=", "le": "<=", "gt": ">"}
UNSIGNED = {
    "below": "carry",
    "above_equal": "not carry",
    "below_equal": "(carry or flags[0] == flags[1])",
    "overflow": "False",  # nothing that is counted comes near
    "no_overflow": "True",
    "above": "not (carry or flags[0] == flags[1])",
}


def condition(name: str) -> tuple[str, frozenset[str]]:
    """A condition (of the two tables above) as a Python expression, and what it reads."""
    if name in SIGNED:
        return f"flags[0] {SIGNED[name]} flags[1]", frozenset({FLAGS})
    expression = UNSIGNED[name]
    return expression, frozenset({word for word in (FLAGS, CARRY) if word in expression})
