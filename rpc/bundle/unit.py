"""The systemd unit of a bundle's server, for the account's own manager (``systemctl --user``)."""

from __future__ import annotations

import re

from ...errors import DeviceError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


def check_service_name(name: str) -> str:
    """``name``; DeviceError when no service of ours can be called so."""
    if not _NAME.fullmatch(name) or name.endswith(".service"):
        raise DeviceError(f"no service can be called {name!r}; use letters, digits, '.', '_' and '-'")
    return name


def unit_text(name: str, folder: str) -> str:
    """The unit of the service ``name``, whose bundle lies in ``folder`` (absolute).

    Sources: systemd.service(5), systemd.exec(5); how paths are quoted: systemd.syntax(7), systemd.unit(5).
    """
    return _UNIT.format(name=name, script=_quoted(f"{folder}/serve"))


def _quoted(path: str) -> str:
    for special, written in (("\\", "\\\\"), ('"', '\\"'), ("%", "%%"), ("$", "$$")):
        path = path.replace(special, written)
    return f'"{path}"'


_UNIT = """\
[Unit]
Description=intbert: {name}

[Service]
Type=notify
# A program's own path may have neither quotes nor backslashes; the one of a script that the shell is given may.
ExecStart=/bin/sh {script}
Restart=on-failure
RestartSec=2
TimeoutStartSec=300
UMask=0077

# It needs nothing but its files and its socket.
NoNewPrivileges=yes
RestrictAddressFamilies=AF_UNIX
# Where a system forbids user namespaces the service fails with 217/USER: remove this line then, the one above suffices.
PrivateNetwork=yes
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
SystemCallArchitectures=native

# Limits that depend on the board and on the model:
#MemoryMax=500M
#CPUQuota=200%

[Install]
WantedBy=default.target
"""
