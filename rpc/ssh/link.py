"""What the connection's process does over ssh: run, send, start, forward."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import paramiko

from ...errors import RemoteError
from ..sessions.connection import Completed, Progress
from ..sessions.relay_process import accept_own
from .client import SshClient

BEAT_SECONDS = 2.0
"""How often a started program hears that the connection lives."""
MOST_OUTPUT = 1 << 24
"""Bytes of a command's output that are kept."""
CHUNK = 1 << 16


@dataclass(frozen=True)
class Board:
    """The other end, in words for messages."""

    name: str

    def lost(self, doing: str, cause: object) -> RemoteError:
        """What to raise when the connection breaks."""
        return RemoteError(f"{self.name}: {doing} failed: the ssh connection was lost ({cause}); try again")

    def silent(self, doing: str, seconds: float) -> RemoteError:
        """What to raise when nothing comes."""
        return RemoteError(f"{self.name}: {doing}: no answer within {seconds:g} s; is the board overloaded or off?")


class Link:
    """The operations of :class:`..connection.Connection`, in the process that owns the ssh connection."""

    def __init__(self, client: SshClient, name: str, silence: float) -> None:
        """``silence``: a board that answers no question of ssh's own for so many seconds is lost."""
        self._silence = silence
        self._client = client
        self._transport = client.transport
        self._board = Board(name)
        _in_background(self._watch)

    @property
    def sent_bytes(self) -> int:
        """See :class:`..connection.Connection`."""
        return self._client.sent_bytes

    def run(self, command: str, input: bytes, seconds: float) -> Completed:
        """Runs a line of the board's shell to its end."""
        deadline = time.monotonic() + seconds
        channel = self._open(command, seconds)
        output, errors = bytearray(), bytearray()
        _in_background(lambda: _write_all(channel, input))
        reader = _in_background(lambda: _read_all(channel.recv_stderr, errors))
        try:
            _read_until(channel, output, deadline)
            reader.join(max(0.0, deadline - time.monotonic()))
            if not channel.status_event.wait(max(0.0, deadline - time.monotonic())):
                raise TimeoutError
        except TimeoutError:
            raise self._board.silent(_shown(command), seconds) from None
        finally:
            channel.close()
        status = channel.recv_exit_status()
        if status == -1 and not self._transport.is_active():
            raise self._board.lost(_shown(command), "it ended before the command")
        return Completed(status, output.decode(errors="replace"), errors.decode(errors="replace"))

    def send(self, file: Path, to: str, progress: Progress | None, seconds: float) -> None:
        """Copies by SFTP to a name beside ``to``, then renames."""
        partial = f"{to}.partial"
        doing = f"sending {file.name}"
        try:
            with paramiko.SFTPClient.from_transport(self._transport) or _no_sftp() as sftp:
                channel = sftp.get_channel()
                assert channel is not None
                channel.settimeout(seconds)
                with file.open("rb") as source:
                    sftp.putfo(source, partial, file.stat().st_size, progress)
                sftp.posix_rename(partial, to)
        except TimeoutError:
            raise self._board.silent(doing, seconds) from None
        except OSError as error:
            if not self._transport.is_active():
                raise self._board.lost(doing, error) from error
            raise RemoteError(
                f"{self._board.name}: {doing} to {to} failed ({error or 'no reason given'}); is the disk full?"
            ) from error
        except (paramiko.SSHException, EOFError) as error:
            raise self._board.lost(doing, error or "it was closed") from error

    def start(self, command: str, seconds: float) -> str:
        """Starts a line of the board's shell and beats for it; returns its first line of output."""
        channel = self._open(command, seconds)
        channel.settimeout(seconds)
        line, errors = bytearray(), bytearray()
        try:
            while not line.endswith(b"\n"):
                data = channel.recv(1)
                if not data:
                    _read_all(channel.recv_stderr, errors)
                    words = errors.decode(errors="replace").strip().splitlines() or ["it printed nothing"]
                    raise RemoteError(f"{self._board.name}: {_shown(command)} ended at once ({words[-1]})")
                line += data
        except TimeoutError:
            channel.close()
            raise self._board.silent(_shown(command), seconds) from None
        channel.settimeout(None)
        _in_background(lambda: _beat(channel))
        _in_background(lambda: _read_all(channel.recv, bytearray()))  # or the program blocks on a full pipe
        _in_background(lambda: _read_all(channel.recv_stderr, bytearray()))
        return line.decode(errors="replace").rstrip("\n")

    def forward(self, port: int, seconds: float) -> int:
        """Listens on this machine's loopback; every connection of this user goes to the board's ``port``."""
        listener = socket.create_server(("127.0.0.1", 0))
        _in_background(lambda: self._accept(listener, port, seconds))
        return listener.getsockname()[1]

    def close(self) -> None:
        """Ends the ssh connection."""
        self._client.close()

    def _open(self, command: str, seconds: float) -> paramiko.Channel:
        try:
            channel = self._transport.open_session(timeout=seconds)
            channel.settimeout(seconds)
            channel.exec_command(command)
        except (paramiko.SSHException, OSError, EOFError) as error:
            raise self._board.lost(_shown(command), error or "it was closed") from error
        return channel

    def _accept(self, listener: socket.socket, port: int, seconds: float) -> None:
        with listener, suppress(OSError):
            while self._transport.is_active():
                local = accept_own(listener, None)
                try:
                    remote = self._transport.open_channel(
                        "direct-tcpip", ("127.0.0.1", port), local.getpeername(), timeout=seconds
                    )
                except (paramiko.SSHException, EOFError):
                    local.close()
                    continue
                local.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                _in_background(lambda local=local, remote=remote: _carry(local, remote))
                _in_background(lambda local=local, remote=remote: _carry(remote, local))

    def _watch(self) -> None:
        """Ends the connection when the board stays silent: TCP alone would wait for many minutes."""
        while self._transport.is_active():
            answered = threading.Event()

            def ask(answered: threading.Event = answered) -> None:
                with suppress(paramiko.SSHException, OSError, EOFError):
                    self._transport.global_request("keepalive@openssh.com", wait=True)
                answered.set()

            _in_background(ask)
            if not answered.wait(self._silence):
                self._transport.close()
                return
            time.sleep(BEAT_SECONDS)


