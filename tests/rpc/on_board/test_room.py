"""What a machine has room for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from intbert.rpc.on_board.room import available_memory, room


def test_the_room_of_this_machine(tmp_path: Path) -> None:
    found = room(tmp_path)
    assert found.disk > 0
    assert found.memory is not None
    assert 0 < found.memory <= os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(
            "MemTotal: 946432 kB\nMemFree: 1 kB\nMemAvailable:     601228 kB\n", 601228 * 1024, id="raspberry-pi"
        ),
        pytest.param("MemTotal: 946432 kB\n", None, id="kernel-before-3.14"),
        pytest.param("MemAvailable: lots kB\n", None, id="nonsense"),
        pytest.param("", None, id="empty"),
    ],
)
def test_available_memory(tmp_path: Path, text: str, expected: int | None) -> None:
    (tmp_path / "meminfo").write_text(text)
    assert available_memory(tmp_path / "meminfo") == expected


def test_no_table(tmp_path: Path) -> None:
    assert available_memory(tmp_path / "absent") is None
