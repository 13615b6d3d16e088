"""The probe on an emulated board, through real ssh."""

from __future__ import annotations

import subprocess
from importlib import resources

import intbert.rpc.probing
import pytest
from intbert.rpc.probing import CoreKind, best_python, parse_report, problems

from ...devices.conftest import SshBoards

SECONDS = 120


@pytest.mark.parametrize(
    ("cpu", "model", "part", "features"),
    [
        pytest.param("cortex-a72", "Raspberry Pi 4 Model B", 0xD08, {"neon"}, id="cortex-a72"),
        pytest.param("cortex-a76", "Raspberry Pi 5 Model B", 0xD0B, {"neon", "dotprod"}, id="cortex-a76"),
    ],
)
def test_probe_of_a_virtual_board(ssh_boards: SshBoards, cpu: str, model: str, part: int, features: set[str]) -> None:
    board = ssh_boards(cpu)
    script = resources.files(intbert.rpc.probing).joinpath("probe.sh").read_text(encoding="utf-8")
    done = subprocess.run(
        [*board.client("ssh"), "board", "sh -s"],
        input=script,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=True,
    )
    facts = parse_report(done.stdout)
    assert done.stderr == ""
    assert (facts.arch, facts.bits, facts.libc, facts.home) == ("aarch64", 64, "glibc", "/home/pi")
    assert facts.model is not None
    assert facts.model.startswith(model)
    assert facts.core_kinds == (CoreKind(0x41, part, 4, cpu),)
    assert facts.features == features
    assert best_python(facts) is not None
    assert problems(facts) == []
