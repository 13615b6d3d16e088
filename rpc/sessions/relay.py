"""A process that carries the bytes between TVM's RPC client and a board, and bounds how long a call may take.

TVM's client waits without limit, and some of its waits hold Python's global lock: when a remote object is
freed, for example. So nothing inside the client's own process can end such a wait, and nothing there may
carry its bytes either (a tunnel that is a thread would wait for the lock, and the client for the tunnel).
Another process can do both: when it ends the connection, the client's call fails at once.
"""

from __future__ import annotations

import contextlib
import selectors
import subprocess
import sys
from pathlib import Path

from ...errors import RemoteError
from . import relay_process

STOP_SECONDS = 5.0
SETTLE_SECONDS = 0.2
"""How long after a failed call the relay's end may still follow."""


class Relay:
    """Connects to ``host``, ``port`` and offers that connection, once, on the loopback port :attr:`port`.

    Only processes of this user may take it. ``name`` is what messages call the other end.

    Raises:
        RemoteError: nobody listens there, or nobody answers within ``seconds``.
    """

    def __init__(self, host: str, port: int, seconds: float, name: str | None = None) -> None:
        self.address = name or f"{host}:{port}"
        # isolated and without site-packages: it starts in milliseconds
        command = [sys.executable, "-I", "-S", relay_process.__file__, host, str(port), str(seconds)]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            bufsize=1,
            start_new_session=True,  # an interrupt from the keyboard is not for it
            cwd=Path(relay_process.__file__).parent,
        )
        self.port = self._read_port(seconds + STOP_SECONDS)

    def limit(self, seconds: float) -> None:
        """Starts the clock: unless :meth:`done` comes before, the connection ends after ``seconds``."""
        self._order(f"limit {seconds}")

    def done(self) -> None:
        """Stops the clock."""
        self._order("done")

    def ended(self) -> int | None:
        """Why the relay ended (a status of ``relay_process``), or None while it carries bytes."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self._process.wait(SETTLE_SECONDS)
        return None

    @property
    def closed(self) -> bool:
        """Whether the connection is known to have ended."""
        return self._process.poll() is not None

    def close(self) -> None:
        """Ends the connection; calls that wait for an answer fail. Closing twice does no harm."""
        self._process.kill()
        self._process.wait(STOP_SECONDS)
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()

    def _order(self, line: str) -> None:
        assert self._process.stdin is not None
        # a relay that has ended already is found out by the call itself
        with contextlib.suppress(BrokenPipeError, ValueError):
            self._process.stdin.write(f"{line}\n")

    def _read_port(self, seconds: float) -> int:
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            answered = bool(selector.select(seconds))
        line = self._process.stdout.readline() if answered else ""
        if line:
            return int(line)
        reason = self._process.stderr.read().strip() if answered else f"no answer within {seconds:g} s"
        self.close()
        raise RemoteError(f"{self.address}: cannot connect ({reason}); is the server running?")
