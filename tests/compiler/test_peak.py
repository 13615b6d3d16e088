"""The kernels that measure a machine's peak: their instructions, and that they compute."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from intbert.compiler.artifact import ArtifactTarget
from intbert.compiler.kernel_library import FUNCTION
from intbert.compiler.peak import INSTRUCTIONS, Instruction, best_instruction, build_peak_library
from intbert.compiler.runtime.aligned import aligned_zeros
from intbert.compiler.runtime.library import tvm_runtime
from intbert.errors import ToolchainError
from intbert.targets import get_target
from intbert.targets.features import IMPLIED, X86_64, close_features, host_arch, host_features
from numpy.typing import NDArray

IDS = [each.feature for each in INSTRUCTIONS]


def target_with(arch: str, features: frozenset[str]) -> ArtifactTarget:
    return ArtifactTarget("board", arch, f"{arch}-linux-gnu", tuple(sorted(features)))


def target_of(instruction: Instruction) -> ArtifactTarget:
    (arch,) = (arch for arch, features in IMPLIED.items() if instruction.feature in features)
    return target_with(arch, close_features(arch, {instruction.feature}))


@pytest.mark.parametrize("instruction", INSTRUCTIONS, ids=IDS)
def test_the_best_instruction_of_a_processor(instruction: Instruction) -> None:
    assert best_instruction(target_of(instruction)) is instruction


@pytest.mark.parametrize(
    ("features", "words"),
    [
        pytest.param(frozenset(), "its features name no int8 multiply-add", id="none"),
        pytest.param(get_target("x86-64-v4").features | {"amx_int8"}, "AMX tiles is not measured", id="amx"),
    ],
)
def test_processors_without_a_known_peak(features: frozenset[str], words: str) -> None:
    with pytest.raises(ToolchainError, match=words):
        best_instruction(target_with(X86_64, features))


def _aligned_ones(like: NDArray[Any]) -> NDArray[Any]:
    array = aligned_zeros(like.shape, like.dtype)
    array[...] = 1
    return array


@pytest.mark.parametrize("instruction", INSTRUCTIONS, ids=IDS)
def test_the_kernel_does_as_many_multiply_adds_as_it_is_counted_for(instruction: Instruction, tmp_path: Path) -> None:
    """Of ones, each adds one. Built for every processor; run where this machine is one."""
    target, path, kernel = target_of(instruction), tmp_path / "peak.so", instruction.kernel()
    build_peak_library(kernel, target, None, path)
    if target.arch != host_arch() or not host_features().issuperset(target.features):
        return
    left, right, sums = (_aligned_ones(array) for array in kernel.arguments)
    tvm_runtime().load_module(str(path))[FUNCTION](*map(tvm_runtime().from_dlpack, (left, right, sums)))
    assert sums.sum() == kernel.work
