"""Files that are not what they should be."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from intbert.rpc.telemetry.files import read_integer, read_text

from .trees import Odd, plant


@pytest.mark.parametrize(
    ("content", "text", "number"),
    [
        pytest.param("42", "42", 42, id="number"),
        pytest.param("  -7 ", "-7", -7, id="negative"),
        pytest.param("CPU-therm", "CPU-therm", None, id="word"),
        pytest.param("", None, None, id="empty"),
        pytest.param("4.5", "4.5", None, id="fraction"),
        pytest.param("9" * 5000, "9" * 5000, None, id="too-many-digits-for-python"),
        pytest.param("9" * 30, "9" * 30, None, id="too-many-bits"),
        pytest.param(Odd.FOLDER, None, None, id="folder"),
        pytest.param(Odd.PIPE, None, None, id="pipe"),
        pytest.param(Odd.LOOP, None, None, id="link-to-itself"),
    ],
)
def test_reading(tmp_path: Path, content: str | Odd, text: str | None, number: int | None) -> None:
    path = str(plant(tmp_path, {"file": content}) / "file")
    assert read_text(path) == text
    assert read_integer(path) == number


def test_an_absent_file(tmp_path: Path) -> None:
    assert read_text(str(tmp_path / "absent")) is None


def test_an_endless_file() -> None:
    text = read_text("/dev/zero")
    assert text is not None
    assert len(text) == 1 << 20


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_file_of_somebody_else(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("1")
    path.chmod(0)
    assert read_text(str(path)) is None