def _beat(channel: paramiko.Channel) -> None:
    with suppress(OSError):
        while not channel.closed:
            channel.sendall(b"\n")
            time.sleep(BEAT_SECONDS)


def _carry(source: socket.socket | paramiko.Channel, sink: socket.socket | paramiko.Channel) -> None:
    """Carries bytes one way until either end closes, then closes both."""
    with suppress(OSError, EOFError):
        while data := source.recv(CHUNK):
            sink.sendall(data)
    for end in (sink, source):
        with suppress(OSError, EOFError):
            if isinstance(end, socket.socket):
                end.shutdown(socket.SHUT_RDWR)  # wakes the thread that reads from it
            end.close()


def _read_until(channel: paramiko.Channel, into: bytearray, deadline: float) -> None:
    """Reads to the end of the output; TimeoutError when that does not come in time."""
    while True:
        channel.settimeout(max(0.001, deadline - time.monotonic()))
        data = channel.recv(CHUNK)
        if not data:
            return
        if len(into) < MOST_OUTPUT:
            into += data


def _read_all(read: Callable[[int], bytes], into: bytearray) -> None:
    with suppress(OSError):  # the channel is closed by whoever waits for it
        while data := read(CHUNK):
            if len(into) < MOST_OUTPUT:
                into += data


def _write_all(channel: paramiko.Channel, data: bytes) -> None:
    with suppress(OSError):
        channel.sendall(data)
        channel.shutdown_write()


def _in_background(work: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def _no_sftp() -> paramiko.SFTPClient:
    raise paramiko.SSHException("the board's ssh server offers no SFTP")


def _shown(command: str) -> str:
    """A command in a message: its beginning, on one line."""
    words = " ".join(command.split())
    return f"`{words if len(words) <= 60 else words[:57] + '...'}`"
