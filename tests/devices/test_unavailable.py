"""A machine that cannot have a virtual board: why, and what becomes of the tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from .debian import Source, installed_source, unpack_packages
from .unavailable import REQUIRED, UnavailableError, skip_or_fail
from .wheels import unpack_wheels


def test_tests_skip_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(REQUIRED, raising=False)
    with pytest.raises(pytest.skip.Exception, match="no virtual board: no apt here"):
        skip_or_fail(UnavailableError("no apt here"))


def test_tests_fail_where_the_board_is_required(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(REQUIRED, "1")
    with pytest.raises(pytest.fail.Exception, match="there is no virtual board: no apt here"):
        skip_or_fail(UnavailableError("no apt here"))


def test_no_apt(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UnavailableError, match="no apt-get"):
        installed_source()


def test_mirror_without_the_release(tmp_path: Path) -> None:
    try:
        installed_source()
    except UnavailableError as reason:
        skip_or_fail(reason)
    empty = tmp_path / "mirror"
    empty.mkdir()
    source = Source(f"file:{empty}/", "bookworm")
    with pytest.raises(UnavailableError, match=r"`apt-get` failed: .*Release"):
        unpack_packages(source, "arm64", ["python3"], frozenset(), tmp_path / "work", tmp_path / "root")


def test_no_wheel_of_that_version(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match=r"found no wheel of numpy==0\.0\.0 for Python 3\.11 on aarch64"):
        unpack_wheels(["numpy==0.0.0"], "3.11", tmp_path, tmp_path / "site")
