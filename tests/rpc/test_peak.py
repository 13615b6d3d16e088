"""A machine's peak, measured here and in a server's process; of a GPU: benchmark/test_gpu.py."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from intbert.compiler.artifact import ArtifactTarget, CudaRecord, Manifest, read_manifest
from intbert.compiler.profile import ThreadPeak
from intbert.compiler.runtime.driver import FoundGpu, GpuSize
from intbert.errors import ToolchainError
from intbert.rpc import peak as subject
from intbert.rpc.on_board.kernels import Request
from intbert.rpc.peak import peak_here, peak_on
from intbert.targets import get_target

from ..compiler.toy_artifact import build_toy
from .server_process import ServerProcess

HOST = get_target("host")
TARGET = ArtifactTarget("host", HOST.arch, HOST.triple, tuple(sorted(HOST.features - {"amx_int8"})))


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return replace(read_manifest(build_toy(tmp_path_factory.mktemp("toy") / "toy")), target=TARGET)


def test_a_server_on_this_machine_names_the_same_instruction(server: ServerProcess, manifest: Manifest) -> None:
    here = peak_here(manifest)
    with server.connect() as session:
        there = peak_on(session, manifest)
    assert isinstance(here, ThreadPeak)
    assert here.instruction == there.instruction
    assert min(here.gmacs, there.gmacs) > 0


def test_without_the_compiler(monkeypatch: pytest.MonkeyPatch, manifest: Manifest) -> None:
    monkeypatch.setitem(sys.modules, "intbert.compiler.peak", None)
    monkeypatch.delattr("intbert.compiler.peak", raising=False)
    with pytest.raises(ToolchainError, match="TVM's compiler is not installed here"):
        peak_here(manifest)


@dataclass(frozen=True)
class WrongGpu(subject._Place):
    """A GPU that computes something else."""

    def gpu(self) -> tuple[FoundGpu, GpuSize]:
        return FoundGpu("wrong", 87, (13, 0)), GpuSize(2, 4 << 20)

    def measure(self, library: Path, arguments: Path, request: Request) -> Mapping[str, Any]:
        assert request.on_gpu
        return {"seconds": [1e-3], "sha256": "0", "conditions": {"clock_mhz": None, "throttled": None}}


def test_a_gpu_that_computes_something_else_has_no_peak(monkeypatch: pytest.MonkeyPatch, manifest: Manifest) -> None:
    monkeypatch.setattr("intbert.compiler.peak.build_peak_library", lambda *arguments: None)
    record = CudaRecord(87, "NVRTC 13.0", (13, 0), ())
    with pytest.raises(ToolchainError, match=r"host: mma\.sync\.m16n8k32 does not compute what it should there"):
        subject._peak(replace(manifest, cuda=record), WrongGpu())
