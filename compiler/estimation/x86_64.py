"""x86-64 in AT&T's syntax, as far as it decides where a program goes."""

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
    tested,
    wrapped,
)
from .instruction_set import Condition

_CONDITIONS = {
    "e": "eq",
    "z": "eq",
    "ne": "ne",
    "nz": "ne",
    "l": "lt",
    "ge": "ge",
    "le": "le",
    "g": "gt",
    "s": "lt",
    "ns": "ge",  # the sign of a result, which was compared with 0
    "b": "below",
    "ae": "above_equal",
    "be": "below_equal",
    "o": "overflow",
    "no": "no_overflow",
    "a": "above",
}
_OLD = {"ax": "rax", "bx": "rbx", "cx": "rcx", "dx": "rdx", "si": "rsi", "di": "rdi", "bp": "rbp", "sp": "rsp"}
_MEMORY = re.compile(r"(?P<offset>[^(]*)\((?P<base>%\w+)?(?:,\s*(?P<index>%\w+)(?:,\s*(?P<scale>\d))?)?\)")
_VECTOR = re.compile(r"%(?:[xyz]mm|k)\d")
_SIZES = {"b": 8, "w": 16, "l": 32, "q": 64}
_VECTOR_FLAGS = re.compile(r"v?ptest|v?u?comis|kortest|ktest|vtestp")


def _register(name: str) -> str:
    """The 64-bit register that ``name`` (%eax, %r8d, %cl) is part of."""
    name = name.removeprefix("%")
    if re.fullmatch(r"r\d+[dwb]?", name):
        return name.rstrip("dwb")
    short = name[1:] if len(name) == 3 and name[0] in "er" else name.removesuffix("l") if len(name) == 3 else name
    short = f"{short[0]}x" if short in ("al", "bl", "cl", "dl", "ah", "bh", "ch", "dh") else short
    return _OLD.get(short, name)


def _slot(operand: str) -> str | None:
    """A name for a slot of the stack; None when the operand is none."""
    found = _MEMORY.fullmatch(operand)
    if found is None or found["base"] not in ("%rsp", "%rbp") or found["index"]:
        return None
    return f"{found['base'][1:]}_{int(found['offset'] or '0', 0)}".replace("-", "m")


def _value(operand: str) -> str:
    """An operand that is read, as a Python expression: a name, a number, or :data:`ELSEWHERE`."""
    if operand.startswith("$"):
        try:
            return str(int(operand[1:], 0))
        except ValueError:
            return ELSEWHERE  # the address of a symbol
    return _register(operand) if operand.startswith("%") else _slot(operand) or symbol(operand)


def _pointer(operand: str) -> str | None:
    """The register through which an operand in memory is read; None for slots of the stack and what is no memory."""
    found = _MEMORY.fullmatch(operand)
    simple = found is not None and found["base"] not in (None, "%rip") and not found["index"] and not found["offset"]
    return _register(found["base"]) if found is not None and simple and _slot(operand) is None else None


def _place(operand: str) -> str | None:
    """An operand that is written, as a name; None for memory elsewhere and for vectors."""
    if _VECTOR.match(operand):
        return None
    return _register(operand) if operand.startswith("%") else _slot(operand)


def _address(operand: str) -> tuple[str, tuple[str, ...]]:
    found = _MEMORY.fullmatch(operand)
    if found is None or found["base"] == "%rip":
        return ELSEWHERE, ()
    try:
        terms = [str(int(found["offset"] or "0", 0))]
    except ValueError:
        return ELSEWHERE, ()
    names = [_register(found[part]) for part in ("base", "index") if found[part]]
    if found["base"]:
        terms.append(_register(found["base"]))
    if found["index"]:
        terms.append(f"{_register(found['index'])} * {found['scale'] or 1}")
    return " + ".join(terms), tuple(names)


