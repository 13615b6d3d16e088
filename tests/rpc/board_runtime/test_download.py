"""The real pip, asked for wheels in a folder; and what it says where there is none."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from intbert.errors import OutputError, RemoteError, ToolchainError, UnsuitableBoardError
from intbert.rpc.board_runtime import BoardPlatform
from intbert.rpc.board_runtime.download import PipIndex
from intbert.rpc.board_runtime.requirements import wanted_packages
from intbert.rpc.board_runtime.slim import LIBRARIES, slim
from intbert.rpc.board_runtime.unsuitable import no_wheel
from intbert.rpc.board_runtime.wheel_format import WheelName, wheel_bytes
from intbert.rpc.board_runtime.wheelhouse import WheelFile

PI = BoardPlatform((3, 11), "aarch64", (2, 36))
WHEELS = (
    "some_thing-1.0-cp311-cp311-manylinux_2_27_aarch64.manylinux_2_28_aarch64.whl",
    "some_thing-2.0-cp311-cp311-manylinux_2_31_aarch64.whl",
    "some_thing-2.0-cp312-cp312-manylinux_2_31_aarch64.whl",
    "some_thing-3.0-cp311-cp311-manylinux_2_39_aarch64.whl",
)


def write(folder: Path, file: str, members: dict[str, bytes] | None = None) -> Path:
    """A wheel of this file name that pip accepts."""
    name = WheelName.parse(file)
    described = f"Metadata-Version: 2.1\nName: {name.distribution}\nVersion: {name.version}\n"
    tags = f"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: false\nTag: {name.tags}\n"
    metadata = {f"{name.folder}/METADATA": described.encode(), f"{name.folder}/WHEEL": tags.encode()}
    path = folder / file
    path.write_bytes(wheel_bytes(name, {**(members or {}), **metadata}))
    return path


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PipIndex:
    """pip, which knows no wheels but ``WHEELS``, and no configuration of this machine."""
    folder = tmp_path / "index"
    folder.mkdir()
    for file in WHEELS:
        write(folder, file)
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return PipIndex()


@pytest.mark.parametrize(
    ("platform", "requirement", "wheel"),
    [
        pytest.param(PI, "some-thing", WHEELS[1], id="newest-that-the-glibc-allows"),
        pytest.param(replace(PI, glibc=(2, 39)), "some-thing", WHEELS[3], id="newer-glibc"),
        pytest.param(replace(PI, glibc=(2, 27)), "some-thing", WHEELS[0], id="older-glibc"),
        pytest.param(PI, "some-thing==1.0", WHEELS[0], id="exact"),
        pytest.param(replace(PI, python=(3, 12)), "some-thing", WHEELS[2], id="another-python"),
        pytest.param(PI, "some-thing==9", None, id="no-such-version"),
        pytest.param(replace(PI, glibc=(2, 26)), "some-thing", None, id="glibc-too-old"),
        pytest.param(replace(PI, arch="x86_64"), "some-thing", None, id="another-architecture"),
    ],
)
def test_found_and_downloaded(
    index: PipIndex, tmp_path: Path, platform: BoardPlatform, requirement: str, wheel: str | None
) -> None:
    (tmp_path / "here").mkdir()
    downloaded = index.download(requirement, platform, tmp_path / "here")
    assert downloaded == (None if wheel is None else tmp_path / "here" / wheel)
    assert index.find(requirement, platform) == wheel
    assert [path.name for path in (tmp_path / "here").iterdir()] == ([] if wheel is None else [wheel])


@pytest.mark.parametrize(
    ("platform", "requirement", "kind", "message"),
    [
        pytest.param(
            replace(PI, glibc=(2, 26)),
            "some-thing==1.0",
            UnsuitableBoardError,
            r"the board has glibc 2\.26, but some-thing==1\.0 needs 2\.27 or later",
            id="glibc",
        ),
        pytest.param(
            replace(PI, python=(3, 13)),
            "some-thing==2.0",
            UnsuitableBoardError,
            r"some-thing==2\.0 has no wheel for Python 3\.13 on aarch64, only for 3\.11, 3\.12;",
            id="python",
        ),
        pytest.param(
            PI, "another", RemoteError, "no wheel of another for any Python on aarch64", id="not-in-the-index"
        ),
    ],
)
def test_why_there_is_none(
    index: PipIndex, platform: BoardPlatform, requirement: str, kind: type[Exception], message: str
) -> None:
    error = no_wheel(index, requirement, platform)
    assert type(error) is kind
    assert re.search(message, str(error))


@pytest.mark.usefixtures("index")
def test_nobody_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PIP_NO_INDEX", "PIP_FIND_LINKS"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "1")
    with pytest.raises(RemoteError, match=r"download some-thing .*connection broken.*no index reachable\?") as caught:
        PipIndex().download("some-thing", PI, tmp_path)
    assert "\n" not in str(caught.value)


def test_a_name_that_is_none(index: PipIndex, tmp_path: Path) -> None:
    with pytest.raises(ToolchainError, match=r"pip cannot download no name for the board .*Invalid requirement"):
        index.download("no name", PI, tmp_path)


@pytest.mark.parametrize(
    ("report", "kind", "message"),
    [
        pytest.param(
            "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device",
            OutputError,
            r"No space left on device\); make room",
            id="disk-full",
        ),
        pytest.param(
            "Traceback (most recent call last):\n  File ...\nReadTimeoutError: host='pypi.org': Read timed out.",
            RemoteError,
            r"Read timed out\.\); no index reachable",
            id="network-lost-on-the-way",
        ),
        pytest.param(
            "WARNING: Retrying after connection broken by 'NameResolutionError'\nERROR: No matching distribution found",
            RemoteError,
            "NameResolutionError.*no index reachable",
            id="no-network",
        ),
        pytest.param(
            "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES\n    Got 123",
            ToolchainError,
            r"DO NOT MATCH THE HASHES\); run the same",
            id="other",
        ),
        pytest.param("", ToolchainError, r"it said nothing\); run the same", id="silent"),
    ],
)
def test_what_pip_reports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, report: str, kind: type[Exception], message: str
) -> None:
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\ncat >&2 <<'end'\n{report}\nend\nexit 1\n")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    with pytest.raises(kind, match=message) as caught:
        PipIndex().download("some-thing", PI, tmp_path)
    assert type(caught.value) is kind
    assert "\n" not in str(caught.value)


def test_no_pip_on_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ToolchainError, match=r"has none; run `.* -m ensurepip`"):
        PipIndex().download("some-thing", PI, tmp_path)


def test_pip_that_does_not_end(index: PipIndex, tmp_path: Path) -> None:
    with pytest.raises(RemoteError, match=r"not downloaded within 0\.001 s"):
        replace(index, seconds=0.001).download("some-thing", PI, tmp_path)


def test_pip_installs_the_slim_wheel(tmp_path: Path) -> None:
    """As a board does it: by its hash, from a folder. The version asked for is the plain one, the slim one fits."""
    whole = write(tmp_path, "apache_tvm-1.0.post1-py3-none-any.whl", dict.fromkeys(LIBRARIES, b"ELF"))
    (tmp_path / "wheels").mkdir()
    slimmed = WheelFile.at(slim(whole, tmp_path / "wheels"))
    plain = slimmed.requirement.replace("+intbert.runtime", "")
    for requirement in (slimmed.requirement, plain):
        (tmp_path / "requirements.txt").write_text(requirement)
        command = [sys.executable, "-m", "pip", "--isolated", "install", "--quiet", "--no-index", "--no-deps"]
        command += ["--require-hashes", "--upgrade", f"--find-links={tmp_path / 'wheels'}", "--no-compile"]
        command += [f"--target={tmp_path / 'site'}", f"--requirement={tmp_path / 'requirements.txt'}"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        assert all((tmp_path / "site" / library).read_bytes() == b"ELF" for library in LIBRARIES)


@pytest.mark.parametrize("python", [(3, 10), (3, 13)], ids="{0[0]}.{0[1]}".format)
def test_other_pythons_have_wheels_of_everything(python: tuple[int, int]) -> None:
    """Asks the real index and downloads nothing."""
    platform = replace(PI, python=python)
    try:
        found = {
            wanted.name: next(filter(None, (PipIndex().find(choice, platform) for choice in wanted.choices)), None)
            for wanted in wanted_packages()
        }
    except RemoteError as reason:
        pytest.skip(f"pip reaches no index: {reason}")
    assert None not in found.values(), found
    assert f"-cp3{python[1]}-" in str(found["numpy"])
