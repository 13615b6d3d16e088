"""Source and development packages of Debian, fetched by a private apt: no root, nothing installed."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

from peer_bench.errors import BenchmarkError

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
SECONDS = 300


class PrivateApt:
    """An apt whose whole state lies in ``work``, with the mirror and release of this machine's own."""

    def __init__(self, mirror: str, release: str, work: Path) -> None:
        for folder in ("lists/partial", "cache/archives/partial", "etc"):
            (work / folder).mkdir(parents=True, exist_ok=True)
        (work / "status").touch()
        signed = f"[signed-by={KEYRING}] " if KEYRING.is_file() else ""
        source = f"{signed}{mirror} {release} main"
        (work / "etc" / "sources.list").write_text(f"deb {source}\ndeb-src {source}\n")
        settings = {
            "APT::Sandbox::User": "",
            "Debug::NoLocking": "1",
            "Dir::State": work,
            "Dir::State::lists": work / "lists",
            "Dir::State::status": work / "status",
            "Dir::Cache": work / "cache",
            "Dir::Etc::sourcelist": work / "etc" / "sources.list",
            "Dir::Etc::sourceparts": "-",
        }
        self._options = [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]
        run(["apt-get", *self._options, "-q", "update"], work)

    def source(self, package: str, folder: Path) -> Path:
        """The unpacked and patched source of ``package``."""
        folder.mkdir(parents=True, exist_ok=True)
        run(["apt-get", *self._options, "-q", "--download-only", "source", package], folder)
        (description,) = folder.glob(f"{package}_*.dsc")
        run(["dpkg-source", "-x", description.name, "tree"], folder)
        return folder / "tree"

    def unpack(self, packages: Sequence[str], folder: Path, root: Path) -> None:
        """Exactly these binary packages, without what they depend on, unpacked into ``root``."""
        folder.mkdir(parents=True, exist_ok=True)
        run(["apt-get", *self._options, "-q", "download", *packages], folder)
        for package in sorted(folder.glob("*.deb")):
            run(["dpkg-deb", "-x", str(package), str(root)], folder)


def run(command: Sequence[str], folder: Path) -> None:
    """Run to the end.

    Raises:
        BenchmarkError: the program is missing or failed, with its last words.
    """
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=SECONDS, check=False)
    except FileNotFoundError:
        raise BenchmarkError(
            f"QEMU is built from Debian's source, and this machine has no {command[0]}; on Debian: apt install dpkg-dev"
        ) from None
    except subprocess.TimeoutExpired:
        raise BenchmarkError(f"{command[0]} did not end within {SECONDS} s: is the Debian mirror reachable?") from None
    if done.returncode:
        words = " ".join((done.stderr or done.stdout).split())
        raise BenchmarkError(f"{command[0]} failed ({done.returncode}): {words[-400:]}")
