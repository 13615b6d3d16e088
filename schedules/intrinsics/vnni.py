"""VNNI: uint8 activations times int8 weights into int32, four at a time."""

from __future__ import annotations

from functools import cache
from typing import Any

from tvm import tirx

from .dot_product import K_BLOCK, register_dot_product


@cache
def register_vnni(n_block: int, instruction: str, unsigned_weights: bool = False) -> str:
    """Registers ``C[n_block] += A[4] * B[n_block, 4]`` with one vpdpbusd; the intrinsic's name.

    A is uint8 and B int8; where ``unsigned_weights``, A is int8 and B uint8.

    LLVM 22 takes the operands of vpdpbusd as bytes; TVM 0.27's own intrinsic still passes words, and fails.
    """

    def multiply_add(accumulators: Any, activations: Any, weights: Any) -> Any:
        factors = (weights, activations) if unsigned_weights else (activations, weights)
        return tirx.call_llvm_pure_intrin(f"int32x{n_block}", instruction, accumulators, *factors)

    name = f"intbert.vnni_{n_block}x{K_BLOCK}{'_unsigned_weights' if unsigned_weights else ''}"
    dtypes = ("int8", "uint8") if unsigned_weights else ("uint8", "int8")
    return register_dot_product(name, n_block, dtypes, multiply_add)
