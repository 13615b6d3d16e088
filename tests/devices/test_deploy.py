"""A bundle on a board, deployed over real ssh: it runs there without intbert, and gives this machine's integers."""

from __future__ import annotations

import json
import shlex
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from intbert.compiler.runtime import load

from ..compiler.toy_artifact import build_toy
from .cable import Cable
from .desk import SECONDS, Desk, within
from .ssh_board import SshBoard

pytestmark = pytest.mark.usefixtures("seated")

TEXTS = ["one two three", "four", "five five"]
FOLDER = "model of $(touch owned) 'mine'"


@pytest.fixture(scope="module")
def toy_here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_toy(tmp_path_factory.mktemp("toy-here") / "artifact")


@pytest.fixture(scope="module")
def deployed(desk: Desk, pi: SshBoard, toy: Path) -> Iterator[dict[str, Any]]:
    """What the command said. Afterwards the board's home is as it was."""
    before = set(pi.home.iterdir())
    with desk.seated():
        yield desk.json("deploy", toy, "--device", "pi", "--to", FOLDER, "--service", "toy")
    for path in set(pi.home.iterdir()) - before:
        shutil.rmtree(path)


@pytest.fixture
def without_intbert(pi: SshBoard) -> Iterator[None]:
    """As after `device remove`."""
    ours, aside = pi.home / ".intbert", pi.home.parent / "aside"
    ours.rename(aside)
    yield
    aside.rename(ours)


def on_board(pi: SshBoard, *command: str) -> str:
    done = pi.run(shlex.join(command))
    assert done.returncode == 0, done.stderr
    return done.stdout


def eventually(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_it_is_in_its_folder_and_nowhere_else(deployed: dict[str, Any], pi: SshBoard) -> None:
    assert deployed["folder"] == f"/home/pi/{FOLDER}"
    assert {path.name for path in pi.home.iterdir()} == {".intbert", FOLDER}
    assert deployed["service"] == {
        "unit": f"/home/pi/{FOLDER}/toy.service",
        "problem": "the board has no systemctl",
    }


@pytest.mark.usefixtures("without_intbert")
def test_run_gives_the_integers_of_this_machine(deployed: dict[str, Any], pi: SshBoard, toy_here: Path) -> None:
    lines = on_board(pi, f"/home/pi/{FOLDER}/run", "--integers", *TEXTS).splitlines()
    wanted = load(toy_here).run_texts(TEXTS)
    assert np.array([line.split() for line in lines], wanted.dtype).tobytes() == wanted.tobytes()


@pytest.mark.usefixtures("without_intbert")
def test_python_gives_the_floats_of_this_machine(deployed: dict[str, Any], pi: SshBoard, toy_here: Path) -> None:
    program = (
        f"import sys; sys.path.insert(0, {'/home/pi/' + FOLDER!r}); import model; "
        f"sys.stdout.write(model.load()({TEXTS!r}).tobytes().hex())"
    )
    assert on_board(pi, "python3", "-c", program) == load(toy_here)(TEXTS).tobytes().hex()


@pytest.mark.usefixtures("without_intbert")
def test_the_server_answers_until_it_is_told_to_end(deployed: dict[str, Any], pi: SshBoard, toy_here: Path) -> None:
    serve = shlex.quote(f"/home/pi/{FOLDER}/serve")
    pid = pi.run(f"{serve} --socket /home/pi/toy.sock </dev/null >/dev/null 2>&1 & echo $!").stdout.strip()
    path = pi.home / "toy.sock"
    eventually(path.exists)
    assert path.stat().st_mode & 0o777 == 0o600
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(SECONDS)
        client.connect(str(path))
        with client.makefile("rwb") as stream:
            for request in ({"texts": TEXTS, "integers": True}, {"texts": []}):
                stream.write(json.dumps(request).encode() + b"\n")
            stream.flush()
            outputs = json.loads(stream.readline())["outputs"]
            assert outputs == load(toy_here).run_texts(TEXTS).tolist()
            assert "0 texts" in json.loads(stream.readline())["error"]
    assert len(pi.processes()) == 1
    on_board(pi, "kill", pid)
    eventually(lambda: pi.processes() == [])
    assert not path.exists()


def test_what_the_board_has_is_not_sent_again(
    deployed: dict[str, Any], desk: Desk, pi: SshBoard, toy: Path, toy_here: Path
) -> None:
    line = desk.refusal("deploy", toy, "--device", "pi", "--to", FOLDER)
    assert "is a bundle already; pass --force" in line
    again = desk.json("deploy", toy, "--device", "pi", "--to", FOLDER, "--force")
    assert again["sent_bytes"] < 30_000
    assert not (pi.home / FOLDER / "toy.service").exists()
    assert (pi.home / FOLDER / "run").exists()


def test_a_transfer_that_is_cut_leaves_no_bundle(desk: Desk, pi: SshBoard, tmp_path: Path) -> None:
    artifact = build_toy(tmp_path / "artifact", target_name="aarch64")
    library = artifact / "model.so"
    _grow(library, 4 << 20)
    _rewrite_manifest(artifact)
    before = {path.name for path in pi.home.iterdir()}
    with Cable(("127.0.0.1", pi.port)) as cable, within(SECONDS):
        desk.know(pi, "pi4", cable)
        try:
            cable.cut_after(1 << 20)
            assert "failed" in desk.refusal("deploy", artifact, "--device", "pi", "--to", "cut")
        finally:
            desk.know(pi, "pi4")
    assert {path.name for path in pi.home.iterdir()} == before


def _grow(file: Path, count: int) -> None:
    """Appends what no compression makes small."""
    with file.open("ab") as library:
        library.write(np.random.default_rng(0).bytes(count))


def _rewrite_manifest(artifact: Path) -> None:
    from intbert.compiler.artifact import read_manifest, write_manifest

    write_manifest(read_manifest(artifact), artifact)
