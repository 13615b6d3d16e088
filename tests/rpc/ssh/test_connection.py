"""What a connection does, and how it ends."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from intbert.errors import RemoteError
from intbert.rpc.sessions.connection import Completed
from intbert.rpc.ssh import Login, SshConnection

from ...devices.cable import Cable
from .conftest import SECONDS, Server

HOSTILE = ["a b", "$(touch x)", "`touch x`", "; rm -rf /nonexistent", "'", '"', "-n", "\\", "*", "~", "é\t", "a\nb", ""]
CLIENT = "import socket, sys; s = socket.create_connection(('127.0.0.1', int(sys.argv[1])), 5); print(s.recv(100))"


@pytest.mark.parametrize("word", HOSTILE)
def test_words_arrive_as_they_are(connection: SshConnection, word: str) -> None:
    done = connection.run(["printf", "%s|%s", word, "end"], seconds=SECONDS)
    assert done == Completed(0, f"{word}|end", "")


def test_status_output_and_errors(connection: SshConnection) -> None:
    done = connection.run(["sh", "-c", "cat; echo problem >&2; exit 7"], input=b"\x00\xff" * 10, seconds=SECONDS)
    assert done == Completed(7, "\x00\ufffd" * 10, "problem\n")


def test_much_output_and_much_input(connection: SshConnection) -> None:
    data = b"0123456789" * 300_000
    assert connection.run(["cat"], input=data, seconds=SECONDS).output.encode() == data


def test_a_silent_command_is_given_up_and_the_connection_goes_on(connection: SshConnection) -> None:
    with pytest.raises(RemoteError, match=r"board: `sleep 60`: no answer within 0\.5 s"):
        connection.run(["sleep", "60"], seconds=0.5)
    assert connection.run(["true"], seconds=SECONDS).status == 0


def test_a_command_that_never_stops_talking_is_given_up(connection: SshConnection) -> None:
    with pytest.raises(RemoteError, match=r"no answer within 0\.5 s"):
        connection.run(["yes"], seconds=0.5)


def test_files_are_sent_whole(connection: SshConnection, tmp_path: Path) -> None:
    data = bytes(range(256)) * 5000
    (tmp_path / "source").write_bytes(data)
    target = tmp_path / "a name with 'quotes' $(and more)"
    seen: list[tuple[int, int]] = []
    connection.send(
        tmp_path / "source", str(target), progress=lambda sent, total: seen.append((sent, total)), seconds=SECONDS
    )
    assert target.read_bytes() == data
    assert seen[-1] == (len(data), len(data))
    assert sorted(path.name for path in tmp_path.iterdir() if "partial" in path.name) == []


def test_a_file_that_cannot_be_written(connection: SshConnection, tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"x")
    with pytest.raises(RemoteError, match=r"sending source to .*/absent/x failed .*No such file"):
        connection.send(tmp_path / "source", str(tmp_path / "absent" / "x"), seconds=SECONDS)
    connection.run(["true"], seconds=SECONDS)


def test_an_upload_that_is_cut_leaves_no_file(server: Server, tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(os.urandom(1 << 20))
    with Cable(("127.0.0.1", server.sshd.port)) as cable:
        connection = SshConnection(_through(server, cable), SECONDS)
        cable.cut_after(1 << 19)
        with pytest.raises(RemoteError, match=r"sending source failed: the ssh connection was lost"):
            connection.send(tmp_path / "source", str(tmp_path / "target"), seconds=SECONDS)
        connection.close()
    assert not (tmp_path / "target").exists()


def test_a_started_program_hears_that_the_connection_lives_until_it_does_not(
    connection: SshConnection, tmp_path: Path
) -> None:
    script = "echo ready; read beat; touch heard; while read beat; do :; done; touch ended"
    line = connection.start(["sh", "-c", f"cd {tmp_path}; {script}"], seconds=SECONDS)
    assert line == "ready"
    wait_for(tmp_path / "heard")
    assert not (tmp_path / "ended").exists()
    connection.close()
    wait_for(tmp_path / "ended")


def test_a_program_that_does_not_start(connection: SshConnection) -> None:
    with pytest.raises(RemoteError, match=r"`sh -c 'echo no >&2; exit 1'` ended at once \(no\)"):
        connection.start(["sh", "-c", "echo no >&2; exit 1"], seconds=SECONDS)
    with pytest.raises(RemoteError, match=r"no answer within 0\.5 s"):
        connection.start(["sleep", "60"], seconds=0.5)


def test_a_forward_carries_bytes_both_ways(connection: SshConnection) -> None:
    with socket.create_server(("127.0.0.1", 0)) as far:
        port = connection.forward(far.getsockname()[1], seconds=SECONDS)
        for _ in range(2):
            with socket.create_connection(("127.0.0.1", port), SECONDS) as near:
                end, _ = far.accept()
                near.sendall(b"ping")
                assert end.recv(10) == b"ping"
                end.sendall(b"pong" * 100_000)
                end.close()
                received = b"".join(iter(lambda near=near: near.recv(65536), b""))
                assert received == b"pong" * 100_000


def test_a_forward_to_nobody_closes(connection: SshConnection) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        unused = taken.getsockname()[1]
    port = connection.forward(unused, seconds=SECONDS)
    with socket.create_connection(("127.0.0.1", port), SECONDS) as near:
        assert near.recv(1) == b""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can run a program as another user")
def test_another_user_of_this_machine_cannot_use_the_forward(connection: SshConnection) -> None:
    """The kernel says whose socket has connected; a stranger's is closed before a byte reaches the board."""
    with socket.create_server(("127.0.0.1", 0)) as far:
        far.settimeout(0.5)
        port = connection.forward(far.getsockname()[1], seconds=SECONDS)
        python = "/usr/bin/python3"  # one that the other user may run
        if not Path(python).exists():
            pytest.skip(f"no {python} for the other user")
        command = [python, "-I", "-c", CLIENT, str(port)]
        stranger = subprocess.run(
            command, user=65534, group=65534, extra_groups=[], cwd="/", capture_output=True, text=True, timeout=SECONDS
        )
        assert stranger.stdout == "b''\n" or "ConnectionResetError" in stranger.stderr
        with pytest.raises(TimeoutError):
            far.accept()
        with socket.create_connection(("127.0.0.1", port), SECONDS):
            far.accept()[0].close()


