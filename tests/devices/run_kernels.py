"""Runs on a board: calls kernels of a library with arrays from a file.

usage: run_kernels.py LIBRARY ARGUMENTS.npz RESULTS.npz

ARGUMENTS holds ``function/case/position``; the last position of a case is the output, which RESULTS gets as
``function/case``.
"""

from __future__ import annotations

import sys
from collections import defaultdict

import numpy as np
from intbert.compiler.runtime.library import tvm_runtime


def main(library: str, arguments: str, results: str) -> None:
    tvm_ffi = tvm_runtime()
    module = tvm_ffi.load_module(library)
    calls: dict[str, dict[int, np.ndarray]] = defaultdict(dict)
    with np.load(arguments) as stored:
        for name in stored.files:
            call, _, position = name.rpartition("/")
            calls[call][int(position)] = stored[name]
    outputs = {}
    for call, arrays in calls.items():
        ordered = [np.ascontiguousarray(arrays[position]) for position in range(len(arrays))]
        module[call.partition("/")[0]](*map(tvm_ffi.from_dlpack, ordered))
        outputs[call] = ordered[-1]
    np.savez(results, **outputs)


if __name__ == "__main__":
    main(*sys.argv[1:])
