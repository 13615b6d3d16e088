"""The virtual board itself: what its CPUs are, and that a cross-compiled library computes on them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from intbert.targets import get_target
from intbert.targets.toolchain import linker

from .virtual_board import VirtualBoard

Boards = Callable[[str], VirtualBoard]

BOARDS = [
    pytest.param("rpi4", "cortex-a72", id="rpi4-cortex-a72"),
    pytest.param("rpi5", "cortex-a76", id="rpi5-cortex-a76"),
]


@pytest.mark.parametrize(("target", "cpu"), BOARDS)
def test_board_has_exactly_the_features_of_the_target(boards: Boards, target: str, cpu: str) -> None:
    with boards(cpu).connect() as session:
        found = session.features()
    assert found.arch == "aarch64"
    assert found.features == get_target(target).features


@pytest.mark.parametrize(("target", "cpu"), BOARDS)
def test_cross_compiled_library_computes_the_same_integers(
    boards: Boards, target: str, cpu: str, tmp_path: Path
) -> None:
    rng = np.random.default_rng(7)
    left = rng.integers(-128, 128, (16, 64), dtype=np.int8)
    right = rng.integers(-128, 128, (64, 32), dtype=np.int8)
    library = tmp_path / "matmul.so"
    compile_matmul(target, left.shape, right.shape, library)
    with boards(cpu).connect() as session, session.limit("running a library"):
        import tvm
        from tvm import relax

        device = session.remote.cpu()
        machine = relax.VirtualMachine(session.remote.load_module(session.upload(library)), device)
        output = machine["main"](tvm.runtime.tensor(left, device), tvm.runtime.tensor(right, device)).numpy()
    np.testing.assert_array_equal(output, left.astype(np.int32) @ right.astype(np.int32))


def test_child_interpreters_of_the_board_are_emulated_too(boards: Boards) -> None:
    child = "import platform; print(platform.machine())"
    program = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}], check=True)"
    assert boards("cortex-a72").run_python("-c", program).stdout.split() == ["aarch64"]


def compile_matmul(target: str, left: tuple[int, ...], right: tuple[int, ...], library: Path) -> None:
    """A Relax VM library for ``target`` whose ``main`` multiplies int8 matrices into int32."""
    import tvm
    from tvm import relax

    builder = relax.BlockBuilder()
    a = relax.Var("a", relax.TensorType(left, "int8"))
    b = relax.Var("b", relax.TensorType(right, "int8"))
    with builder.function("main", [a, b]):
        builder.emit_func_output(builder.emit(relax.op.matmul(a, b, out_dtype="int32")))
    preset = get_target(target)
    compiled = tvm.compile(builder.get(), target=preset.tvm())
    compiled.export_library(str(library), fcompile=linker(preset).fcompile)
