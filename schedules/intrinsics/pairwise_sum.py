"""The tensor intrinsic of a sum of int16 in int32 lanes, two neighbours to a lane.

That is one or two instructions (sadalp; vpmaddwd with ones and vpaddd); widening them first takes two an int32 lane.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from tvm import tirx
from tvm.s_tir import TensorIntrin
from tvm.script import tirx as T
from tvm.tirx.op import register_intrin_lowering

from .lowering import features_of_the_cpu
from .registration import constant_of, lanes_of, register_operation

NAME = "intbert.add_pairs"
MULTIPLY_ADD = {("avx512", 16): "llvm.x86.avx512.pmaddw.d.512", ("avx2", 8): "llvm.x86.avx2.pmadd.wd"}
"""By feature and int32 lanes."""
NEON_LANES = 4


@cache
def register_pairwise_sum(lanes: int) -> str:
    """Registers ``C[lanes] += X[lanes, 0] + X[lanes, 1]``, X int16 and C int32; the intrinsic's name."""
    name = f"intbert.pairwise_sum_{lanes}"
    sums_type, pairs_type = f"int32x{lanes}", f"int16x{2 * lanes}"

    @T.prim_func(s_tir=True)
    def description(x: T.handle, c: T.handle) -> None:
        X = T.match_buffer(x, (2 * lanes,), "int16", offset_factor=1)
        C = T.match_buffer(c, (lanes,), "int32", offset_factor=1)
        with T.sblock("root"):
            T.reads(C[0:lanes], X[0 : 2 * lanes])
            T.writes(C[0:lanes])
            for i in T.serial(0, lanes):
                for k in T.serial(0, 2):
                    with T.sblock("update"):
                        vi, vk = T.axis.remap("SR", [i, k])
                        C[vi] = C[vi] + T.cast(X[vi * 2 + vk], "int32")

    @T.prim_func(s_tir=True)
    def implementation(x: T.handle, c: T.handle) -> None:
        X = T.match_buffer(x, (2 * lanes,), "int16", offset_factor=1)
        C = T.match_buffer(c, (lanes,), "int32", offset_factor=1)
        with T.sblock("root"):
            T.reads(C[0:lanes], X[0 : 2 * lanes])
            T.writes(C[0:lanes])
            C[T.ramp(T.int32(0), 1, lanes)] = tirx.call_intrin(
                sums_type, NAME, C.vload([0], dtype=sums_type), X.vload([0], dtype=pairs_type)
            )

    TensorIntrin.register(name, description, implementation, override=True)
    return name


def _lower(call: Any) -> Any:
    sums, pairs = call.args
    dtype = str(call.ty.dtype)
    lanes = lanes_of(dtype)
    for (feature, width), instruction in MULTIPLY_ADD.items():
        if feature in features_of_the_cpu() and lanes == width:
            ones = constant_of(1, "int16", 2 * lanes)
            return sums + tirx.call_llvm_pure_intrin(dtype, instruction, pairs, ones)
    if "neon" in features_of_the_cpu() and lanes == NEON_LANES:
        return sums + tirx.call_llvm_pure_intrin(dtype, "llvm.aarch64.neon.saddlp", pairs)
    first, second = (tirx.Shuffle([pairs], list(range(start, 2 * lanes, 2))).astype(dtype) for start in (0, 1))
    return sums + first + second


register_operation(NAME, "sums and the pairs that are added to them")
register_intrin_lowering(NAME, "llvm", f=_lower)
