"""Makes a bundle on the board: ``python -m intbert.rpc.bundle.assemble look|make``.

It runs with the board's installed runtime, which it copies. An :class:`.order.Order` comes as JSON on the standard
input; the answer is a JSON line: ``{"bytes": ...}``, or the type and the message of an error. ``look`` only
says whether the bundle's folder could be made.
"""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from ... import errors
from ...compiler.hashing import file_sha256
from ...errors import IntbertError, OutputError, RemoteError
from .order import BUNDLE_FILE, PROGRAMS, Order
from .place import refuse_existing, staged

CHECK_SECONDS = 300.0
MARGIN_BYTES = 16 << 20
"""Room for what Python compiles at the first start."""


def assemble(order: Order, packages: Path) -> int:
    """Makes the bundle with the runtime in the folder ``packages``; returns its bytes.

    Raises:
        OutputError: its folder exists, or cannot be written.
        RemoteError: a file of the artifact is not in the store any more, or the bundle does not run here.
    """
    folder = Path(order.folder)
    sources = {name: Path(order.store) / digest for name, digest in order.artifact.items()}
    try:
        _require_room(folder, _size(packages) + sum(path.stat().st_size for path in sources.values()))
        with staged(folder, order.replace) as made:
            _fill(made, order, packages, sources)
            check(made)
        return _size(folder)
    except FileNotFoundError as error:
        raise RemoteError(f"{error.filename} is not on the board any more; try again") from error
    except OSError as error:
        words = _reason(error)
        raise OutputError(f"{folder} cannot be written ({words}); make room, or choose another --to") from error


def _fill(made: Path, order: Order, packages: Path, sources: dict[str, Path]) -> None:
    # Copies, not links to the same files: nothing that happens to the board's own may change a bundle.
    shutil.copytree(packages, made / "runtime", symlinks=True)
    (made / "artifact").mkdir()
    for name, source in sources.items():
        copy = made / "artifact" / name
        shutil.copyfile(source, copy)
        if file_sha256(copy) != order.artifact[name]:
            raise RemoteError(f"{source} is damaged; remove it there and try again")
    document = {**order.document, "packages": _versions(packages)}
    for name, text in {**order.texts, BUNDLE_FILE: json.dumps(document, indent=2) + "\n"}.items():
        (made / name).write_text(text, encoding="utf-8")
    for program in PROGRAMS:
        (made / program).chmod(0o755)


def _versions(packages: Path) -> dict[str, str]:
    from importlib.metadata import distributions

    return {found.name: found.version for found in sorted(distributions(path=[str(packages)]), key=lambda d: d.name)}


def check(bundle: Path) -> None:
    """Runs the bundle's model once, as its user will; RemoteError with the reason when it does not run."""
    try:
        done = subprocess.run(
            [bundle / "run", "--check"], capture_output=True, text=True, timeout=CHECK_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise RemoteError(f"the bundle's model does not run within {CHECK_SECONDS:g} s on the board") from None
    except OSError as error:
        raise RemoteError(f"the bundle cannot be started ({error.strerror}); is its disk mounted noexec?") from error
    if done.returncode:
        words = (done.stderr.strip() or f"it ended with {done.returncode} and said nothing").splitlines()[-1]
        raise RemoteError(f"the bundle does not run on the board: {words}")


def _reason(error: OSError) -> str:
    if isinstance(error, shutil.Error):  # of a tree: (source, copy, reason) for each file
        return str(error.args[0][0][2])
    return error.strerror or str(error)


def _require_room(folder: Path, size: int) -> None:
    there = next(path for path in folder.parents if path.is_dir())
    free = shutil.disk_usage(there).free
    if size + MARGIN_BYTES > free:
        raise OutputError(
            f"{folder}: the bundle has {size / 1e6:.0f} MB, and {free / 1e6:.0f} MB are free; make room on the board"
        )


def _size(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*"))


def main(arguments: list[str]) -> int:
    """The command line; returns the exit status."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what is half made is removed
    signal.signal(signal.SIGHUP, signal.default_int_handler)
    try:
        order = Order.from_json(sys.stdin.read())
        if arguments == ["look"]:
            refuse_existing(Path(order.folder), order.replace)
            answer: dict[str, object] = {}
        else:
            answer = {"bytes": assemble(order, Path(errors.__file__).parents[1])}
    except IntbertError as error:
        answer = {"error": type(error).__name__, "message": str(error)}
    print(json.dumps(answer), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
