"""A board's wheels: slimmed, made, chosen and kept, with an index of tiny wheels in place of pip's."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import intbert
import pytest
from intbert.errors import OutputError, RemoteError, ToolchainError, UnsuitableBoardError
from intbert.rpc.board_runtime import BoardPlatform, Wheelhouse, prepare_wheels
from intbert.rpc.board_runtime.own_wheel import own_wheel
from intbert.rpc.board_runtime.slim import LIBRARIES, slim
from intbert.rpc.board_runtime.wheel_format import WheelName, member_names, wheel_bytes
from intbert.targets.versions import PINNED

PI = BoardPlatform((3, 11), "aarch64", (2, 36))
TVM = "apache_tvm-0.27.0.post1-py3-none-manylinux_2_28_aarch64.whl"


def wheel(folder: Path, file: str, members: Mapping[str, bytes] | None = None) -> Path:
    """A wheel of this file name, with metadata."""
    name = WheelName.parse(file)
    described = f"Metadata-Version: 2.1\nName: {name.distribution}\nVersion: {name.version}\n\nText.\n"
    path = folder / file
    path.write_bytes(wheel_bytes(name, {**(members or {}), f"{name.folder}/METADATA": described.encode()}))
    return path


def tvm(folder: Path, **more: bytes) -> Path:
    return wheel(
        folder,
        TVM,
        {**dict.fromkeys(LIBRARIES, b"ELF"), "tvm/__init__.py": b"import much", "tvm/lib/libtvm_compiler.so": b"big"},
    )


@dataclass
class Index:
    """Has one wheel of everything, for Python ``pythons`` and glibc from ``glibc`` on."""

    pythons: tuple[tuple[int, int], ...] = ((3, 10), (3, 11), (3, 13))
    glibc: tuple[int, int] = (2, 28)
    reachable: bool = True
    asked: list[str] = field(default_factory=list)

    def find(self, requirement: str, platform: BoardPlatform) -> str | None:
        if not self.reachable:
            raise RemoteError("no index reachable?")
        if platform.python not in self.pythons or platform.glibc < self.glibc:
            return None
        name, _, version = requirement.partition("==")
        plain = name.partition(">")[0].replace("-", "_")
        return f"{plain}-{version or '9.9'}-cp3-none-manylinux_2_{self.glibc[1]}_{platform.arch}.whl"

    def download(self, requirement: str, platform: BoardPlatform, folder: Path) -> Path | None:
        self.asked.append(requirement)
        file = self.find(requirement, platform)
        if file is None:
            return None
        return tvm(folder) if requirement.startswith("apache-tvm==") else wheel(folder, file)


@pytest.fixture
def index() -> Index:
    return Index()


@pytest.fixture
def prepared(index: Index, tmp_path: Path) -> Wheelhouse:
    return prepare_wheels(PI, tmp_path / "cache", index=index)


def record(path: Path) -> dict[str, tuple[str, str]]:
    with zipfile.ZipFile(path) as archive:
        (name,) = [each for each in archive.namelist() if each.endswith("/RECORD")]
        rows = csv.reader(io.StringIO(archive.read(name).decode()))
        return {row[0]: (row[1], row[2]) for row in rows}


def assert_record_is_right(path: Path) -> None:
    rows = record(path)
    with zipfile.ZipFile(path) as archive:
        assert sorted(rows) == sorted(archive.namelist())
        for name, (digest, size) in rows.items():
            if not name.endswith("/RECORD"):
                content = archive.read(name)
                wanted = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip("=")
                assert (digest, size) == (f"sha256={wanted}", str(len(content)))


def test_all_that_a_board_needs_is_there_with_its_hash(prepared: Wheelhouse) -> None:
    packages = {file.package for file in prepared.files}
    assert {"apache-tvm", "apache-tvm-ffi", "numpy", "tokenizers", "intbert", "pip"} <= packages
    for file in prepared.files:
        content = file.path.read_bytes()
        assert (file.sha256, file.size) == (hashlib.sha256(content).hexdigest(), len(content))
        assert (f"--hash=sha256:{file.sha256}" in prepared.requirements) == (file.name != prepared.pip)
    for name, version in PINNED.items():
        assert f"\n{name}=={version}" in f"\n{prepared.requirements}"


def test_the_same_board_gets_the_same_runtime_without_asking_again(
    prepared: Wheelhouse, index: Index, tmp_path: Path
) -> None:
    asked = len(index.asked)
    again = prepare_wheels(PI, tmp_path / "cache", index=index)
    assert again == prepared
    assert again.digest == prepared.digest
    assert len(index.asked) == asked


def test_another_cache_gives_the_same_bytes(prepared: Wheelhouse, tmp_path: Path) -> None:
    other = prepare_wheels(PI, tmp_path / "other", index=Index())
    assert other.digest == prepared.digest


def test_a_wheel_that_was_damaged_in_the_cache_is_fetched_anew(
    prepared: Wheelhouse, index: Index, tmp_path: Path
) -> None:
    numpy = next(file for file in prepared.files if file.package == "numpy")
    numpy.path.write_bytes(numpy.path.read_bytes()[:-1])
    assert prepare_wheels(PI, tmp_path / "cache", index=index).digest == prepared.digest
    assert sum(each.startswith("numpy") for each in index.asked) == 2


def test_a_download_that_was_interrupted_leaves_nothing_half_made(index: Index, tmp_path: Path) -> None:
    class Interrupted(Index):
        def download(self, requirement: str, platform: BoardPlatform, folder: Path) -> Path | None:
            found = super().download(requirement, platform, folder)
            if requirement.startswith("numpy"):
                raise KeyboardInterrupt
            return found

    with pytest.raises(KeyboardInterrupt):
        prepare_wheels(PI, tmp_path / "cache", index=Interrupted())
    assert not list((tmp_path / "cache").glob("unfinished-*"))
    assert {file.package for file in prepare_wheels(PI, tmp_path / "cache", index=index).files} >= {"numpy"}


def test_the_newest_that_will_do_where_this_environments_version_has_no_wheel(tmp_path: Path) -> None:
    class OnlyNewNumpy(Index):
        def find(self, requirement: str, platform: BoardPlatform) -> str | None:
            return None if requirement.startswith("numpy==") else super().find(requirement, platform)

    chosen = prepare_wheels(PI, tmp_path / "cache", index=OnlyNewNumpy())
    assert "numpy==9.9 " in chosen.requirements


@pytest.mark.parametrize(
    ("platform", "message"),
    [
        pytest.param(BoardPlatform((3, 11), "aarch64", (2, 27)), r"glibc 2\.27, but .* needs 2\.28", id="glibc"),
        pytest.param(BoardPlatform((3, 12), "aarch64", (2, 36)), r"no wheel for Python 3\.12 .* 3\.13", id="python"),
    ],
)
def test_a_board_that_no_wheel_is_for(index: Index, tmp_path: Path, platform: BoardPlatform, message: str) -> None:
    with pytest.raises(UnsuitableBoardError, match=message):
        prepare_wheels(platform, tmp_path / "cache", index=index)


@pytest.mark.parametrize(
    ("python", "arch", "glibc"),
    [((3, 9), "aarch64", (2, 36)), ((3, 11), "armv7l", (2, 36)), ((3, 11), "aarch64", (2, 16))],
    ids=["python", "architecture", "glibc"],
)
def test_platforms_that_the_runtime_is_not_for(python: tuple[int, int], arch: str, glibc: tuple[int, int]) -> None:
    with pytest.raises(UnsuitableBoardError):
        BoardPlatform(python, arch, glibc)


def test_no_index_is_an_error_and_not_an_unsuitable_board(tmp_path: Path) -> None:
    with pytest.raises(RemoteError, match="no index reachable"):
        prepare_wheels(PI, tmp_path / "cache", index=Index(reachable=False))


def test_a_cache_that_cannot_be_written(index: Index, tmp_path: Path) -> None:
    (tmp_path / "cache").touch()  # a file, which even root cannot write into
    with pytest.raises(OutputError, match="cannot keep wheels there"):
        prepare_wheels(PI, tmp_path / "cache", index=index)


def test_slimming_keeps_the_runtime_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "slim").mkdir()
    path = slim(tvm(tmp_path), tmp_path / "slim")
    names = member_names(path)
    assert set(LIBRARIES) <= set(names)
    assert "tvm/lib/libtvm_compiler.so" not in names
    assert WheelName.parse(path.name).version == "0.27.0.post1+intbert.runtime"
    assert_record_is_right(path)
    first = path.read_bytes()
    assert slim(tvm(tmp_path), tmp_path / "slim").read_bytes() == first


@pytest.mark.parametrize("hostile", ["../outside", "/etc/passwd", "tvm/../../x", "a\\b"])
def test_a_wheel_that_leads_out_of_its_folder_is_refused(tmp_path: Path, hostile: str) -> None:
    path = wheel(tmp_path, TVM, {**dict.fromkeys(LIBRARIES, b"ELF"), hostile: b"x"})
    with pytest.raises(ToolchainError, match="a name that leads out of it"):
        slim(path, tmp_path)


@pytest.mark.parametrize("content", [b"", b"no zip"], ids=["empty", "text"])
def test_a_wheel_that_is_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / TVM).write_bytes(content)
    with pytest.raises(ToolchainError, match="is damaged"):
        slim(tmp_path / TVM, tmp_path)


def test_a_wheel_without_the_library(tmp_path: Path) -> None:
    with pytest.raises(ToolchainError, match="this is not the wheel that intbert knows"):
        slim(wheel(tmp_path, TVM), tmp_path)


def test_our_own_wheel_is_the_same_every_time_and_enough_for_a_server(tmp_path: Path) -> None:
    name, content = own_wheel(frozenset({"numpy"}))
    assert own_wheel(frozenset({"numpy"})) == (name, content)
    (tmp_path / name).write_bytes(content)
    assert_record_is_right(tmp_path / name)
    site = tmp_path / "site"
    with zipfile.ZipFile(tmp_path / name) as archive:
        archive.extractall(site)
    assert not (site / "intbert" / "cli").exists()
    assert not (site / "intbert" / "pyproject.toml").exists()
    program = "import sys, intbert; print(intbert.__file__); from intbert.rpc.on_board import server, supervisor, board"
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(site)!r}); {program}"],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=tmp_path,
        check=True,
    )
    assert done.stdout.strip() == str(site / "intbert" / "__init__.py")
    assert intbert.__version__ in name


def test_the_real_wheels_of_a_raspberry_pi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From pip's index, into the cache that the virtual boards have too."""
    from ...devices.userland import CACHE

    monkeypatch.setenv("XDG_CACHE_HOME", str(CACHE / "cache"))
    try:
        real = prepare_wheels(PI)
    except RemoteError as reason:
        pytest.skip(f"pip reaches no index: {reason}")
    assert sum(file.size for file in real.files) < 45e6
    slimmed = next(file for file in real.files if file.package == "apache-tvm")
    assert set(LIBRARIES) <= set(member_names(slimmed.path))
