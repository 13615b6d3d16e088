"""The TIR intrinsic ``rounding_shift_right``: one instruction on Arm, where LLVM finds two (add, sshl)."""

from __future__ import annotations

from typing import Any

from tvm import tirx

from .lowering import features_of_the_cpu
from .registration import constant_of, lanes_of, register_elementwise

NAME = "intbert.rounding_shift_right"
NEON_BITS = 128


def rounding_shift_right(value: Any, bits: Any) -> Any:
    """TIR: ``(value + 2^(bits - 1)) >> bits`` for bits >= 1, both of one dtype; the sum must not overflow."""
    return tirx.call_intrin(str(value.ty.dtype), NAME, value, bits)


def _lower(call: Any) -> Any:
    dtype = str(call.ty.dtype)
    element, lanes = dtype.partition("x")[0], lanes_of(dtype)
    value, bits = call.args
    vector_lanes = NEON_BITS // int(element.lstrip("uint"))
    if "neon" in features_of_the_cpu() and lanes > 1 and lanes % vector_lanes == 0:
        return _on_neon(value, bits, element, lanes, vector_lanes)
    one = constant_of(1, element, lanes)
    return (value + (one << (bits - one))) >> bits


def _on_neon(value: Any, bits: Any, element: str, lanes: int, vector_lanes: int) -> Any:
    """srshl and urshl shift left, by a signed count; a vector of more than a register's lanes part by part."""
    count = element.lstrip("u")
    zero = tirx.Broadcast(tirx.const(0, count), lanes)
    left = zero - tirx.reinterpret(f"{count}x{lanes}", bits)
    instruction = f"llvm.aarch64.neon.{'u' if element.startswith('u') else 's'}rshl"

    def part(start: int) -> Any:
        operands = (tirx.Shuffle([vector], list(range(start, start + vector_lanes))) for vector in (value, left))
        return tirx.call_llvm_pure_intrin(f"{element}x{vector_lanes}", instruction, *operands)

    if lanes == vector_lanes:
        return tirx.call_llvm_pure_intrin(f"{element}x{lanes}", instruction, value, left)
    return tirx.Shuffle([part(start) for start in range(0, lanes, vector_lanes)], list(range(lanes)))


register_elementwise(NAME, "right shift, halves rounded up", _lower)