_BINARY: dict[str, Callable[[str, str], str]] = {
    "add": lambda a, b: f"{a} + {b}",
    "sub": lambda a, b: f"{a} - {b}",
    "imul": lambda a, b: f"{a} * {b}",
    "and": lambda a, b: f"{a} & {b}",
    "or": lambda a, b: f"{a} | {b}",
    "xor": lambda a, b: f"{a} ^ {b}",
    "shl": lambda a, b: f"{a} << ({b} & 63)",
    "sal": lambda a, b: f"{a} << ({b} & 63)",
    "sar": lambda a, b: f"{a} >> ({b} & 63)",
    "shr": lambda a, b: f"({a} & 0xffffffffffffffff) >> ({b} & 63)",
}
_BINARY |= {"shlx": _BINARY["shl"], "sarx": _BINARY["sar"], "shrx": _BINARY["shr"]}
_WITHOUT_FLAGS = frozenset({"not", "shlx", "sarx", "shrx"})
_SIGN_EXTENSIONS = {
    "cwtl": ("rax", wrapped("rax", 16)),
    "cltq": ("rax", wrapped("rax", 32)),
    "cltd": ("rdx", "rax >> 31"),
    "cqto": ("rdx", "rax >> 63"),
}
_SHIFTS = frozenset({"shl", "sal", "sar", "shr"})
_UNARY: dict[str, Callable[[str], str]] = {
    "inc": lambda a: f"{a} + 1",
    "dec": lambda a: f"{a} - 1",
    "neg": lambda a: f"-{a}",
    "not": lambda a: f"~{a}",
}
_EXTENSIONS = {"movslq": "32s", "movsbl": "8s", "movswl": "16s", "movzbl": "8u", "movzwl": "16u", "movsbq": "8s"}


class X86:
    """See :class:`.instruction_set.InstructionSet`."""

    returns = frozenset({"retq", "ret", "ud2"})

    def jump_of(self, instruction: Instruction) -> Jump | None:
        name = instruction.mnemonic
        if not name.startswith("j"):
            return None
        return Jump(instruction, instruction.operands[0], None if name == "jmp" else name[1:])

    def condition_of(self, jump: Jump) -> Condition:
        name = _CONDITIONS.get(jump.condition or "")
        if name is None:
            raise EstimationError(f"{jump.instruction.text}: its condition is not known here; report it")
        return Condition(*condition(name))

    def effects_of(self, instruction: Instruction) -> Sequence[Effect]:
        name, operands = instruction.mnemonic, instruction.operands
        if name.startswith(("push", "pop", "nop", "prefetch")) or name == "vzeroupper":
            return ()
        if name.startswith("call"):
            return _called(operands[0])
        if any(map(_VECTOR.match, operands)) or name.startswith("v"):
            return _of_vectors(name, operands)
        return _scalar(name, operands)


def _of_vectors(name: str, operands: Sequence[str]) -> Sequence[Effect]:
    place = _place(operands[-1]) if operands else None
    effects = [] if place is None or name.startswith("cmp") else [effect(place, ELSEWHERE)]
    if _VECTOR_FLAGS.match(name):
        effects += [effect(FLAGS, None), effect(CARRY, None)]
    return effects