def test_a_cut_connection_is_a_typed_error_at_once(server: Server) -> None:
    with Cable(("127.0.0.1", server.sshd.port)) as cable:
        connection = SshConnection(_through(server, cable), SECONDS)
        cable.cut()
        with pytest.raises(RemoteError, match="the ssh connection was lost"):
            connection.run(["true"], seconds=SECONDS)
        connection.close()


def test_a_silent_network_is_found_out(server: Server) -> None:
    """No byte comes and no end either: TCP would wait for a quarter of an hour."""
    with Cable(("127.0.0.1", server.sshd.port)) as cable:
        connection = SshConnection(_through(server, cable), SECONDS, silence=2.0)
        cable.freeze()
        start = time.monotonic()
        with pytest.raises(RemoteError):
            connection.run(["true"], seconds=600.0)
        assert time.monotonic() - start < SECONDS
        connection.close()


def test_a_killed_process_is_a_typed_error(server: Server) -> None:
    before = set(psutil.Process().children())
    connection = server.connect()
    (process,) = set(psutil.Process().children()) - before
    process.send_signal(signal.SIGKILL)
    with pytest.raises(RemoteError, match="the connection's process ended; connect again"):
        connection.run(["true"], seconds=SECONDS)
    connection.close()


def test_closing_leaves_no_process_and_may_be_repeated(server: Server) -> None:
    before = set(psutil.Process().children())
    connection = server.connect()
    sent = connection.sent_bytes
    assert 0 < sent < 10_000
    connection.close()
    connection.close()
    assert set(psutil.Process().children()) == before
    assert connection.sent_bytes == sent
    with pytest.raises(RemoteError, match="the connection is closed; connect again"):
        connection.run(["true"], seconds=SECONDS)


def test_the_process_ends_with_its_parent(server: Server, tmp_path: Path) -> None:
    """Killed without a word, as an impatient user does it."""
    login = server.login()
    code = (
        "import os, sys, psutil; from pathlib import Path; from intbert.rpc.ssh import Login, SshConnection; "
        "from intbert.rpc.devices.address import Address; "
        f"accepted, config = Path({str(login.accepted_keys)!r}), Path({str(login.config)!r}); "
        "connection = SshConnection(Login(Address('board'), accepted, config=config)); "
        "print(psutil.Process().children()[0].pid, flush=True); os.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=SECONDS, cwd=tmp_path)
    deadline = time.monotonic() + SECONDS
    while psutil.pid_exists(int(done.stdout)):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _through(server: Server, cable: Cable) -> Login:
    known = server.folder / "known_hosts"
    known.write_text(known.read_text().replace(str(server.sshd.port), str(cable.port)))
    return server.login(port=cable.port)


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + SECONDS
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} never came"
        time.sleep(0.05)
