"""The cache of wheels: what several processes, killed ones and damage leave in it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from intbert.errors import OutputError
from intbert.rpc.board_runtime.cache import Cache, default_cache

WHEEL = "numpy-1-py3-none-any.whl"


def make(folder: Path, content: bytes = b"new") -> Path:
    path = folder / WHEEL
    path.write_bytes(content)
    return path


def test_an_entry_is_made_once(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    first = cache.wheel("numpy", make)
    assert cache.wheel("numpy", lambda folder: make(folder, b"other")) == first
    assert (first.name, first.read_bytes()) == (WHEEL, b"new")


def test_whoever_finishes_second_takes_what_the_first_made(tmp_path: Path) -> None:
    cache = Cache(tmp_path)

    def slow(folder: Path) -> Path:
        cache.wheel("numpy", lambda other: make(other, b"first"))  # another process, meanwhile
        return make(folder, b"second")

    assert cache.wheel("numpy", slow).read_bytes() == b"first"
    assert [path.name for path in tmp_path.iterdir()] == ["numpy"]


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda entry: (entry / WHEEL).write_bytes(b""), id="emptied"),
        pytest.param(lambda entry: (entry / WHEEL).unlink(), id="deleted"),
        pytest.param(lambda entry: (entry / "SHA256").unlink(), id="no-digest"),
        pytest.param(lambda entry: (entry / "SHA256").write_bytes(b"\xff"), id="digest-of-no-text"),
        pytest.param(lambda entry: (entry / f"2{WHEEL}").write_bytes(b""), id="two-wheels"),
    ],
)
def test_a_damaged_entry_is_made_anew(tmp_path: Path, damage) -> None:
    cache = Cache(tmp_path)
    damage(cache.wheel("numpy", lambda folder: make(folder, b"old")).parent)
    assert cache.wheel("numpy", make).read_bytes() == b"new"
    assert [path.name for path in tmp_path.iterdir()] == ["numpy"]


def test_many_processes_at_once(tmp_path: Path) -> None:
    program = f"""
from pathlib import Path
from intbert.rpc.board_runtime.cache import Cache

def make(folder):
    (folder / {WHEEL!r}).write_bytes(b"new")
    return folder / {WHEEL!r}

for number in range(200):
    assert Cache(Path({str(tmp_path)!r})).wheel(f"entry-{{number}}", make).read_bytes() == b"new"
"""
    processes = [subprocess.Popen([sys.executable, "-c", program]) for _ in range(3)]
    assert [process.wait(timeout=120) for process in processes] == [0, 0, 0]
    assert len(list(tmp_path.iterdir())) == 200


def test_what_a_killed_process_left_is_removed_after_a_day(tmp_path: Path) -> None:
    old, recent = tmp_path / "unfinished-old", tmp_path / "unfinished-recent"
    for folder in (old, recent):
        folder.mkdir()
        (folder / WHEEL).touch()
    os.utime(old, (0, 0))
    Cache(tmp_path).wheel("numpy", make)
    assert {path.name for path in tmp_path.iterdir()} == {"numpy", "unfinished-recent"}


def test_a_folder_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "cache").touch()
    with pytest.raises(OutputError, match=r"cannot keep wheels there .* name another folder in XDG_CACHE_HOME"):
        Cache(tmp_path / "cache").wheel("numpy", make)


@pytest.mark.parametrize(
    ("named", "folder"),
    [
        pytest.param("/somewhere", "/somewhere/intbert/wheels", id="named"),
        pytest.param("", "/home/me/.cache/intbert/wheels", id="empty"),
        pytest.param("relative", "/home/me/.cache/intbert/wheels", id="relative"),
    ],
)
def test_where_it_lies(monkeypatch: pytest.MonkeyPatch, named: str, folder: str) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("XDG_CACHE_HOME", named)
    assert default_cache() == Path(folder)
