"""A session with a server on this machine: what it does, and what becomes of one that is lost."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import threading
from pathlib import Path

import numpy as np
import psutil
import pytest
from intbert.compiler.artifact import LIBRARY_FILE, MANIFEST_FILE
from intbert.errors import ArtifactError, InputError, RemoteError
from intbert.rpc.sessions.session import UPLOAD_CHUNK, Session, connect
from intbert.targets.features import host_arch, host_features

from ...compiler.toy_artifact import build_toy, expected
from ..server_process import ServerProcess

IDS = np.array([[1, 3, 4, 2], [1, 5, 2, 0]], np.int32)
MASK = np.array([[1, 1, 1, 1], [1, 1, 1, 0]], np.int32)
TYPES = np.array([[0, 0, 1, 1], [0, 0, 0, 0]], np.int32)


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_toy(tmp_path_factory.mktemp("artifact") / "toy")


def session_process(server: ServerProcess) -> psutil.Process:
    """The process that serves the session which is open now."""
    (child,) = psutil.Process(server.process.pid).children()
    return child


def assert_serves(server: ServerProcess) -> None:
    with server.connect() as session:
        assert session.features().arch == host_arch()


def test_features_are_those_of_the_machine(server: ServerProcess) -> None:
    with server.connect() as session:
        found = session.features()
    assert (found.arch, found.features) == (host_arch(), host_features())


@pytest.mark.parametrize("packed", [False, True], ids=["folder", "tar"])
def test_uploaded_artifact_computes(server: ServerProcess, artifact: Path, packed: bool, tmp_path: Path) -> None:
    if packed:
        artifact = Path(shutil.make_archive(str(tmp_path / "toy"), "tar", artifact))
    with server.connect() as session:
        output = session.load(session.upload(artifact), threads=1).run(IDS, MASK, TYPES)
    wanted = expected(IDS, MASK, TYPES, per_token=False)
    assert output.dtype == wanted.dtype
    np.testing.assert_array_equal(output, wanted)


def test_mask_and_types_may_be_left_out(server: ServerProcess, artifact: Path) -> None:
    with server.connect() as session:
        output = session.load(session.upload(artifact)).run(IDS)
    np.testing.assert_array_equal(output, expected(IDS, np.ones_like(IDS), np.zeros_like(IDS), per_token=False))


@pytest.mark.parametrize("size", [0, 1, UPLOAD_CHUNK, 2 * UPLOAD_CHUNK + 3])
def test_upload_keeps_every_byte_and_tells_its_progress(server: ServerProcess, tmp_path: Path, size: int) -> None:
    data = np.random.default_rng(size).bytes(size)
    (tmp_path / "file").write_bytes(data)
    seen: list[tuple[int, int]] = []
    with server.connect() as session, session.limit("reading the file back"):
        name = session.upload(tmp_path / "file", progress=lambda sent, total: seen.append((sent, total)))
        assert bytes(session.remote.download(name)) == data
    assert seen[-1] == (size, size)
    assert seen == sorted(set(seen))


def test_an_artifact_larger_than_the_memory_is_refused(server: ServerProcess, artifact: Path, tmp_path: Path) -> None:
    huge = Path(shutil.copytree(artifact, tmp_path / "huge"))
    path = huge / MANIFEST_FILE
    document = json.loads(path.read_text())
    document["files"][LIBRARY_FILE]["bytes"] = 10**15
    path.write_text(json.dumps(document))
    with server.connect() as session:
        session.check(artifact)
        with pytest.raises(ArtifactError, match=r"take 1000000000 MB of memory and \d+ MB are available"):
            session.check(huge)


def test_an_upload_of_nothing_is_refused(server: ServerProcess, tmp_path: Path) -> None:
    with server.connect() as session, pytest.raises(ArtifactError, match="holds no files"):
        session.upload(tmp_path)


def test_errors_of_the_board_keep_their_type(server: ServerProcess, artifact: Path, tmp_path: Path) -> None:
    (tmp_path / "broken").mkdir()
    shutil.copy(artifact / "model.so", tmp_path / "broken")
    with server.connect() as session:
        with pytest.raises(ArtifactError, match=r"^127\.0\.0\.1:\d+: .*manifest\.json"):
            session.load(session.upload(tmp_path / "broken"))
        model = session.load(session.upload(artifact))
        with pytest.raises(InputError, match="the vocabulary"):
            model.run(np.full((1, 4), 99))
        model.run(IDS)  # an error costs neither the session nor the model


@pytest.mark.parametrize("name", ["../outside", "/etc", "a/../../b", ""])
def test_names_stay_inside_the_sessions_folder(server: ServerProcess, name: str) -> None:
    with server.connect() as session, pytest.raises(RemoteError, match="not a name inside"):
        session.load(name)


def test_a_session_forgets_what_the_one_before_uploaded(server: ServerProcess, artifact: Path) -> None:
    with server.connect() as session:
        name = session.upload(artifact)
    with server.connect() as session, pytest.raises(ArtifactError):
        session.load(name)


def test_wrong_key_is_refused(server: ServerProcess) -> None:
    with pytest.raises(RemoteError, match="refused the key"):
        connect(server.host, server.port, "not the key")
    assert_serves(server)


def test_a_connection_that_fails_leaves_no_socket(server: ServerProcess) -> None:
    """TVM forgets its own when the far end closes in the middle of the handshake."""
    assert_serves(server)  # what TVM opens when it is first used stays open
    before = psutil.Process().num_fds()
    for _ in range(3):
        with socket.create_server(("127.0.0.1", 0)) as listener:

            def hang_up(listener: socket.socket = listener) -> None:
                connection, _ = listener.accept()
                connection.recv(4)
                connection.close()

            thread = threading.Thread(target=hang_up)
            thread.start()
            with pytest.raises(RemoteError):
                connect("127.0.0.1", listener.getsockname()[1], "key", timeout=30.0)
            thread.join()
    with pytest.raises(RemoteError, match="refused the key"):
        connect(server.host, server.port, "not the key")
    assert psutil.Process().num_fds() == before


def test_client_that_is_not_one_of_tvm_is_dropped(server: ServerProcess) -> None:
    with socket.create_connection((server.host, server.port), timeout=30) as stranger:
        stranger.sendall(b"GET / HTTP/1.1\r\n\r\n")
        with contextlib.suppress(ConnectionResetError):
            assert stranger.recv(1) == b""
    assert_serves(server)


def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(RemoteError, match=r"cannot connect .* is the server running\?"):
        connect("127.0.0.1", port, "key")


def test_a_server_that_never_answers_is_given_up() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        pytest.raises(RemoteError, match="no answer within"),
    ):
        connect("127.0.0.1", listener.getsockname()[1], "key", timeout=0.3)


def test_a_board_that_hangs_is_given_up(server: ServerProcess) -> None:
    with server.connect(timeout=0.5) as session:
        session.features()
        os.kill(session_process(server).pid, signal.SIGSTOP)
        with pytest.raises(RemoteError, match=r"reading its features failed: no answer within 0\.5 s"):
            session.features()
        with pytest.raises(RemoteError, match="the session is closed; connect again"):
            session.features()
    assert_serves(server)


def test_a_limit_holds_for_all_that_is_inside(server: ServerProcess, tmp_path: Path) -> None:
    """Not just until the first call inside has its answer."""

    def two_calls(session: Session) -> None:
        with session.limit("two calls", seconds=0.5):
            session.features()
            os.kill(session_process(server).pid, signal.SIGSTOP)
            session.features()

    with (
        server.connect() as session,
        pytest.raises(RemoteError, match=r"two calls failed: no answer within 0\.5 s"),
    ):
        two_calls(session)
    assert_serves(server)


def test_errors_of_the_board_keep_their_type_inside_a_limit(server: ServerProcess) -> None:
    with server.connect() as session, pytest.raises(ArtifactError), session.limit("loading"):
        session.load("nothing")


def test_waits_under_the_global_lock_end_too(server: ServerProcess) -> None:
    """TVM frees a remote object with a call that holds Python's lock, so no thread of ours could end it."""
    with server.connect() as session:
        with session.limit("freeing a remote object", seconds=0.5):
            function = session.remote.get_function("intbert.features")
            os.kill(session_process(server).pid, signal.SIGSTOP)
            del function
        with pytest.raises(RemoteError):
            session.features()
    assert_serves(server)


def test_a_session_whose_process_dies_is_lost_and_the_server_is_not(server: ServerProcess) -> None:
    with server.connect() as session:
        child = session_process(server)
        child.suspend()
        threading.Timer(0.2, child.kill).start()
        with pytest.raises(RemoteError, match=r"reading its features failed: .*SIGKILL"):
            session.features()
    assert_serves(server)
    assert "SIGKILL" in server.log.read_text()
