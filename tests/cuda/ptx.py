"""Inline PTX as calls of functions that the emulator has: the text of every instruction decides what is emulated."""

from __future__ import annotations

import re

_STATEMENT = re.compile(r'\b(?:__)?asm(?:__)?\s*(?:(?:__)?volatile(?:__)?)?\s*\(((?:"(?:[^"\\]|\\.)*"|[^;"])*)\)\s*;')
_STRING = re.compile(r'"((?:[^"\\]|\\.)*)"')
_INSTRUCTION = re.compile(r"\s*([a-z][\w.]*(?:::\w+)?[\w.]*)\s*(.*?)\s*;?\s*$", re.S)


def without_inline_ptx(source: str) -> str:
    """CUDA source in which ``asm volatile("mma.sync... {%0, %1}, [%2];" : outputs : inputs)`` is a call
    ``mma_sync...(operand 0, operand 1, operand 2)``, the operands in the order of the text.

    ValueError for a text that is more than one instruction.
    """
    return _STATEMENT.sub(lambda match: _call(match.group(1)), source)


def _call(body: str) -> str:
    text, *lists = _top_level(body, ":")
    code = "".join(_STRING.findall(text)).replace("\\n", " ").replace("\\t", " ")
    match = _INSTRUCTION.match(code)
    if match is None or ";" in match.group(2):
        raise ValueError(f"one instruction was expected: {code!r}")
    operands = [_expression(each) for group in lists[:2] for each in _top_level(group, ",") if each.strip()]
    name = re.sub(r"\W+", "_", match.group(1))
    arguments = []
    for token in re.findall(r"%\d+|[-\w]+", match.group(2)):
        arguments.append(f"({operands[int(token[1:])]})" if token[0] == "%" else str(int(token, 0)))
    return f"{name}({', '.join(arguments)});"


def _expression(operand: str) -> str:
    """Of ``"r"(expression)``."""
    return operand[operand.index("(") + 1 : operand.rindex(")")]


def _top_level(text: str, separator: str) -> list[str]:
    """``text`` split where ``separator`` is in no string and no bracket."""
    parts, depth, quoted = [""], 0, False
    for index, character in enumerate(text):
        if character == '"' and text[index - 1] != "\\":
            quoted = not quoted
        if not quoted:
            depth += (character in "([{") - (character in ")]}")
            if character == separator and depth == 0 and ":" not in (text[index - 1], text[index + 1 : index + 2]):
                parts.append("")
                continue
        parts[-1] += character
    return parts
