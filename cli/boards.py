"""What the commands that use boards share: the terms on which they are reached."""

from __future__ import annotations

import getpass
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from . import console

if TYPE_CHECKING:
    from pathlib import Path

    from ..compiler.runtime import Model
    from ..rpc.sessions.board_session import Terms
    from ..rpc.sessions.boards import Boards
    from ..rpc.sessions.remote_artifact import RemoteArtifact
    from ..rpc.tuning.boards import Place as MeasuringPlace

Device = Annotated[
    str | None, typer.Option("--device", metavar="NAME", help="Do it on this board; `intbert device list` names them.")
]
Tracker = Annotated[
    str | None, typer.Option("--tracker", metavar="HOST:PORT", help="Do it on a board that this tracker has free.")
]
Key = Annotated[str | None, typer.Option("--key", metavar="KEY", help="The kind of board to ask the tracker for.")]
OpenToNetwork = Annotated[
    bool, typer.Option("--open-to-network", help="Let other machines in, who may then run anything on the boards.")
]
Wait = Annotated[float, typer.Option("--wait", min=0, help="Seconds to wait for a board that somebody else uses.")]
WAIT_SECONDS = 10.0
OPEN_WARNING = (
    "warning: open to the network; whoever reaches it can run anything on the boards, and nothing is encrypted"
)


@dataclass(frozen=True)
class Place:
    """Boards that the user chose: their names, separated by commas, and what opens sessions with them."""

    names: str
    boards: Boards


def chosen(device: str | None, tracker: str | None, key: str | None) -> Place | None:
    """What --device, or --tracker and --key, mean; None is this machine."""
    if device is None and tracker is None and key is None:
        return None
    from ..rpc.farm.endpoint import Endpoint, check_key
    from ..rpc.farm.tracker_client import Farm
    from ..rpc.sessions.boards import Devices

    if device is not None and tracker is None and key is None:
        return Place(device, Devices())
    if device is not None or tracker is None or key is None:
        raise typer.BadParameter("--tracker and --key belong together, and stand in place of --device")
    return Place(check_key(key), Farm(Endpoint.parse(tracker)))


def places(place: Place | None, wait: float) -> list[MeasuringPlace]:
    """Where a tuner measures: on this machine (``place`` None), or on every board that is meant; of a farm, as many as
    are free under the key, and one at the least."""
    from ..rpc.farm.tracker_client import Farm
    from ..rpc.sessions.here import HERE, Here
    from ..rpc.tuning.boards import Place as MeasuringPlace

    if place is None:
        return [MeasuringPlace(Here(), HERE, wait)]
    if isinstance(place.boards, Farm):
        names = [place.names] * max(1, place.boards.free(place.names))
    else:
        names = [name.strip() for name in place.names.split(",")]
    for name in names:
        place.boards.check(name, terms(console.say, wait))
    return [MeasuringPlace(place.boards, name, wait) for name in names]


def terms(tell: Callable[[str], None], wait: float = WAIT_SECONDS) -> Terms:
    """The terms of this user, who can be asked for a password where there is a terminal."""
    from ..rpc.devices.inventory import Inventory
    from ..rpc.sessions.board_session import Terms

    ask = _ask_password if sys.stdin.isatty() else None
    return Terms(Inventory(), ask_password=ask, wait=wait, tell=tell)


@contextmanager
def reaching(wait: float = WAIT_SECONDS) -> Iterator[Terms]:
    """Terms whose steps are shown on stderr."""
    with console.steps() as step:
        yield terms(step, wait)


@contextmanager
def loaded(
    artifact: Path, threads: int | None, place: Place | None, wait: float
) -> Iterator[tuple[Model | RemoteArtifact, str | None]]:
    """The artifact, ready to run here (``place`` None) or on a board, and what that board is called."""
    if place is None:
        from ..compiler.runtime import load

        yield load(artifact, threads), None
        return
    with loaded_on(artifact, threads, place, wait) as model:
        yield model, model.where


@contextmanager
def loaded_on(artifact: Path, threads: int | None, place: Place, wait: float) -> Iterator[RemoteArtifact]:
    """The artifact, ready to run on the board of ``place``."""
    from ..rpc.sessions.remote_artifact import artifact_on

    with reaching(wait) as terms:
        opening = place.boards.open(place.names, terms)
        with artifact_on(opening, artifact, threads, terms) as model:
            yield model


def _ask_password(address: str) -> str:
    return getpass.getpass(f"password of {address}: ", sys.stderr)
