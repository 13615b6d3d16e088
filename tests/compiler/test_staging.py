"""An output is complete or not there, whatever goes wrong on the way."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path

import pytest
from intbert.compiler.staging import is_disk_full, staged_file, staged_folder
from intbert.errors import BoundsError, OutputError


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def stage(output: Path, text: str = "new", fail: Callable[[Path], object] = lambda staging: None) -> None:
    """Writes ``output``, absent or intbert's own; ``fail`` is called before the block ends."""
    with staged_folder(output, force=True) as staging:
        write(staging, text)
        fail(staging)


def write(folder: Path, text: str = "new") -> None:
    (folder / "manifest.json").write_text(text, encoding="utf-8")
    (folder / "inner").mkdir()
    (folder / "inner" / "file").write_text(text, encoding="utf-8")


def test_folder_appears_when_the_block_ends(tmp_path):
    output = tmp_path / "missing" / "parent" / "out"
    with staged_folder(output) as staging:
        write(staging)
        assert not output.exists()
        assert staging.parent == output.parent
    assert contents(tmp_path) == {
        "missing/parent/out/manifest.json": b"new",
        "missing/parent/out/inner/file": b"new",
    }


def test_existing_folder_is_refused(tmp_path):
    (tmp_path / "out").mkdir()
    with pytest.raises(OutputError, match="exists already; pass --force"), staged_folder(tmp_path / "out"):
        pytest.fail("the block must not run")


def test_force_replaces_what_intbert_wrote(tmp_path):
    output = tmp_path / "out"
    stage(output, "old")
    stage(output, "new")
    assert contents(tmp_path) == {"out/manifest.json": b"new", "out/inner/file": b"new"}


@pytest.mark.parametrize("kind", ["folder", "file", "link"])
def test_force_spares_what_intbert_did_not_write(tmp_path, kind):
    output = tmp_path / "out"
    if kind == "folder":
        output.mkdir()
        (output / "thesis.txt").write_text("precious", encoding="utf-8")
    elif kind == "file":
        output.write_text("precious", encoding="utf-8")
    else:
        (tmp_path / "elsewhere").mkdir()
        (tmp_path / "elsewhere" / "manifest.json").write_text("precious", encoding="utf-8")
        output.symlink_to("elsewhere")
    before = contents(tmp_path)
    with pytest.raises(OutputError), staged_folder(output, force=True):
        pytest.fail("the block must not run")
    assert contents(tmp_path) == before


def disk_full(staging: Path) -> None:
    raise OSError(errno.ENOSPC, "No space left on device", str(staging / "model.so"))


def disk_full_in_rust(staging: Path) -> None:
    raise RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)")


def disk_full_as_cause(staging: Path) -> None:
    try:
        disk_full(staging)
    except OSError as error:
        raise ValueError("could not save") from error


@pytest.mark.parametrize("fail", [disk_full, disk_full_in_rust, disk_full_as_cause])
@pytest.mark.parametrize("existing", [False, True], ids=["fresh", "replacing"])
def test_full_disk_leaves_everything_as_it_was(tmp_path, fail: Callable[[Path], None], existing: bool):
    output = tmp_path / "out"
    if existing:
        stage(output, "old")
    before = contents(tmp_path)
    with pytest.raises(OutputError, match="the disk is full, nothing was written"):
        stage(output, fail=fail)
    assert contents(tmp_path) == before
    assert [path.name for path in tmp_path.iterdir()] == ["out"] * existing


def test_full_disk_while_flushing(tmp_path, monkeypatch):
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OutputError, match="disk is full"):
        stage(tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_the_kernels_own_error_is_recognized():
    with pytest.raises(OSError, match="No space") as caught:
        Path("/dev/full").write_bytes(b"x")
    assert is_disk_full(caught.value)
    assert not is_disk_full(FileNotFoundError(errno.ENOENT, "no"))


@pytest.mark.parametrize("error", [BoundsError("no proof"), KeyboardInterrupt()], ids=["error", "interrupt"])
def test_other_errors_pass_and_leave_nothing(tmp_path, error):
    def fail(staging: Path) -> None:
        raise error

    with pytest.raises(type(error)):
        stage(tmp_path / "out", fail=fail)
    assert list(tmp_path.iterdir()) == []


def test_unwritable_parent(tmp_path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(OutputError, match="cannot be written"), staged_folder(tmp_path / "file" / "out"):
        pytest.fail("the block must not run")


def test_replaced_folder_comes_back_when_the_rename_fails(tmp_path, monkeypatch):
    output = tmp_path / "out"
    stage(output, "old")
    rename = Path.rename

    def failing(self: Path, target: Path) -> Path:
        if self.suffix == ".partial":
            raise OSError(errno.EIO, "Input/output error", str(self))
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(OutputError, match="Input/output error"):
        stage(output)
    assert contents(tmp_path) == {"out/manifest.json": b"old", "out/inner/file": b"old"}


def stage_file(output: Path, data: bytes, force: bool = True, error: Exception | None = None) -> None:
    with staged_file(output, force) as staging:
        staging.write_bytes(data)
        if error:
            raise error


def test_file(tmp_path):
    output = tmp_path / "out.tar"
    stage_file(output, b"one", force=False)
    with pytest.raises(OutputError, match="exists already"):
        stage_file(output, b"refused", force=False)
    stage_file(output, b"two")
    with pytest.raises(BoundsError):
        stage_file(output, b"three", error=BoundsError("no proof"))
    with pytest.raises(OutputError, match="is a folder"):
        stage_file(tmp_path, b"four")
    assert contents(tmp_path) == {"out.tar": b"two"}
