"""Runs compiled kernels on a virtual board."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from intbert.targets.target import Target
from intbert.targets.toolchain import linker

from ..schedules.linear_cases import Array, compile_functions
from .virtual_board import VirtualBoard

RUNNER = Path(__file__).with_name("run_kernels.py")


def run_on_board(
    board: VirtualBoard,
    target: Target,
    functions: dict[str, Any],
    calls: Mapping[str, Sequence[Array]],
    folder: Path,
) -> dict[str, Array]:
    """The outputs of scheduled ``functions``; ``calls`` maps ``function/case`` to arguments, the output the last."""
    library, given, results = folder / "kernels.so", folder / "given.npz", folder / "results.npz"
    compile_functions(functions, target).export_library(str(library), fcompile=linker(target).fcompile)
    arguments = {f"{call}/{i}": array for call, arrays in calls.items() for i, array in enumerate(arrays)}
    np.savez(given, allow_pickle=False, **arguments)
    board.run_python(str(RUNNER), str(library), str(given), str(results))
    with np.load(results) as outputs:
        return {call: outputs[call] for call in calls}
