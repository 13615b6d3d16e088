"""``./serve`` of a bundle, as a process: its socket, its signals, and what it tells systemd."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from intbert.compiler.runtime import load
from intbert.errors import OutputError
from intbert.rpc.bundle.serve import socket_path
from intbert.rpc.bundle.socket_file import listening

SECONDS = 60.0


@contextmanager
def serving(bundle: Path, *arguments: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """A server that has said that it is ready."""
    process = subprocess.Popen(
        [bundle / "serve", *arguments],
        stderr=subprocess.PIPE,
        text=True,
        env={"PATH": os.environ["PATH"], **environment},
    )
    assert process.stderr is not None
    try:
        assert process.stderr.readline().startswith("serve: serving at ")
        yield process
    finally:
        process.kill()
        process.wait(SECONDS)
        process.stderr.close()


def ask(path: Path, *requests: dict[str, Any]) -> list[dict[str, Any]]:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(SECONDS)
        client.connect(str(path))
        with client.makefile("rwb") as stream:
            for request in requests:
                stream.write(json.dumps(request).encode() + b"\n")
            stream.flush()
            return [json.loads(stream.readline()) for _ in requests]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP], ids=lambda number: number.name)
def test_it_serves_until_a_signal(bundle: Path, toy_here: Path, tmp_path: Path, number: signal.Signals) -> None:
    model = load(toy_here)
    with serving(bundle, XDG_RUNTIME_DIR=str(tmp_path)) as process:
        path = tmp_path / "toy.sock"
        assert path.stat().st_mode & 0o777 == 0o600
        answers = ask(
            path,
            {"texts": ["one two", "three"]},
            {"texts": [["one", "two"]], "integers": True},
            {"texts": ["one " * 20]},
        )
        assert answers[0] == {"outputs": model(["one two", "three"]).tolist()}
        assert answers[1] == {"outputs": model.run_texts([("one", "two")]).tolist()}
        assert "22 tokens" in answers[2]["error"]
        process.send_signal(number)
        assert process.wait(SECONDS) == 0
        assert not path.exists()


def test_it_ends_while_a_client_is_connected(bundle: Path, tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with serving(bundle, "--socket", str(path)) as process, socket.socket(socket.AF_UNIX) as client:
        client.settimeout(SECONDS)
        client.connect(str(path))
        client.sendall(b'{"texts": ["one"]}\n')
        with client.makefile("rb") as answers:
            assert "outputs" in json.loads(answers.readline())
            process.terminate()
            assert process.wait(SECONDS) == 0
            assert answers.read() == b""


@pytest.mark.parametrize("abstract", [False, True], ids=["path", "abstract"])
def test_systemd_is_told(bundle: Path, tmp_path: Path, abstract: bool) -> None:
    name = f"@intbert-test-{os.getpid()}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notified:
        notified.bind("\0" + name[1:] if abstract else name)
        notified.settimeout(SECONDS)
        with serving(bundle, "--socket", str(tmp_path / "socket"), NOTIFY_SOCKET=name) as process:
            assert notified.recv(100) == b"READY=1"
            process.terminate()
            assert notified.recv(100) == b"STOPPING=1"


def test_a_killed_server_s_socket_is_replaced_and_a_living_one_s_is_not(bundle: Path, tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with serving(bundle, "--socket", str(path)) as killed:
        killed.kill()
        killed.wait(SECONDS)
    assert path.exists()
    with serving(bundle, "--socket", str(path)):
        second = subprocess.run([bundle / "serve", "--socket", path], capture_output=True, text=True, check=False)
        assert second.returncode == 1
        assert "somebody serves there already" in second.stderr
        assert ask(path, {"texts": ["one"]})[0].keys() == {"outputs"}


def test_what_is_no_socket_is_not_removed(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    path.write_text("mine")
    with pytest.raises(OutputError, match="is there and is no socket"), listening(path):
        pass
    assert path.read_text() == "mine"


def test_a_socket_that_another_made_meanwhile_is_not_removed(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with listening(path):
        path.unlink()
        path.write_text("mine")
    assert path.read_text() == "mine"


def test_places_where_no_socket_can_be(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="at most 107 bytes"), listening(tmp_path / ("x" * 200)):
        pass
    with pytest.raises(OutputError, match="no socket can be made there"), listening(tmp_path / "missing" / "socket"):
        pass


@pytest.mark.parametrize(
    ("service", "runtime", "expected"),
    [
        pytest.param("toy", "{folder}/run", "{folder}/run/toy.sock", id="runtime-folder"),
        pytest.param("toy", None, "{folder}/toy.sock", id="no-runtime-folder"),
        pytest.param("toy", "{folder}/missing", "{folder}/toy.sock", id="missing"),
        pytest.param("toy", "run", "{folder}/toy.sock", id="relative"),
        pytest.param(None, "{folder}/run", "{folder}/run/intbert.sock", id="no-service"),
    ],
)
def test_where_it_listens(tmp_path: Path, service: str | None, runtime: str | None, expected: str) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "bundle.json").write_text(json.dumps({"service": service}))
    environment = {} if runtime is None else {"XDG_RUNTIME_DIR": runtime.format(folder=tmp_path)}
    assert str(socket_path(tmp_path, environment)) == expected.format(folder=tmp_path)