def _scalar(name: str, operands: Sequence[str]) -> Sequence[Effect]:
    stem, bits = (name[:-1], _SIZES[name[-1]]) if name[-1] in _SIZES else (name, 64)
    if name in _SIGN_EXTENSIONS:
        target, expression = _SIGN_EXTENSIONS[name]
        return [effect(target, expression, "rax")]
    if stem == "lzcnt":
        value = _value(operands[0])
        return [effect(FLAGS, None), effect(CARRY, None), *_written(operands[1], leading_zeros(value, bits), 64, value)]
    if stem in ("div", "idiv"):
        return _divided(_value(operands[0]))
    if name in _EXTENSIONS:
        return _extended(_EXTENSIONS[name], operands)
    if stem in ("mov", "movabs"):
        if through := _pointer(operands[0]):
            return _written(operands[1], loaded(through), 64, through)
        return _written(operands[1], _value(operands[0]), 64, _value(operands[0]))
    if stem == "lea":
        expression, reads = _address(operands[0])
        return _written(operands[1], expression, bits, *reads)
    if stem == "cmp":
        return compared(_value(operands[1]), _value(operands[0]), bits)
    if stem == "test":
        left, right = _value(operands[0]), _value(operands[1])
        return tested(f"{left} & {right}", (left, right))
    if name.startswith("cmov"):
        return _chosen(name, operands)
    if stem in _UNARY:
        return _computed(stem, _UNARY[stem](_value(operands[0])), operands[0], bits, _value(operands[0]))
    if stem in _SHIFTS and len(operands) == 1:
        operands = ("$1", *operands)
    if stem in _BINARY and len(operands) > 1:
        left, right = _value(operands[-2 if len(operands) == 3 else -1]), _value(operands[0])
        if stem == "xor" and left == right:
            return _computed(stem, "0", operands[-1], bits)
        unsigned = f"({left} & 0xffffffff)" if stem in ("shr", "shrx") and bits == 32 else left
        return _computed(stem, _BINARY[stem](unsigned, right), operands[-1], bits, left, right)
    place = _place(operands[-1]) if operands else None
    unknown = [effect(FLAGS, None), effect(CARRY, None)]
    return [*unknown, effect("rax", None), effect("rdx", None), *([effect(place, None)] if place else [])]


def _divided(divisor: str) -> Sequence[Effect]:
    """Quotient and remainder, towards zero, of a dividend that was sign-extended from rax."""
    quotient, reads = divided("rax", divisor), ("rax", divisor)
    return [effect("rax", quotient, *reads), effect("rdx", f"rax - {quotient} * {divisor}", *reads)]


def _computed(stem: str, expression: str, operand: str, bits: int, *reads: str) -> Sequence[Effect]:
    """A result, and the flags by it."""
    result = wrapped(expression, bits) if bits < 64 else f"({expression})"
    effects = list(_written(operand, expression, bits, *reads))
    if stem in _WITHOUT_FLAGS:
        return effects
    if stem == "sub" and len(reads) == 2:
        return [*compared(reads[0], reads[1], bits), *effects]
    effects.append(effect(FLAGS, f"({result}, 0)", *reads))
    if stem == "add":
        mask = (1 << bits) - 1
        carry = f"({reads[0]} & {mask:#x}) + ({reads[1]} & {mask:#x}) > {mask:#x}"
        effects.append(effect(CARRY, carry, *reads))
    elif stem not in ("inc", "dec"):
        effects.append(effect(CARRY, "False" if stem in ("and", "or", "xor") else None))
    return effects


def _written(operand: str, expression: str, bits: int, *reads: str) -> Sequence[Effect]:
    place = _place(operand)
    return [] if place is None else [effect(place, wrapped(expression, bits) if bits < 64 else expression, *reads)]


def _extended(kind: str, operands: Sequence[str]) -> Sequence[Effect]:
    bits, value = int(kind[:-1]), _value(operands[0])
    expression = wrapped(value, bits) if kind.endswith("s") else f"{value} & {(1 << bits) - 1:#x}"
    return _written(operands[1], expression, 64, value)


def _chosen(name: str, operands: Sequence[str]) -> Sequence[Effect]:
    known = next((_CONDITIONS[end] for end in (name[4:], name[4:-1]) if end in _CONDITIONS), None)
    place = _place(operands[1])
    if known is None or place is None:
        return [effect(place or "rax", None)]
    expression, reads = condition(known)
    value = _value(operands[0])
    return [effect(place, f"{value} if {expression} else {place}", value, place, *reads)]


def _called(function: str) -> Sequence[Effect]:
    """The C convention: a result, and registers that are lost."""
    pointer = function.removeprefix("*")
    through = _pointer(pointer) or (_register(pointer) if pointer.startswith("%") else _slot(pointer))
    result = effect("rax", returned(symbol(pointer) if through is None else through), *([through] if through else []))
    lost = ("rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11")
    return [result, *(effect(each, None) for each in lost)]
