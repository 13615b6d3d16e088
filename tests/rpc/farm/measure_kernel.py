"""MetaSchedule's runner on boards of a tracker: ``measure_kernel.py PORT KEY FOLDER`` prints the kernel's times."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import tvm
from tvm.s_tir.meta_schedule.arg_info import TensorInfo
from tvm.s_tir.meta_schedule.runner import EvaluatorConfig, RPCConfig, RPCRunner, RunnerInput
from tvm.script import tirx as T

SECONDS = 60
LENGTH = 128


@T.prim_func
def add_one(a: T.handle, b: T.handle):
    T.func_attr({"global_symbol": "main", "tirx.noalias": True})
    source, sink = T.match_buffer(a, (LENGTH,), "float32"), T.match_buffer(b, (LENGTH,), "float32")
    for i in range(LENGTH):
        sink[i] = source[i] + T.float32(1)


def main(port: int, key: str, folder: Path) -> None:
    library = folder / "kernel.so"
    tvm.compile(tvm.IRModule({"main": add_one}), target="llvm").export_library(str(library))
    config = RPCConfig("127.0.0.1", port, key, session_priority=1, session_timeout_sec=SECONDS)
    once = EvaluatorConfig(number=1, repeat=2, min_repeat_ms=0, enable_cpu_cache_flush=False)
    kernel = RunnerInput(str(library), "cpu", [TensorInfo("float32", [LENGTH])] * 2)
    results = [future.result() for future in RPCRunner(config, once).run([kernel] * 3)]
    errors = [result.error_msg for result in results if result.error_msg is not None]
    print(json.dumps({"seconds": [[float(s) for s in r.run_secs or []] for r in results], "errors": errors}))


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
