"""Which meter is taken, and what it says: of a stand-in for llvm-mca, and of the real one where it is installed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from intbert.compiler.estimation import best_meter
from intbert.compiler.estimation import meters as module
from intbert.compiler.estimation.assembly import Block, Instruction
from intbert.compiler.estimation.meters import InstructionMeter, McaMeter
from intbert.errors import EstimationError
from intbert.targets import get_target

MULTIPLY = Instruction("mul", ("x0", "x1", "x2"), "mul\tx0, x1, x2")
BLOCK = Block("main", (MULTIPLY,) * 8, None, True)

STAND_IN = """#!/bin/sh
case "$*" in
*--version*) echo "LLVM version {version}" ;;
*-mcpu=help*) echo "  cortex-a72    - Select the cortex-a72 processor." ;;
*) cat > "$0.input"; {answer} ;;
esac
"""
ANSWER = """echo '{"CodeRegions": [{"Name": "0", "SummaryView": {"TotalCycles": 150}}]}'"""


def install(folder: Path, version: str, answer: str = ANSWER) -> Path:
    path = folder / f"llvm-{version.partition('.')[0]}" / "bin" / "llvm-mca"
    path.parent.mkdir(parents=True)
    path.write_text(STAND_IN.replace("{version}", version).replace("{answer}", answer))
    path.chmod(0o755)
    return path


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """In place of all folders where llvm-mca may be."""
    monkeypatch.setattr(module, "LLVM_FOLDERS", tmp_path)
    monkeypatch.setattr(module.shutil, "which", lambda name: None)
    return tmp_path


def test_the_newest_is_taken(folder: Path) -> None:
    for version in ("9.0.1", "19.1.7", "15.0.6"):
        install(folder, version)
    meter = best_meter(get_target("rpi4"))
    assert isinstance(meter, McaMeter)
    assert (meter.version, meter.cpu, meter.name) == ("19.1.7", "cortex-a72", "llvm-mca 19.1.7, cortex-a72")


def test_without_it_instructions_are_counted(folder: Path) -> None:
    meter = best_meter(get_target("rpi4"))
    assert meter == InstructionMeter()
    assert meter.cycles([(BLOCK, 10)]) == 80


def test_a_processor_without_a_model(folder: Path) -> None:
    install(folder, "19.1.7")
    assert best_meter(get_target("rpi3")) == InstructionMeter()


def test_blocks_count_as_often_as_they_run(folder: Path) -> None:
    path = install(folder, "19.1.7")
    seldom = Block("seldom", (MULTIPLY,), None, True)
    assert best_meter(get_target("rpi4")).cycles([(BLOCK, 1000), (seldom, 2)]) == 1000 * 150 / module.ITERATIONS + 2
    sent = path.with_name("llvm-mca.input").read_text()
    assert sent.splitlines() == ["# LLVM-MCA-BEGIN 0", *["mul\tx0, x1, x2"] * 8, "# LLVM-MCA-END 0"]


def test_code_that_it_does_not_know(folder: Path) -> None:
    install(folder, "19.1.7", "echo '<stdin>:1:1: error: invalid instruction' >&2; exit 1")
    with pytest.raises(EstimationError, match=r"does not know this code \(<stdin>:1:1: error: invalid instruction\)"):
        best_meter(get_target("rpi4")).cycles([(BLOCK, 1)])


def test_it_went_away(folder: Path) -> None:
    path = install(folder, "19.1.7")
    meter = best_meter(get_target("rpi4"))
    path.unlink()
    with pytest.raises(EstimationError, match="does not run"):
        meter.cycles([(BLOCK, 1)])


def test_the_real_one_knows_latencies() -> None:
    meter = best_meter(get_target("rpi4"))
    if not isinstance(meter, McaMeter):
        assert "INTBERT_REQUIRE_LLVM_MCA" not in os.environ, "it must be here, and was not found"
        pytest.skip("llvm-mca is not installed; Debian: apt install llvm")
    chain = Block("main", (Instruction("mul", ("x0", "x0", "x0"), "mul\tx0, x0, x0"),) * 8, None, True)
    assert meter.cycles([(chain, 10)]) > meter.cycles([(BLOCK, 10)]) > 0
