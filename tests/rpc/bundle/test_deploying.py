"""Deploying to a board that is this machine: what is sent, what is in the bundle, and what is refused."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy
import pytest
from intbert.compiler.artifact import pack, read_manifest, write_manifest
from intbert.errors import ArtifactError, DeviceError, OutputError, RemoteError
from intbert.rpc.bundle.deploying import bundle_folder
from intbert.rpc.devices.installation import BoardFolder

from .conftest import Site


@pytest.fixture
def systemctl(site: Site) -> Iterator[Path]:
    """A systemctl on the board that writes down what it is asked; returns that file, beside which a status may lie."""
    log = site.home.parent / "systemctl.log"
    program = site.programs / "systemctl"
    program.write_text(
        f'#!/bin/sh\necho "$*" >>{log}\necho no bus >&2\nexit "$(cat {log}.status 2>/dev/null || echo 0)"\n'
    )
    program.chmod(0o755)
    yield log
    program.unlink()
    log.unlink(missing_ok=True)
    Path(f"{log}.status").unlink(missing_ok=True)


def listing(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_what_is_in_it(bundle: Path, site: Site, toy_here: Path) -> None:
    assert listing(bundle) == {
        *("artifact", "runtime", "run", "serve", "model.py", "README.txt", "bundle.json", "toy.service"),
    }
    assert listing(bundle / "artifact") == listing(toy_here)
    for file in toy_here.iterdir():
        copy = bundle / "artifact" / file.name
        assert copy.read_bytes() == file.read_bytes()
        assert copy.stat().st_nlink == 1, "what happens to the board's store must not happen to the bundle"
    document = json.loads((bundle / "bundle.json").read_text())
    assert document["manifest"] == hashlib.sha256((toy_here / "manifest.json").read_bytes()).hexdigest()
    assert document["runtime"] == site.wheels.digest
    assert (document["target"], document["arch"]) == ("host", os.uname().machine)
    assert document["packages"]["numpy"] == numpy.__version__
    assert document["service"] == "toy"
    assert f'"{bundle}/serve"'.replace("$", "$$") in (bundle / "toy.service").read_text()
    assert "toy.sock" in (bundle / "README.txt").read_text()
    assert listing(site.home) >= {bundle.name, ".intbert"}
    assert "owned" not in listing(site.home)


def test_the_rest_of_the_board_is_not_needed(bundle: Path, site: Site) -> None:
    """Nothing in it leads to ``~/.intbert``."""
    ours = str(site.home / ".intbert").encode()
    files = [file for file in bundle.rglob("*") if file.is_file() and file.suffix != ".pyc"]
    assert [file for file in files if ours in file.read_bytes()] == []
    links = [path for path in bundle.rglob("*") if path.is_symlink() and ours.decode() in str(path.readlink())]
    assert links == []


def test_again_only_on_request_and_then_little_is_sent(site: Site, toy_here: Path) -> None:
    first = site.deploy(toy_here, "again")
    with pytest.raises(OutputError, match=r"^here: .* is a bundle already; pass --force"):
        site.deploy(toy_here, "again")
    (site.home / "again" / "mine").touch()
    second = site.deploy(toy_here, "again", force=True)
    assert replace(second, sent_bytes=0) == replace(first, sent_bytes=0)
    assert second.sent_bytes < 20_000
    assert not (site.home / "again" / "mine").exists()
    assert [name for name in listing(site.home) if "partial" in name] == []


def test_an_artifact_in_one_file(site: Site, toy_here: Path, tmp_path: Path) -> None:
    pack(toy_here, tmp_path / "toy.tar")
    deployed = site.deploy(tmp_path / "toy.tar", str(tmp_path / "from tar"))
    assert deployed.folder == str(tmp_path / "from tar")
    assert listing(tmp_path / "from tar" / "artifact") == listing(toy_here)


def test_without_systemctl_the_unit_is_written(site: Site, toy_here: Path) -> None:
    deployed = site.deploy(toy_here, "served", service="bert", force=True)
    assert deployed.service is not None
    # this machine's own systemctl, if there is one, finds no manager of an account
    assert deployed.service.problem is not None
    assert deployed.service.unit == str(site.home / "served" / "bert.service")
    assert Path(deployed.service.unit).exists()


def test_with_systemctl_the_service_is_started(site: Site, toy_here: Path, systemctl: Path) -> None:
    deployed = site.deploy(toy_here, "served", service="bert", force=True)
    assert deployed.service is not None
    assert deployed.service.problem is None
    unit = site.home / "served" / "bert.service"
    asked = ["--user daemon-reload", f"--user enable {unit}", "--user restart bert.service"]
    assert systemctl.read_text().splitlines() == asked


def test_a_service_that_does_not_start_is_said(site: Site, toy_here: Path, systemctl: Path) -> None:
    Path(f"{systemctl}.status").write_text("1")
    deployed = site.deploy(toy_here, "served", service="bert", force=True)
    assert deployed.service is not None
    assert deployed.service.problem == "`systemctl --user daemon-reload` failed: no bus"
    assert (site.home / "served" / "run").exists()


@pytest.mark.parametrize(
    ("to", "message"),
    [
        pytest.param("", "no path", id="empty"),
        pytest.param("a\nb", "control characters", id="newline"),
        pytest.param("a\0b", "control characters", id="nul"),
        pytest.param("\udcff", "control characters", id="no-unicode"),
        pytest.param("/", "a folder of its own", id="root"),
        pytest.param("//", "a folder of its own", id="root-twice"),
        pytest.param(".", "a folder of its own", id="home"),
        pytest.param("~/", "a folder of its own", id="tilde"),
        pytest.param("/home/pi/", "a folder of its own", id="home-absolute"),
        pytest.param("../x", "without '..'", id="up"),
        pytest.param("/srv/../x", "without '..'", id="up-absolute"),
        pytest.param(".intbert/x", "deletes .intbert", id="ours"),
        pytest.param("//home/pi/./.intbert", "deletes .intbert", id="ours-absolute"),
    ],
)
def test_no_place_for_a_bundle(to: str, message: str) -> None:
    with pytest.raises(DeviceError, match=message):
        bundle_folder(to, BoardFolder(PurePosixPath("/home/pi")))


@pytest.mark.parametrize(
    ("to", "folder"),
    [
        ("bert", "/home/pi/bert"),
        ("~/bert", "/home/pi/bert"),
        ("-rf", "/home/pi/-rf"),
        ("/srv/a b", "/srv/a b"),
        ("//srv/$(id)", "/srv/$(id)"),
        ("/srv/.intbert", "/srv/.intbert"),
    ],
)
def test_places_for_a_bundle(to: str, folder: str) -> None:
    assert str(bundle_folder(to, BoardFolder(PurePosixPath("/home/pi")))) == folder


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param({"to": "a\nb"}, "control characters", id="folder"),
        pytest.param({"to": "x", "service": "a b"}, "no service can be called 'a b'", id="service"),
    ],
)
def test_nonsense_reaches_no_board(site: Site, toy_here: Path, arguments: dict[str, Any], message: str) -> None:
    before = len(site.board.connections)
    with pytest.raises(DeviceError, match=message):
        site.deploy(toy_here, **arguments)
    assert len(site.board.connections) == before


def test_a_damaged_artifact_reaches_no_board(site: Site, toy_here: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(toy_here, tmp_path / "copy")
    (copy / "tokenizer.json").unlink()
    before = len(site.board.connections)
    with pytest.raises(ArtifactError, match=r"tokenizer\.json is missing"):
        site.deploy(copy, "damaged")
    assert len(site.board.connections) == before


def test_an_artifact_for_another_processor_is_not_sent(site: Site, toy_here: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(toy_here, tmp_path / "copy"))
    manifest = read_manifest(copy)
    write_manifest(replace(manifest, target=replace(manifest.target, arch="sparc")), copy)
    with pytest.raises(ArtifactError, match="is for sparc"):
        site.deploy(copy, "sparc")
    assert "sparc" not in listing(site.home)


def test_a_bundle_that_does_not_run_is_not_left(site: Site, toy_here: Path, tmp_path: Path) -> None:
    """The board finds out: its check is the user's own start of the bundle."""
    copy = Path(shutil.copytree(toy_here, tmp_path / "copy"))
    (copy / "model.so").write_bytes(b"no library")
    write_manifest(read_manifest(copy), copy)
    with pytest.raises(RemoteError, match=r"here: the bundle does not run on the board: run: .*cannot be loaded"):
        site.deploy(copy, "broken")
    assert [name for name in listing(site.home) if name.startswith("broken")] == []
