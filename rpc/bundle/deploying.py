"""Putting a model with its runtime into a folder of a board, where it then works without intbert."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from ...compiler.artifact import MANIFEST_FILE, Manifest, file_sha256, opened, read_manifest, verify_files
from ...errors import DeviceError, RemoteError
from ..devices.installation import FOLDER, BoardFolder, platform
from ..probing import best_python
from ..sessions.board_session import BoardSession, Terms, board_session
from ..sessions.protocol import error_of
from .order import Order
from .texts import BundleFacts, bundle_texts
from .unit import check_service_name
from .user_service import Started, start_service

LOOK_SECONDS = 60.0
ASSEMBLE_SECONDS = 900.0
"""A copy of some 70 MB on a slow card, and the model's first start."""


@dataclass(frozen=True)
class Deployed:
    """A bundle of ``bytes`` bytes in the ``folder`` of a board, for which ``sent_bytes`` went through ssh.

    ``manifest`` and ``runtime``: the digests of what is in it. ``service``: what became of the systemd unit, None where
    none was asked for.
    """

    device: str
    folder: str
    bytes: int
    sent_bytes: int
    manifest: str
    runtime: str
    service: Started | None


def deploy(
    artifact: Path, device: str, to: str, terms: Terms, *, service: str | None = None, force: bool = False
) -> Deployed:
    """Makes a bundle of ``artifact`` in the folder ``to`` of a device.

    Only what the board lacks is sent: its runtime is copied there, and files of the artifact that it was sent before
    are in its store. The bundle is made aside, run once, and then moved into place.

    Args:
        artifact: a folder, or a ``.tar``.
        to: absolute, or relative to the home of the account there.
        service: the name of a systemd unit to write too, which is enabled and started where systemctl is.
        force: whether a bundle that is in ``to`` already may be replaced; nothing else ever is.

    Raises:
        ArtifactError: the artifact is damaged, or is for another processor than the board's.
        DeviceError: there is no such device, or ``to`` or ``service`` is no such name.
        OutputError: ``to`` exists, or cannot be written.
        BusyError, RemoteError: somebody else uses the board; it cannot be reached, or fails.
    """
    if service is not None:
        check_service_name(service)
    known = terms.inventory.get(device)
    folder = bundle_folder(to, BoardFolder.of(known.facts))
    with opened(artifact) as files:
        manifest = read_manifest(files)
        verify_files(manifest, files)
        with board_session(known, terms) as board:
            facts = _facts(board, manifest, file_sha256(files / MANIFEST_FILE), service)
            order = _order(board, manifest, facts, folder, artifact.name, force)
            _ask_board(board, "look", replace(order, artifact={}, document={}, texts={}), LOOK_SECONDS)
            _send(board, files, terms)
            terms.tell(f"making {folder}")
            size = _ask_board(board, "make", order, ASSEMBLE_SECONDS)["bytes"]
            started = None if service is None else start_service(board.connection, str(folder), service)
            sent = board.connection.sent_bytes
    return Deployed(device, str(folder), size, sent, facts.manifest, facts.runtime, started)


def bundle_folder(to: str, board: BoardFolder) -> PurePosixPath:
    """Where on the board ``to`` is; DeviceError for what is no place for a bundle."""
    if not to.isprintable() or not to:
        raise DeviceError(f"--to {to!r} is no path; give one without control characters")
    path = board.home / to.removeprefix("~/")
    path = PurePosixPath("/", *path.parts[1:])  # POSIX lets two slashes at the beginning mean something else
    if ".." in path.parts:
        raise DeviceError(f"--to {to}: write the path without '..'")
    if path == board.home or path == PurePosixPath("/"):
        raise DeviceError(f"--to {to}: a bundle needs a folder of its own; add its name")
    if path.is_relative_to(board.root):
        raise DeviceError(f"--to {to}: `intbert device remove` deletes {FOLDER}; choose a folder outside of it")
    return path


def _facts(board: BoardSession, manifest: Manifest, digest: str, service: str | None) -> BundleFacts:
    assert board.device.runtime is not None  # the session began with its installation
    wanted = platform(board.device.facts)
    return BundleFacts(
        target=manifest.target.name,
        arch=wanted.arch,
        python="{}.{}".format(*wanted.python),
        manifest=digest,
        runtime=board.device.runtime,
        service=service,
        created=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    )


def _order(
    board: BoardSession, manifest: Manifest, facts: BundleFacts, folder: PurePosixPath, name: str, force: bool
) -> Order:
    python = best_python(board.device.facts)
    assert python is not None  # it has the runtime
    return Order(
        folder=str(folder),
        store=str(BoardFolder.of(board.device.facts).root / "store"),
        artifact={MANIFEST_FILE: facts.manifest, **{file: record.sha256 for file, record in manifest.files.items()}},
        document=facts.document(),
        texts=bundle_texts(facts, str(folder), python.path, name),
        replace=force,
    )


def _send(board: BoardSession, files: Path, terms: Terms) -> None:
    """Brings to the board's store what it lacks of the artifact in the folder ``files``."""

    def show(sent: int, total: int) -> None:
        terms.tell(f"sending the artifact: {sent / 1e6:.1f} of {total / 1e6:.1f} MB")

    board.session.check(files)
    board.session.upload(files, show)


def _ask_board(board: BoardSession, what: str, order: Order, seconds: float) -> dict[str, int]:
    """Lets the board look at an order or carry it out; raises what it raises there."""
    assert board.device.runtime is not None  # the session began with its installation
    python = BoardFolder.of(board.device.facts).python(board.device.runtime)
    command = [python, "-I", "-m", "intbert.rpc.bundle.assemble", what]
    done = board.connection.run(command, input=order.to_json().encode(), seconds=seconds)
    name = board.device.name
    try:
        answer = json.loads(done.output)
    except ValueError:
        words = (done.errors.strip() or "it said nothing").splitlines()[-1]
        raise RemoteError(f"{name}: making the bundle failed with {done.status}: {words}; try again") from None
    if "error" in answer:
        raise error_of({**answer, "message": f"{name}: {answer['message']}"})
    return answer
