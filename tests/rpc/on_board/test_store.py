"""The store of a board: what is in it is whole, and it does not grow without end."""

from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path

import pytest
from intbert.errors import RemoteError
from intbert.rpc.on_board.store import Store


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def put(store: Store, data: bytes) -> str:
    name = digest(data)
    store.write(name, 0, data)
    store.commit(name)
    return name


def test_a_file_is_there_once_it_is_whole(tmp_path: Path) -> None:
    store, data = Store(tmp_path / "store"), b"0123456789"
    name = digest(data)
    assert store.missing([name]) == [name]
    store.write(name, 0, data[:4])
    assert store.missing([name]) == [name]
    store.write(name, 4, data[4:])
    store.commit(name)
    assert store.missing([name]) == []
    store.place(name, tmp_path / "session" / "deep" / "file")
    assert (tmp_path / "session" / "deep" / "file").read_bytes() == data


def test_an_empty_file_is_a_file(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert store.missing([put(store, b"")]) == []


@pytest.mark.parametrize("sent", [b"", b"012345678", b"012345678x", b"01234567890"], ids=["none", "cut", "bad", "long"])
def test_a_damaged_file_never_gets_in(tmp_path: Path, sent: bytes) -> None:
    store, name = Store(tmp_path), digest(b"0123456789")
    if sent:
        store.write(name, 0, sent)
    with pytest.raises(RemoteError, match="arrived damaged; send it again"):
        store.commit(name)
    assert list(tmp_path.iterdir()) == []


def test_what_a_cut_upload_left_is_overwritten(tmp_path: Path) -> None:
    store = Store(tmp_path)
    name = digest(b"short")
    store.write(name, 0, b"a longer piece of an upload that was cut")
    assert put(Store(tmp_path), b"short") == name


@pytest.mark.parametrize("name", ["", "..", "../" + "a" * 61, "A" * 64, "g" * 64, "a" * 63])
def test_a_name_that_is_no_digest_is_refused(tmp_path: Path, name: str) -> None:
    store = Store(tmp_path / "store")
    for call in (lambda: store.write(name, 0, b""), lambda: store.commit(name), lambda: store.missing([name])):
        with pytest.raises(RemoteError, match="is no SHA-256"):
            call()


def test_the_oldest_files_go_when_the_store_is_full(tmp_path: Path) -> None:
    store = Store(tmp_path / "store", limit_bytes=25)
    first, second = put(store, b"0" * 10), put(store, b"1" * 10)
    for age, name in ((100, first), (200, second)):
        os.utime(tmp_path / "store" / name, (age, age))
    store.place(first, tmp_path / "used")  # now the second is the one that was not used for longest
    third = put(store, b"2" * 10)
    assert store.missing([first, second, third]) == [second]
    assert (tmp_path / "used").read_bytes() == b"0" * 10


def test_a_file_larger_than_the_limit_is_kept_while_it_is_needed(tmp_path: Path) -> None:
    store = Store(tmp_path, limit_bytes=5)
    assert store.missing([put(store, b"0" * 10)]) == []


def test_a_full_disk_is_a_typed_error_and_leaves_no_piece(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path)
    opened = Path.open

    class Full:
        def __init__(self, path: Path) -> None:
            self.file = opened(path, "wb")

        def __enter__(self) -> Full:
            return self

        def __exit__(self, *error: object) -> None:
            self.file.close()

        def seek(self, offset: int) -> None:
            pass

        def write(self, data: bytes) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "open", lambda path, *_: Full(path))
    with pytest.raises(RemoteError, match="No space left on device; make room on the board"):
        store.write(digest(b"x"), 0, b"x")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_was_pruned_is_asked_for_again(tmp_path: Path) -> None:
    with pytest.raises(RemoteError, match="is not on the board any more; send it again"):
        Store(tmp_path).place(digest(b"gone"), tmp_path / "x")
