"""VNNI: uint8 activations times int8 weights into int32, four at a time."""

from __future__ import annotations

from functools import cache
from typing import Any

from tvm import tirx

from .dot_product import K_BLOCK, register_dot_product


@cache
def register_vnni(n_block: int, instruction: str) -> str:
    """Registers ``C[n_block] += A[4] * B[n_block, 4]`` with one vpdpbusd; the intrinsic's name.

    LLVM 22 takes the operands of vpdpbusd as bytes; TVM 0.27's own intrinsic still passes words, and fails.
    """

    def multiply_add(accumulators: Any, activations: Any, weights: Any) -> Any:
        return tirx.call_llvm_pure_intrin(f"int32x{n_block}", instruction, accumulators, activations, weights)

    return register_dot_product(f"intbert.vnni_{n_block}x{K_BLOCK}", n_block, "uint8", multiply_add)
