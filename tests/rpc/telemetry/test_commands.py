"""Programs: what they print, and how they can fail."""

from __future__ import annotations

import sys

import pytest
from intbert.rpc.telemetry import commands
from intbert.rpc.telemetry.commands import run_command


def python(code: str) -> list[str]:
    return [sys.executable, "-I", "-S", "-c", code]


def test_the_output() -> None:
    assert run_command(python("print('throttled=0x0')")) == "throttled=0x0\n"


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(["no-such-program-anywhere"], id="absent"),
        pytest.param(["/"], id="a-folder"),
        pytest.param(python("print('half'); raise SystemExit(1)"), id="fails"),
    ],
)
def test_no_output(arguments: list[str]) -> None:
    assert run_command(arguments) is None


def test_output_that_is_no_text() -> None:
    output = run_command(python(r"import os; os.write(1, b'\xff=1')"))
    assert output is not None
    assert output.endswith("=1")


@pytest.mark.parametrize(
    "code",
    [
        pytest.param("import time; time.sleep(60)", id="silent"),
        pytest.param("import os, time; os.write(1, b'x' * 100); time.sleep(60)", id="after-output"),
        pytest.param("import os, time; os.fork(); time.sleep(20)", id="with-a-child"),
    ],
)
def test_a_program_that_does_not_end(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    monkeypatch.setattr(commands, "SECONDS", 0.3)
    assert run_command(python(code)) is None


def test_the_limit_is_a_second() -> None:
    assert commands.SECONDS + commands.LAST_SECONDS <= 1
