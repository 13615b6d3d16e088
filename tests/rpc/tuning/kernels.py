"""Small kernels ``y[i] = x[i] + 1``, and some that go wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from intbert.targets.features import host_arch

LENGTH = 64
X = np.arange(LENGTH, dtype=np.int32)
EXPECTED = X + 1


def kernel(expression: Callable[[Any, Any], Any]) -> Any:
    """The PrimFunc of ``y[i] = expression(x, i)``."""
    from tvm import te

    x = te.placeholder((LENGTH,), "int32", name="x")
    return te.create_prim_func([x, te.compute((LENGTH,), lambda i: expression(x, i), name="y")])


def adding_one() -> Any:
    """The right one."""
    return kernel(lambda x, i: x[i] + 1)


def crashing() -> Any:
    """Reads a gigabyte behind its input."""
    return kernel(lambda x, i: x[i + (1 << 28)])


def endless() -> Any:
    """Takes years: a reduction without a closed form, so that no compiler can leave it out."""
    from tvm import te, tirx

    x = te.placeholder((LENGTH,), "int32", name="x")
    step = te.comm_reducer(lambda a, b: a * a + b, lambda dtype: tirx.const(1, dtype), name="step")
    t, u = te.reduce_axis((0, 1 << 24)), te.reduce_axis((0, 1 << 24))
    return te.create_prim_func([x, te.compute((LENGTH,), lambda i: step(x[i] + t, axis=[t, u]), name="y")])


def unbuildable() -> Any:
    """Uses an operation that nothing lowers."""
    from tvm import tirx

    return kernel(lambda x, i: tirx.call_intrin("int32", "tirx.mma_store", x[i]))


def uncompilable() -> Any:
    """Wants an instruction of another processor, at which LLVM ends the process."""
    from tvm import tirx

    foreign = "llvm.nvvm.read.ptx.sreg.tid.x" if host_arch() == "aarch64" else "llvm.aarch64.neon.sqrdmulh"
    return kernel(lambda x, i: tirx.call_llvm_pure_intrin("int32", foreign, x[i], x[i]))


def arguments(path: Path) -> Path:
    """The input and room for the output, as a file."""
    np.savez(path, allow_pickle=False, **{"0": X, "1": np.zeros_like(X)})
    return path
