"""Host keys: which are known, and what becomes of one that is not. Nothing is trusted on first sight."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from paramiko import HostKeys, MissingHostKeyPolicy, PKey, SSHClient

from ...errors import HostKeyError


def load_known(client: SSHClient, files: Iterable[Path]) -> None:
    """Makes ``client`` know the host keys of those of ``files`` that exist."""
    for file in files:
        if file.is_file():
            client.load_system_host_keys(str(file))


def changed(host: str, found: PKey, wanted: PKey) -> HostKeyError:
    """What to raise for a host that shows another key than the known one."""
    return HostKeyError(
        f"{host} shows another host key ({found.get_name()} {found.fingerprint}) than the known one "
        f"({wanted.get_name()} {wanted.fingerprint}); somebody may be in between. If the board was set up anew, "
        "remove the old key (`ssh-keygen -R`, and `intbert device remove`) and add the device again"
    )


class AcceptOnly(MissingHostKeyPolicy):
    """Refuses unknown host keys but the one whose fingerprint the user gave, which it writes to ``accepted``."""

    def __init__(self, accept: str | None, accepted: Path) -> None:
        self._accept = accept
        self._accepted = accepted

    def missing_host_key(self, client: SSHClient, hostname: str, key: PKey) -> None:
        """paramiko calls this for a host of which no key is known."""
        if self._accept != key.fingerprint:
            given = f", not {self._accept}" if self._accept else ""
            raise HostKeyError(
                f"the host key of {hostname} is unknown: {key.get_name()} {key.fingerprint}{given}. Compare it with "
                "`ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` on the board, then add the device with "
                f"--accept-host-key {key.fingerprint}, or connect once with ssh"
            )
        known = HostKeys()
        self._accepted.parent.mkdir(parents=True, exist_ok=True)
        if self._accepted.exists():
            known.load(str(self._accepted))
        known.add(hostname, key.get_name(), key)
        known.save(str(self._accepted))
