"""``intbert deploy``: what it passes on, and what it prints of what became of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from intbert.rpc.bundle import deploying
from intbert.rpc.bundle.deploying import Deployed
from intbert.rpc.bundle.user_service import Started
from typer.testing import Result

Run = Callable[..., Result]

UNIT = "/home/pi/a b/bert.service"


@pytest.fixture
def became(monkeypatch: pytest.MonkeyPatch) -> Callable[[Started | None], list[Any]]:
    """``became(service)``: deploying comes to this; returns the list in which its arguments will be."""

    def prepare(service: Started | None) -> list[Any]:
        calls: list[Any] = []

        def deploy(artifact: Path, device: str, to: str, terms: object, **options: object) -> Deployed:
            calls.append((artifact, device, to, options))
            return Deployed(device, f"/home/pi/{to}", 71_000_000, 9_000_000, "m" * 64, "r" * 64, service)

        monkeypatch.setattr(deploying, "deploy", deploy)
        return calls

    return prepare


def test_it_says_how_to_run_it(intbert: Run, became: Callable[[Started | None], list[Any]]) -> None:
    calls = became(None)
    result = intbert("deploy", "bert.rpi4", "--device", "pi", "--to", "a b")
    assert result.stdout.splitlines() == [
        "/home/pi/a b on pi has 71.0 MB (9.0 MB were sent)",
        "there: '/home/pi/a b/run' 'some text'",
    ]
    assert calls == [(Path("bert.rpi4"), "pi", "a b", {"service": None, "force": False})]


@pytest.mark.parametrize(
    ("problem", "lines"),
    [
        pytest.param(
            None,
            [f"{UNIT} is enabled and runs; from the start of the board with: loginctl enable-linger"],
            id="runs",
        ),
        pytest.param(
            "the board has no systemctl",
            [
                f"{UNIT} does not run: the board has no systemctl",
                f"start it there: systemctl --user enable --now '{UNIT}'",
            ],
            id="does-not-run",
        ),
    ],
)
def test_it_says_what_became_of_the_service(
    intbert: Run, became: Callable[[Started | None], list[Any]], problem: str | None, lines: list[str]
) -> None:
    calls = became(Started(UNIT, problem))
    result = intbert("deploy", "bert.rpi4", "--device", "pi", "--to", "a b", "--service", "bert", "--force")
    assert result.stdout.splitlines()[2:] == lines
    assert calls[0][3] == {"service": "bert", "force": True}


def test_it_prints_a_document(intbert_json: Callable[..., Any], became: Callable[[Started | None], list[Any]]) -> None:
    became(Started(UNIT, None))
    document = intbert_json("deploy", "bert.rpi4", "--device", "pi", "--to", "bert")
    assert document["folder"] == "/home/pi/bert"
    assert document["service"] == {"unit": UNIT, "problem": None}


@pytest.mark.parametrize("missing", ["--device", "--to"])
def test_board_and_folder_must_be_named(intbert: Run, missing: str) -> None:
    options = {"--device": "pi", "--to": "bert"}
    del options[missing]
    result = intbert("deploy", "bert.rpi4", *[word for pair in options.items() for word in pair])
    assert result.exit_code == 2
