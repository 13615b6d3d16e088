"""The runtime on a board: a virtual environment below ``~/.intbert``, made of wheels that the host sent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePosixPath

from ...errors import RemoteError, UnsuitableBoardError
from ..board_runtime import BoardPlatform, Wheelhouse, prepare_wheels
from ..probing import BoardFacts, best_python
from ..sessions.connection import Connection

FOLDER = ".intbert"
"""Below the home of the account on the board: everything of ours is in it, and nothing elsewhere."""

QUICK_SECONDS = 30.0
SEND_SECONDS = 60.0
"""Without any progress."""
INSTALL_SECONDS = 600.0

Tell = Callable[[str], None]


@dataclass(frozen=True)
class BoardFolder:
    """Where things lie on a board whose account has the home ``home``."""

    home: PurePosixPath

    @classmethod
    def of(cls, facts: BoardFacts) -> BoardFolder:
        """The folder on the board that ``facts`` are of."""
        return cls(PurePosixPath(facts.home))

    @property
    def root(self) -> PurePosixPath:
        """All that is ours."""
        return self.home / FOLDER

    @property
    def runtimes(self) -> PurePosixPath:
        """A virtual environment for each runtime, named after its digest."""
        return self.root / "runtime"

    def python(self, digest: str) -> str:
        """The interpreter of an installed runtime."""
        return str(self.runtimes / digest / "bin" / "python")


def platform(facts: BoardFacts) -> BoardPlatform:
    """What wheels have to be made for; UnsuitableBoardError where no wheel can be."""
    python = best_python(facts)
    if python is None or facts.libc_version is None:
        raise UnsuitableBoardError("the board has no Python 3.10 or later; `intbert device doctor` says more")
    return BoardPlatform(python.version[:2], facts.arch, facts.libc_version)


def wheels_for(facts: BoardFacts, tell: Tell | None = None) -> Wheelhouse:
    """The wheels that this intbert needs on the board, downloaded where they are not at hand."""
    return prepare_wheels(platform(facts), tell=tell)


def is_installed(connection: Connection, facts: BoardFacts, wheels: Wheelhouse) -> bool:
    """Whether the board has this very runtime."""
    python = BoardFolder.of(facts).python(wheels.digest)
    return connection.run(["test", "-x", python], seconds=QUICK_SECONDS).status == 0


def install(connection: Connection, facts: BoardFacts, wheels: Wheelhouse, tell: Tell) -> bool:
    """Installs the runtime unless it is there; whether anything was changed.

    An installation that was cut off is begun anew; older runtimes are deleted.
    """
    if is_installed(connection, facts, wheels):
        return False
    folder = BoardFolder.of(facts)
    incoming, unfinished = folder.root / "incoming", folder.runtimes / "unfinished"
    _run(connection, ["rm", "-rf", str(incoming), str(unfinished)])
    _run(connection, ["mkdir", "-p", "-m", "700", str(folder.root), str(folder.runtimes), str(incoming)])
    for number, file in enumerate(wheels.files, 1):
        tell(f"sending {file.name} ({number} of {len(wheels.files)}, {file.size / 1e6:.1f} MB)")
        connection.send(file.path, str(incoming / file.name), seconds=SEND_SECONDS)
    requirements = incoming / "requirements.txt"
    _run(connection, ["tee", str(requirements)], input=wheels.requirements.encode())
    tell("installing")
    _make_environment(connection, facts, wheels, incoming, unfinished)
    _run(connection, ["mv", "-T", str(unfinished), str(folder.runtimes / wheels.digest)])
    _run(connection, ["rm", "-rf", str(incoming)])
    _remove_others(connection, folder, wheels.digest)
    return True


def _make_environment(
    connection: Connection, facts: BoardFacts, wheels: Wheelhouse, incoming: PurePosixPath, to: PurePosixPath
) -> None:
    base = best_python(facts)
    assert base is not None  # platform() has seen to it
    _run(connection, [base.path, "-m", "venv", "--without-pip", str(to)], seconds=INSTALL_SECONDS)
    pip = [str(to / "bin" / "python"), "-I", str(incoming / wheels.pip / "pip"), "--isolated"]
    quiet = ["--quiet", "--disable-pip-version-check", "--no-cache-dir", "--no-warn-script-location", "--no-compile"]
    sources = ["--no-index", "--no-deps", "--require-hashes", "--find-links", str(incoming)]
    requirements = ["--requirement", str(incoming / "requirements.txt")]
    _run(connection, [*pip, "install", *quiet, *sources, *requirements], seconds=INSTALL_SECONDS)
    check = [str(to / "bin" / "python"), "-I", "-m", "intbert.rpc.on_board.server", "--help"]
    _run(connection, check, seconds=INSTALL_SECONDS)


def _remove_others(connection: Connection, folder: BoardFolder, digest: str) -> None:
    listed = _run(connection, ["ls", "-1", str(folder.runtimes)])
    for name in listed.split():
        if name != digest:
            _run(connection, ["rm", "-rf", str(folder.runtimes / name)])


def uninstall(connection: Connection, facts: BoardFacts) -> None:
    """Deletes all that is ours on the board."""
    _run(connection, ["rm", "-rf", str(BoardFolder.of(facts).root)], seconds=INSTALL_SECONDS)


def _run(connection: Connection, command: list[str], *, input: bytes = b"", seconds: float = QUICK_SECONDS) -> str:
    done = connection.run(command, input=input, seconds=seconds)
    if done.status:
        words = (done.errors.strip() or done.output.strip() or "it said nothing").splitlines()[-1]
        raise RemoteError(
            f"{connection.address}: `{' '.join(command[:3])} ...` failed with {done.status}: {words}; "
            "`intbert device doctor` looks at the board's disk and Python"
        )
    return done.output
