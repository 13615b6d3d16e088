"""A bundle's folder appears whole or not at all, and nothing else is ever replaced."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from intbert.errors import OutputError
from intbert.rpc.bundle.order import BUNDLE_FILE, FORMAT
from intbert.rpc.bundle.place import is_bundle, refuse_existing, staged

Make = Callable[[Path], object]


def make_bundle(folder: Path, content: str = "old") -> None:
    folder.mkdir(parents=True)
    (folder / BUNDLE_FILE).write_text(json.dumps({"format": FORMAT, "content": content}))


def make(folder: Path, replace: bool = False) -> None:
    with staged(folder, replace) as made:
        (made / BUNDLE_FILE).write_text(json.dumps({"format": FORMAT, "content": "new"}))


def content(folder: Path) -> str:
    return json.loads((folder / BUNDLE_FILE).read_text())["content"]


def make_link(folder: Path) -> None:
    make_bundle(folder.with_name("other"))
    folder.symlink_to("other")


def make_other(text: str) -> Make:
    def made(folder: Path) -> None:
        folder.mkdir()
        (folder / BUNDLE_FILE).write_text(text)

    return made


def test_a_new_folder_and_its_parents(tmp_path: Path) -> None:
    make(tmp_path / "a" / "b c" / "bundle")
    assert content(tmp_path / "a" / "b c" / "bundle") == "new"
    assert [path.name for path in (tmp_path / "a" / "b c").iterdir()] == ["bundle"]


def test_a_bundle_is_replaced_only_on_request(tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    make_bundle(folder)
    with pytest.raises(OutputError, match="is a bundle already; pass --force"):
        make(folder)
    assert content(folder) == "old"
    make(folder, replace=True)
    assert content(folder) == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


@pytest.mark.parametrize(
    "there",
    [
        pytest.param(lambda path: path.write_text("mine"), id="file"),
        pytest.param(lambda path: path.mkdir(), id="empty-folder"),
        pytest.param(lambda path: path.symlink_to("nowhere"), id="dangling-link"),
        pytest.param(make_link, id="link-to-a-bundle"),
        pytest.param(make_other("{}"), id="another-document"),
        pytest.param(make_other("[]"), id="a-list"),
        pytest.param(make_other("\0"), id="no-document"),
    ],
)
@pytest.mark.parametrize("replace", [False, True], ids=["", "force"])
def test_what_is_no_bundle_stays(tmp_path: Path, there: Make, replace: bool) -> None:
    folder = tmp_path / "bundle"
    there(folder)
    before = sorted(os.walk(tmp_path))
    assert not is_bundle(folder)
    with pytest.raises(OutputError, match="is no bundle of intbert's"):
        refuse_existing(folder, replace)
    with pytest.raises(OutputError, match="is no bundle of intbert's"):
        make(folder, replace)
    assert sorted(os.walk(tmp_path)) == before


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_failure_leaves_things_as_they_were(tmp_path: Path, error: type[BaseException]) -> None:
    folder = tmp_path / "bundle"
    make_bundle(folder)
    with pytest.raises(error):
        fail_halfway(folder, error)
    assert content(folder) == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


def fail_halfway(folder: Path, error: type[BaseException]) -> None:
    with staged(folder, replace=True) as made:
        (made / "half").write_text("half")
        raise error


def test_what_came_there_meanwhile_stays(tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    with pytest.raises(OutputError, match="is no bundle"), staged(folder, replace=True):
        folder.mkdir()
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


def test_leftovers_of_a_killed_process_go_and_those_of_a_living_one_stay(tmp_path: Path) -> None:
    names = ["bundle.partial-0123456789abcdef", "bundle.partial-fedcba9876543210", "bundle.partial-mine", "other"]
    for name in names:
        (tmp_path / name).mkdir()
    living = os.open(tmp_path / names[1], os.O_RDONLY)
    try:
        fcntl.flock(living, fcntl.LOCK_EX)
        make(tmp_path / "bundle")
    finally:
        os.close(living)
    assert {path.name for path in tmp_path.iterdir()} == {"bundle", *names[1:]}
