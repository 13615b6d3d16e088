"""The linear strategy that runs everywhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import tvm
from tvm.s_tir import Schedule

from .workload import LinearWorkload


@dataclass(frozen=True)
class PlainLinear:
    """Loops over rows and channels with the reduction inside; the compiler may vectorize what it can."""

    name: str = "plain"

    def refuse(self, workload: LinearWorkload, features: frozenset[str]) -> str | None:
        return None

    def schedule(self, kernel: Any, workload: LinearWorkload) -> Any:
        sch = Schedule(tvm.IRModule({"main": kernel}))
        output = sch.get_sblock("output")
        i, j = sch.get_loops(output)
        sch.compute_at(sch.get_sblock("accumulator"), j, preserve_unit_loops=True)
        sch.parallel(sch.fuse(i, j) if workload.rows == 1 else i)
        return sch.mod["main"]
