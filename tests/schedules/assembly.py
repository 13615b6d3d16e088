"""Reads assembly: the loops, and the one that does the work."""

from __future__ import annotations

import re


def innermost_loops(assembly: str) -> list[list[str]]:
    """The instructions of every loop that ends with a jump back to its beginning."""
    loops: list[list[str]] = []
    instructions: list[str] = []
    labels: dict[str, int] = {}
    for line in assembly.splitlines():
        if label := re.match(r"(\.L\w+):", line):
            labels[label[1]] = len(instructions)
        elif line.startswith("\t") and not line.strip().startswith("."):
            instructions.append(line.strip())
            jump = re.search(r"(\.LBB\w+)", line)
            if jump and jump[1] in labels:
                loops.append(instructions[labels[jump[1]] :])
    return loops


def count(loop: list[str], instruction: str) -> int:
    """How many instructions match the regular expression from their beginning on."""
    return sum(re.match(instruction, line) is not None for line in loop)


def hot_loop(assembly: str, instruction: str) -> list[str]:
    """The loop with the largest share of this instruction."""
    loops = [loop for loop in innermost_loops(assembly) if count(loop, instruction)]
    assert loops, f"no loop has {instruction}"
    return max(loops, key=lambda loop: count(loop, instruction) / len(loop))
