"""What a system's installer would add to the unpacked packages: folders, users, its name, bytecode."""

from __future__ import annotations

import subprocess
from pathlib import Path

from .unavailable import UnavailableError

SECONDS = 300

FOLDERS = ("dev", "home/pi", "proc", "root", "run/user", "sys", "tmp", "var/tmp")
"""Each board mounts something of its own on these, because the userland itself is shared and read-only."""

# One account, because a namespace that an ordinary user makes has a single id. It is the number that `unshare` gives
# it, 0, under the name that a Raspberry Pi's first user has.
_FILES = {
    "passwd": "pi:x:0:0:,,,:/home/pi:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\n",
    "group": "pi:x:0:\nnogroup:x:65534:\n",
    "hosts": "127.0.0.1 localhost\n::1 localhost\n",
    "hostname": "raspberrypi\n",
    "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
}

# Never imported on a board, and half of the time that compiling takes.
_NOT_COMPILED = r"/(test|idlelib|lib2to3|tkinter|pydoc_data)/"


def furnish(root: Path, qemu: Path, python: str) -> None:
    """Completes the userland at ``root``, whose Python ``python`` ("3.11") compiles its standard library.

    A package's installation scripts would compile; without that each start of Python costs seconds.
    """
    for folder in FOLDERS:
        (root / folder).mkdir(parents=True, exist_ok=True)
    for name, text in _FILES.items():
        (root / "etc" / name).write_text(text, encoding="utf-8")
    library = root / "usr" / "lib" / f"python{python}"
    command = [qemu, "-L", root, root / "usr" / "bin" / f"python{python}", "-m", "compileall", "-q"]
    command += ["-x", _NOT_COMPILED, "-s", root, "-p", "/", library]
    done = subprocess.run(
        [str(word) for word in command],
        env={"PYTHONHOME": str(root / "usr")},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    if done.returncode:
        raise UnavailableError(f"compiling the board's {library} failed: {done.stdout[-300:]} {done.stderr[-300:]}")
