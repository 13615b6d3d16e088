"""What the commands that use boards share: the terms on which they are reached."""

from __future__ import annotations

import getpass
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from . import console

if TYPE_CHECKING:
    from pathlib import Path

    from ..compiler.runtime import Model
    from ..rpc.board_session import Terms
    from ..rpc.remote_artifact import RemoteArtifact

Device = Annotated[
    str | None, typer.Option("--device", metavar="NAME", help="Do it on this board; `intbert device list` names them.")
]
Wait = Annotated[float, typer.Option("--wait", min=0, help="Seconds to wait for a board that somebody else uses.")]
WAIT_SECONDS = 10.0


def terms(tell: Callable[[str], None], wait: float = WAIT_SECONDS) -> Terms:
    """The terms of this user, who can be asked for a password where there is a terminal."""
    from ..rpc.board_session import Terms
    from ..rpc.inventory import Inventory

    ask = _ask_password if sys.stdin.isatty() else None
    return Terms(Inventory(), ask_password=ask, wait=wait, tell=tell)


@contextmanager
def reaching(wait: float = WAIT_SECONDS) -> Iterator[Terms]:
    """Terms whose steps are shown on stderr."""
    with console.steps() as step:
        yield terms(step, wait)


@contextmanager
def loaded(artifact: Path, threads: int | None, device: str | None, wait: float) -> Iterator[Model | RemoteArtifact]:
    """The artifact, ready to run here (``device`` None) or on a board."""
    if device is None:
        from ..compiler.runtime import load

        yield load(artifact, threads)
        return
    from ..rpc.remote_artifact import remote_artifact

    with reaching(wait) as terms, remote_artifact(artifact, device, terms, threads) as model:
        yield model


def _ask_password(address: str) -> str:
    return getpass.getpass(f"password of {address}: ", sys.stderr)
