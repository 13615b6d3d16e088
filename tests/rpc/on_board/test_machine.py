"""What a machine calls itself."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest
from intbert.rpc.on_board.machine import describe, processor, usable_cores

X86 = "processor\t: 0\nmodel name\t: AMD  EPYC 9R14\nflags\t: avx2\n"
CORE = "model name\t: ARMv8 Processor rev 1\nCPU implementer\t: 0x41\nCPU part\t: {:#x}\n"
ARM = "processor\t: 0\nCPU part\t: 0xd0b\n"


@pytest.mark.parametrize(
    ("model", "cpuinfo", "expected"),
    [
        pytest.param("Raspberry Pi 5 Model B Rev 1.0\0", ARM, "Raspberry Pi 5 Model B Rev 1.0", id="device-tree"),
        pytest.param(None, X86, "AMD EPYC 9R14", id="processor"),
        pytest.param(None, ARM, platform.machine(), id="neither"),
        pytest.param(None, None, platform.machine(), id="nothing"),
    ],
)
def test_description(tmp_path: Path, model: str | None, cpuinfo: str | None, expected: str) -> None:
    for name, text in (("model", model), ("cpuinfo", cpuinfo)):
        if text is not None:
            (tmp_path / name).write_text(text)
    assert describe(tmp_path / "model", tmp_path / "cpuinfo") == expected


@pytest.mark.parametrize(
    ("cpuinfo", "expected"),
    [
        pytest.param(X86, "AMD EPYC 9R14", id="model-name"),
        pytest.param(2 * CORE.format(0xD0B), "cortex-a76", id="arm"),
        pytest.param(CORE.format(0xD05) + CORE.format(0xD41), "cortex-a55 + cortex-a78", id="two-kinds"),
        pytest.param(CORE.format(0xFFF), "core 0x41 0xfff", id="unknown-core"),
        pytest.param(None, platform.machine(), id="nothing"),
    ],
)
def test_processor(tmp_path: Path, cpuinfo: str | None, expected: str) -> None:
    if cpuinfo is not None:
        (tmp_path / "cpuinfo").write_text(cpuinfo)
    assert processor(tmp_path / "cpuinfo") == expected


def test_there_is_a_core() -> None:
    assert usable_cores() >= 1
