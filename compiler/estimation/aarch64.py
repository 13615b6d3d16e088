"""AArch64, as far as it decides where a program goes."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from ...errors import EstimationError
from .assembly import Instruction, Jump
from .effects import (
    CARRY,
    ELSEWHERE,
    FLAGS,
    Effect,
    compared,
    condition,
    divided,
    effect,
    leading_zeros,
    loaded,
    returned,
    symbol,
    wrapped,
)
from .instruction_set import Condition

_CONDITIONS = {
    "eq": "eq",
    "ne": "ne",
    "lt": "lt",
    "ge": "ge",
    "le": "le",
    "gt": "gt",
    "mi": "lt",
    "pl": "ge",
    "lo": "below",
    "cc": "below",
    "hs": "above_equal",
    "cs": "above_equal",
    "ls": "below_equal",
    "hi": "above",
    "vs": "overflow",
    "vc": "no_overflow",
}
_SCALAR = re.compile(r"[xw](\d+|zr)|w?sp|lr")
_EXTENDED = re.compile(r"(?P<kind>[us]xt[bhwx]|lsl|lsr|asr)(?:\s+#(?P<by>\d+))?")
_SLOT = re.compile(r"\[(?P<base>sp|x29)(?:,\s*#(?P<offset>-?\d+))?\]")
_BASE = re.compile(r"\[(?P<base>x\d+|sp)[^\]]*\](?P<before>!)?")
_VECTOR_TO_SCALAR = frozenset({"fmov", "umov", "smov", "fcvtzs", "fcvtzu"})
_BRANCHES_ON_ZERO = {"cbz": "==", "cbnz": "!="}
_BRANCHES_ON_BIT = {"tbz": "==", "tbnz": "!="}
_LOST = tuple(f"x{number}" for number in range(1, 19))


def _register(name: str) -> str:
    """The 64-bit register that ``name`` is part of; "0" for the one that is always zero."""
    if name in ("xzr", "wzr"):
        return "0"
    return f"x{name[1:]}" if name[0] == "w" and name != "wsp" else name


def _bits(operand: str) -> int:
    return 32 if operand.startswith("w") else 64


def _immediate(operand: str) -> int | None:
    try:
        return int(operand.removeprefix("#"), 0) if operand.startswith("#") else None
    except ValueError:
        return None


def _value(operand: str) -> str:
    """An operand that is read, as a Python expression: a name or a number."""
    if _SCALAR.fullmatch(operand):
        return _register(operand)
    number = _immediate(operand)
    return ELSEWHERE if number is None else f"({number})"


def _last(operands: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """The second source, which may be shifted or extended by a further operand."""
    value = _value(operands[0])
    found = _EXTENDED.fullmatch(operands[1]) if len(operands) > 1 else None
    if found is None:
        return value, (value,)
    kind, by = found["kind"], int(found["by"] or 0)
    if kind in ("lsr", "asr"):
        return f"({value} >> {by})", (value,)
    if kind[0] in "us" and kind != "uxtx" and kind != "sxtx":
        width = {"b": 8, "h": 16, "w": 32}[kind[-1]]
        narrow = wrapped(value, width) if kind[0] == "s" else f"({value} & {(1 << width) - 1:#x})"
        return f"({narrow} << {by})", (value,)
    return f"({value} << {by})", (value,)


_BINARY: dict[str, Callable[[str, str], str]] = {
    "add": lambda a, b: f"{a} + {b}",
    "sub": lambda a, b: f"{a} - {b}",
    "mul": lambda a, b: f"{a} * {b}",
    "and": lambda a, b: f"{a} & {b}",
    "orr": lambda a, b: f"{a} | {b}",
    "eor": lambda a, b: f"{a} ^ {b}",
    "bic": lambda a, b: f"{a} & ~{b}",
    "lsl": lambda a, b: f"{a} << ({b} & 63)",
    "asr": lambda a, b: f"{a} >> ({b} & 63)",
    "lsr": lambda a, b: f"({a} & 0xffffffffffffffff) >> ({b} & 63)",
    "sdiv": divided,
    "udiv": divided,
}
_SUMS: dict[str, Callable[[str, str, str], str]] = {
    "madd": lambda a, b, c: f"{a} * {b} + {c}",
    "msub": lambda a, b, c: f"{c} - {a} * {b}",
    "smaddl": lambda a, b, c: f"{a} * {b} + {c}",
    "umaddl": lambda a, b, c: f"({a} & 0xffffffff) * ({b} & 0xffffffff) + {c}",
}


class AArch64:
    """See :class:`.instruction_set.InstructionSet`."""

    returns = frozenset({"ret", "brk"})

    def jump_of(self, instruction: Instruction) -> Jump | None:
        name, operands = instruction.mnemonic, instruction.operands
        if name == "b":
            return Jump(instruction, operands[0], None)
        if name.startswith("b."):
            return Jump(instruction, operands[0], name[2:])
        if name in _BRANCHES_ON_ZERO or name in _BRANCHES_ON_BIT:
            return Jump(instruction, operands[-1], name)
        return None

    def condition_of(self, jump: Jump) -> Condition:
        name, operands = jump.condition or "", jump.instruction.operands
        if name in _BRANCHES_ON_ZERO:
            register = _register(operands[0])
            return Condition(f"{register} {_BRANCHES_ON_ZERO[name]} 0", frozenset({register}))
        if name in _BRANCHES_ON_BIT:
            register, bit = _register(operands[0]), _immediate(operands[1])
            return Condition(f"({register} >> {bit} & 1) {_BRANCHES_ON_BIT[name]} 0", frozenset({register}))
        if name not in _CONDITIONS:
            raise EstimationError(f"{jump.instruction.text}: its condition is not known here; report it")
        return Condition(*condition(_CONDITIONS[name]))

    def effects_of(self, instruction: Instruction) -> Sequence[Effect]:
        name, operands = instruction.mnemonic, instruction.operands
        if name in ("bl", "blr"):
            function = operands[0]
            through = _register(function) if name == "blr" else None
            result = returned(symbol(function) if through is None else through)
            return [effect("x0", result, through or "0"), *(effect(each, None) for each in _LOST)]
        if name.startswith(("ld", "st", "prfm")):
            return [*_memory(name, operands), *_written_back(operands)]
        if not operands or not _SCALAR.fullmatch(operands[0]):
            return [effect(FLAGS, None), effect(CARRY, None)] if name.startswith(("fcmp", "fccmp")) else ()
        return _scalar(name, operands)


def _memory(name: str, operands: Sequence[str]) -> Sequence[Effect]:
    registers = [each for each in operands if not each.startswith(("[", "#", "{", ":"))]
    place = next((each for each in operands if each.startswith("[")), "")
    slot, through = _SLOT.fullmatch(place), _BASE.match(place)
    effects = []
    for number, register in enumerate(registers):
        if not _SCALAR.fullmatch(register):
            continue
        where = None if slot is None else _slot(slot, number * _bits(register) // 8)
        value = _register(register)
        if name.startswith("st") and where is not None:
            effects.append(effect(where, value, value))
        elif name.startswith("ld") and value.isidentifier():
            base = "" if through is None else through["base"]
            source = where or (loaded(base) if ":got_lo12:" in place or place == f"[{base}]" else ELSEWHERE)
            effects.append(effect(value, source, *([where] if where else [base] if base else [])))
    return effects


def _slot(found: re.Match[str], beyond: int) -> str:
    return f"{found['base']}_{int(found['offset'] or 0) + beyond}".replace("-", "m")


def _written_back(operands: Sequence[str]) -> Sequence[Effect]:
    """The base register of an address that is moved on before or after the access."""
    for index, operand in enumerate(operands):
        found = _BASE.fullmatch(operand)
        if found is None or found["base"] == "sp":
            continue
        step = operands[index + 1] if index + 1 < len(operands) else operand.split("#")[-1] if found["before"] else None
        if step is not None:
            moved = _value(step) if step.startswith(("#", "x")) else step.rstrip("]!")
            return [effect(found["base"], f"{found['base']} + {moved}", found["base"], moved)]
    return ()


def _scalar(name: str, operands: Sequence[str]) -> Sequence[Effect]:
    bits, place = _bits(operands[0]), _register(operands[0])
    if name in ("cmp", "cmn", "tst"):
        return _compared(name, operands, bits)
    stem = name.removesuffix("s") if name in ("adds", "subs", "ands") else name
    known = _expression(stem, operands, bits)
    target = [] if place == "0" else [place]
    if known is None:
        unknown = [effect(FLAGS, None), effect(CARRY, None)] if name.endswith("s") or name == "ccmp" else []
        return [*unknown, *(effect(each, None) for each in target)]
    expression, reads = known
    effects = [effect(each, wrapped(expression, bits) if bits < 64 else expression, *reads) for each in target]
    if stem != name:
        second, _ = _last(operands[2:])
        effects += _compared({"add": "cmn", "sub": "cmp", "and": "tst"}[stem], operands[1:], bits) if second else []
    return effects


def _compared(name: str, operands: Sequence[str], bits: int) -> Sequence[Effect]:
    left = _value(operands[0])
    right, reads = _last(operands[1:])
    if name == "cmp":
        flags, carry = compared(left, right, bits)
        return [effect(FLAGS, flags.expression, left, *reads), effect(CARRY, carry.expression, left, *reads)]
    result = wrapped(f"{left} + {right}" if name == "cmn" else f"{left} & {right}", bits)
    return [effect(FLAGS, f"({result}, 0)", left, *reads), effect(CARRY, None if name == "cmn" else "False")]


def _expression(stem: str, operands: Sequence[str], bits: int) -> tuple[str, tuple[str, ...]] | None:
    sources = operands[1:]
    if stem in ("mov", "sxtw", "neg", "mvn"):
        value = _value(sources[0])
        return {"mov": value, "sxtw": wrapped(value, 32), "neg": f"-{value}", "mvn": f"~{value}"}[stem], (value,)
    if stem in ("bfi", "bfxil"):
        return _inserted(stem, operands)
    if stem == "clz":
        return leading_zeros(_value(sources[0]), bits), (_value(sources[0]),)
    if stem == "movk":
        shift = int(sources[1].split("#")[1]) if len(sources) > 1 else 0
        place = _register(operands[0])
        return f"({place} & ~{0xFFFF << shift:#x}) | {(_immediate(sources[0]) or 0) << shift}", (place,)
    if stem in ("adrp", "adr"):
        return symbol(sources[0]), ()
    if stem in _BINARY and len(sources) > 1:
        right, reads = _last(sources[1:])
        return _BINARY[stem](_value(sources[0]), right), (_value(sources[0]), *reads)
    if stem in _SUMS:
        values = tuple(_value(each) for each in sources)
        return _SUMS[stem](*values), values
    if stem in ("ubfiz", "sbfiz"):
        value, by, width = _value(sources[0]), _immediate(sources[1]), _immediate(sources[2]) or 0
        narrow = wrapped(value, width) if stem == "sbfiz" else f"({value} & {(1 << width) - 1:#x})"
        return f"{narrow} << {by}", (value,)
    if stem in ("csel", "csinc") and sources[2] in _CONDITIONS:
        expression, reads = condition(_CONDITIONS[sources[2]])
        values = tuple(_value(each) for each in sources[:2])
        other = f"{values[1]} + 1" if stem == "csinc" else values[1]
        return f"{values[0]} if {expression} else {other}", (*values, *reads)
    return (ELSEWHERE, ()) if stem in _VECTOR_TO_SCALAR else None


def _inserted(stem: str, operands: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """The bits of one register in place of some of another's."""
    place, value = _register(operands[0]), _value(operands[1])
    by, mask = _immediate(operands[2]) or 0, (1 << (_immediate(operands[3]) or 0)) - 1
    if stem == "bfxil":
        return f"({place} & ~{mask:#x}) | ({value} >> {by} & {mask:#x})", (place, value)
    return f"({place} & ~{mask << by:#x}) | (({value} & {mask:#x}) << {by})", (place, value)
