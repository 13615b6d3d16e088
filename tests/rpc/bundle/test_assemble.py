"""Making a bundle on the board: what can go wrong there leaves nothing behind."""

from __future__ import annotations

import io
import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from intbert.errors import IntbertError, OutputError, RemoteError
from intbert.rpc.bundle.assemble import assemble, main
from intbert.rpc.bundle.order import Order


def listing(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        pytest.param({"artifact": {"model.so": "0" * 64}}, RemoteError, "is not on the board any more", id="gone"),
        pytest.param({"folder": "/proc/x"}, OutputError, "/proc/x", id="not-writable"),
    ],
)
def test_what_goes_wrong_on_the_board(
    tmp_path: Path, change: dict[str, Any], kind: type[IntbertError], message: str
) -> None:
    order = Order(str(tmp_path / "bundle"), str(tmp_path / "store"), {}, {}, {"run": "", "serve": ""})
    (tmp_path / "packages").mkdir()
    with pytest.raises(kind, match=message):
        assemble(replace(order, **change), tmp_path / "packages")
    assert listing(tmp_path) == {"packages"}


def test_there_must_be_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "packages").mkdir()
    (tmp_path / "packages" / "large").write_bytes(bytes(3_000_000))
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(0, 0, 4_000_000))
    order = Order(str(tmp_path / "bundle"), str(tmp_path / "store"), {}, {}, {})
    with pytest.raises(OutputError, match="the bundle has 3 MB, and 4 MB are free; make room"):
        assemble(order, tmp_path / "packages")


@pytest.mark.parametrize(
    "change",
    [
        {"folder": "relative"},
        {"artifact": {"../x": "0" * 64}},
        {"artifact": {"": "0" * 64}},
        {"texts": {"a/b": ""}},
        {"texts": {"runtime": ""}},
        {"texts": {"bundle.json": ""}},
    ],
    ids=str,
)
def test_an_order_that_leads_out_of_its_folder(change: dict[str, Any]) -> None:
    with pytest.raises(RemoteError):
        replace(Order("/bundle", "/store", {}, {}, {}), **change)


def test_an_order_travels_as_json(tmp_path: Path) -> None:
    order = Order("/a b", "/store", {"model.so": "0" * 64}, {"format": "x"}, {"run": "é\n"}, replace=True)
    assert Order.from_json(order.to_json()) == order


@pytest.mark.parametrize(("exists", "answer"), [(False, {}), (True, {"error": "OutputError"})], ids=["free", "taken"])
def test_looking_makes_nothing(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    exists: bool,
    answer: dict[str, str],
) -> None:
    folder = tmp_path / "bundle"
    if exists:
        folder.mkdir()
    order = Order(str(folder), str(tmp_path / "store"), {}, {}, {})
    monkeypatch.setattr(sys, "stdin", io.StringIO(order.to_json()))
    monkeypatch.setattr("signal.signal", lambda *_: None)
    assert main(["look"]) == 0
    said = json.loads(capsys.readouterr().out)
    said.pop("message", None)
    assert said == answer
    assert folder.exists() == exists
