"""A machine's peak, measured here and in a server's process."""

from __future__ import annotations

import sys

import pytest
from intbert.compiler.artifact import ArtifactTarget
from intbert.errors import ToolchainError
from intbert.rpc.peak import peak_here, peak_on
from intbert.targets import get_target

from .server_process import ServerProcess

HOST = get_target("host")
TARGET = ArtifactTarget("host", HOST.arch, HOST.triple, tuple(sorted(HOST.features - {"amx_int8"})))


def test_a_server_on_this_machine_names_the_same_instruction(server: ServerProcess) -> None:
    here = peak_here(TARGET)
    with server.connect() as session:
        there = peak_on(session, TARGET)
    assert here.instruction == there.instruction
    assert min(here.gmacs, there.gmacs) > 0


def test_without_the_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "intbert.compiler.peak", None)
    with pytest.raises(ToolchainError, match="TVM's compiler is not installed here"):
        peak_here(TARGET)
