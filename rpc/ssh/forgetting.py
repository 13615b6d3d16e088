"""Forgetting the host key that was accepted for a board."""

from __future__ import annotations

from .login import Login, route


def forget_key(login: Login) -> None:
    """Deletes the board's entry from the file of accepted keys; where there is none, nothing happens."""
    from paramiko import HostKeys

    if not login.accepted_keys.exists():
        return
    hop = route(login)[-1]
    name = hop.host if hop.port == 22 else f"[{hop.host}]:{hop.port}"
    known = HostKeys(str(login.accepted_keys))
    if known.lookup(name) is not None:
        del known[name]
        known.save(str(login.accepted_keys))
