"""How to log in to a board: the address, and what ssh's own configuration adds to it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from ...errors import DeviceError
from ..devices.address import Address

SSH_FOLDER = Path("~/.ssh")
GLOBAL_KNOWN_HOSTS = (Path("/etc/ssh/ssh_known_hosts"), Path("/etc/ssh/ssh_known_hosts2"))


@dataclass(frozen=True)
class Login:
    """Where to log in, and on what terms.

    ``accepted_keys`` is a known_hosts file of ours: of the host keys that the user accepted for a device.
    ``accept``: the fingerprint ("SHA256:...") of a host key that may be added to it, if it is unknown so far.
    ``password`` is tried after the keys, and unlocks an encrypted key. ``config``: OpenSSH's client configuration.
    """

    address: Address
    accepted_keys: Path
    accept: str | None = None
    password: str | None = field(default=None, repr=False)
    config: Path = field(default_factory=lambda: (SSH_FOLDER / "config").expanduser())


@dataclass(frozen=True)
class Hop:
    """One machine on the way to the board, the last of them the board; as OpenSSH would connect to it."""

    host: str
    port: int
    user: str | None
    keys: tuple[Path, ...]
    keys_only: bool
    """Offer no other keys: neither the agent's nor those with the usual names (IdentitiesOnly)."""
    known_hosts: tuple[Path, ...]
    proxy_command: str | None


def route(login: Login) -> list[Hop]:
    """The hops of ProxyJump, then the board itself. Raises DeviceError for a configuration that leads nowhere."""
    return _route(login.address, _read(login.config), ())


def _route(address: Address, config: object, behind: tuple[str, ...]) -> list[Hop]:
    from paramiko import SSHConfig

    assert isinstance(config, SSHConfig)
    if address.host in behind:
        raise DeviceError(f"ProxyJump leads from {address.host} back to itself; mend the ssh configuration")
    found = config.lookup(address.host)
    jumps = found.get("proxyjump", "none")
    hops: list[Hop] = []
    if jumps.lower() != "none":
        for jump in jumps.split(","):
            hops += _route(Address.parse(jump.strip()), config, (*behind, address.host))
    command = found.get("proxycommand", "none")
    known = found.get("userknownhostsfile", f"{SSH_FOLDER}/known_hosts {SSH_FOLDER}/known_hosts2")
    port = found.get("port", "22")
    if not port.isdigit():
        raise DeviceError(f"the ssh configuration gives {address.host} the port {port!r}; mend it there")
    hop = Hop(
        host=found.get("hostname", address.host),
        port=address.port or int(port),
        user=address.user or found.get("user"),
        keys=tuple(Path(name).expanduser() for name in found.get("identityfile", [])),
        keys_only=found.get("identitiesonly", "no") == "yes",
        known_hosts=(*(Path(name).expanduser() for name in known.split()), *GLOBAL_KNOWN_HOSTS),
        proxy_command=None if command.lower() == "none" or hops else command,
    )
    return [*hops, hop]


def _read(path: Path) -> object:
    from paramiko import ConfigParseError, SSHConfig

    if not path.exists():
        return SSHConfig()
    try:
        return SSHConfig.from_path(str(path))
    except (ConfigParseError, OSError, UnicodeDecodeError) as error:
        raise DeviceError(f"{path} cannot be read ({error}); mend the ssh configuration") from error
