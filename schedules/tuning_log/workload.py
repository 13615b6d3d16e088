"""What identifies a kernel: TVM's structural hash, which is alike wherever the same IR is made."""

from __future__ import annotations

from typing import Any

from .record import Workload


def structural_hash(module: Any) -> str:
    """The hash of an IRModule, hexadecimal. Imports tvm."""
    import tvm_ffi

    return f"{tvm_ffi.structural_hash(module) & (2**64 - 1):016x}"


def workload_of(module: Any, operator: str, shape: str) -> Workload:
    """The workload of an unscheduled IRModule. Imports tvm."""
    import tvm

    return Workload(structural_hash(module), tvm.ir.save_json(module), operator, shape)
