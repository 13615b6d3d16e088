"""``./serve``: the model behind a Unix socket, until SIGTERM."""

from __future__ import annotations

import argparse
import functools
import json
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import IntbertError
from .requests import answer, log
from .server import Server
from .socket_file import listening

if TYPE_CHECKING:
    from ...compiler.runtime import Model

DEFAULT_NAME = "intbert"
"""Of the socket of a bundle that was made without a service."""


def main(folder: Path, load: Callable[[int | None], Model], arguments: Sequence[str]) -> int:
    """The command line of the bundle in ``folder``; returns the exit status."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s", stream=sys.stderr)
    path = options.socket or socket_path(folder, os.environ)
    try:
        model = load(options.threads)
        stop = _told_to_stop()
        with listening(path) as listener:
            log.info("serving at %s", path)
            notify("READY=1")
            Server(listener, functools.partial(answer, model)).serve(stop)
            notify("STOPPING=1")
    except (IntbertError, OSError) as error:
        log.error("%s", " ".join(str(error).split()))
        return 1
    return 0


def socket_path(folder: Path, environment: Mapping[str, str]) -> Path:
    """``$XDG_RUNTIME_DIR/NAME.sock``, or in the bundle's ``folder`` where there is no such variable."""
    document = json.loads((folder / "bundle.json").read_text(encoding="utf-8"))
    runtime = environment.get("XDG_RUNTIME_DIR", "")
    parent = Path(runtime) if runtime.startswith("/") and Path(runtime).is_dir() else folder
    return parent / f"{document['service'] or DEFAULT_NAME}.sock"


def notify(state: str) -> None:
    """Tells systemd, where it has started this process, as sd_notify(3) does."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.connect("\0" + address[1:] if address.startswith("@") else address)
        sender.sendall(state.encode())


def _told_to_stop() -> socket.socket:
    """A socket that can be read from once this process was told to end."""
    stop, signalled = socket.socketpair()
    signalled.setblocking(False)
    # Kept for ever: a signal's number is written to it.
    signal.set_wakeup_fd(signalled.detach())
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    return stop


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="serve",
        allow_abbrev=False,
        description='Answers each line {"texts": [...]} of a client with a line {"outputs": [...]} or {"error": ...}.',
    )
    parser.add_argument("--socket", type=Path, metavar="PATH", help="where to listen; README.txt has the default")
    parser.add_argument("--threads", type=int, help="threads for one text; by default one a core")
    return parser
