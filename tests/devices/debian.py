"""Debian packages of any architecture, unpacked into a folder without root and without installing them."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .unavailable import UnavailableError

SECONDS = 300
KEYRINGS = Path("/usr/share/keyrings")


@dataclass(frozen=True)
class Source:
    """The Debian mirror and release that this machine's apt already uses."""

    mirror: str
    release: str


def installed_source() -> Source:
    """Where this machine gets its packages from; UnavailableError when apt has none."""
    release = _os_release().get("VERSION_CODENAME")
    columns = "$(REPO_URI) $(RELEASE)"
    lines = _run(["apt-get", "indextargets", "--format", columns, "Created-By: Packages"])
    for line in lines.splitlines():
        mirror, _, suite = line.partition(" ")
        if suite == release:
            return Source(mirror, suite)
    raise UnavailableError(f"apt has no package source for this release ({release}); run `apt-get update`")


def host_architecture() -> str:
    """This machine's architecture by Debian's name: "amd64"."""
    return _run(["dpkg", "--print-architecture"]).strip()


def unpack_packages(
    source: Source,
    architecture: str,
    packages: Sequence[str],
    unneeded: frozenset[str],
    work: Path,
    root: Path,
) -> None:
    """Downloads ``packages`` and what they depend on, less ``unneeded``, and unpacks them into ``root``.

    ``work`` holds apt's private state, so neither this machine's apt nor its dpkg knows of any of it.
    """
    options = _private_state(source, architecture, work)
    _run(["apt-get", *options, "-q", "update"])
    # of a private apt with an empty status file: everything that the packages need, by name
    listed = _run(["apt-get", *options, "-qq", "-y", "--no-install-recommends", "--print-uris", "install", *packages])
    names = [line.split()[1].split("_")[0] for line in listed.splitlines()]
    downloads = work / "downloads"
    downloads.mkdir()
    _run(
        ["apt-get", *options, "-qq", "download", *(name for name in names if name not in unneeded)],
        folder=downloads,
    )
    # dpkg-deb makes no links for /usr-merged folders
    for folder in ("bin", "sbin", "lib"):
        (root / "usr" / folder).mkdir(parents=True, exist_ok=True)
        if not (root / folder).exists():
            (root / folder).symlink_to(f"usr/{folder}")
    for package in sorted(downloads.glob("*.deb")):
        archive = work / f"{package.name}.tar"
        _run(["sh", "-c", 'exec dpkg-deb --fsys-tarfile "$1" >"$2"', "sh", str(package), str(archive)])
        # `dpkg-deb --extract` would put a folder in the place of such a link
        _run(["tar", "--keep-directory-symlink", "-xf", str(archive), "-C", str(root)])
        archive.unlink()


def _private_state(source: Source, architecture: str, work: Path) -> list[str]:
    """Options that make apt-get keep its whole state in ``work``."""
    for folder in ("lists/partial", "cache/archives/partial", "etc"):
        (work / folder).mkdir(parents=True)
    (work / "status").touch()
    keyring = next((path for path in sorted(KEYRINGS.glob("debian-archive-keyring.*"))), None)
    signed = f" signed-by={keyring}" if keyring else ""
    sources = work / "etc" / "sources.list"
    sources.write_text(f"deb [arch={architecture}{signed}] {source.mirror} {source.release} main\n")
    settings = {
        "APT::Architecture": architecture,
        "APT::Architectures::": architecture,
        "APT::Sandbox::User": "",
        "Debug::NoLocking": "1",
        "Dir::State": work,
        "Dir::State::lists": work / "lists",
        "Dir::State::status": work / "status",
        "Dir::Cache": work / "cache",
        "Dir::Etc::sourcelist": sources,
        "Dir::Etc::sourceparts": "-",
        "Dir::Etc::preferencesparts": "-",
    }
    return [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]


def _run(command: list[str], folder: Path | None = None) -> str:
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=SECONDS, check=False)
    except FileNotFoundError:
        raise UnavailableError(f"it is made of Debian packages, and this machine has no {command[0]}") from None
    except subprocess.TimeoutExpired:
        raise UnavailableError(f"`{command[0]}` did not end within {SECONDS} s") from None
    if done.returncode:
        words = " ".join(done.stderr.split())
        raise UnavailableError(f"`{command[0]}` failed: {words[-500:]}")
    return done.stdout


def _os_release() -> dict[str, str]:
    try:
        lines = Path("/etc/os-release").read_text(encoding="utf-8").splitlines()
    except OSError:
        return {}
    return {name: value.strip('"') for name, _, value in (line.partition("=") for line in lines)}
