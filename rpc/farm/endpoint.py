"""Where a tracker, a proxy or a board of a farm is: ``HOST:PORT``."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

from ...errors import DeviceError, RemoteError
from ..devices.address import Address

_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True)
class Endpoint:
    """A host, as a name or an IP address, and a port. Raises DeviceError for what is none."""

    host: str
    port: int

    def __post_init__(self) -> None:
        Address(self.host, port=self.port)

    @classmethod
    def parse(cls, text: str) -> Endpoint:
        """The inverse of ``str``; an IPv6 address stands in brackets."""
        try:
            address = Address.parse(text)
        except DeviceError:
            raise DeviceError(f"{text!r} is no HOST:PORT; write for example 127.0.0.1:9190") from None
        if address.user is not None or address.port is None:
            raise DeviceError(f"{text!r} is no HOST:PORT; write for example 127.0.0.1:9190")
        return cls(address.host, address.port)

    def __str__(self) -> str:
        return str(Address(self.host, port=self.port))


def is_loopback(host: str) -> bool:
    """Whether ``host`` is an IP address of this machine's loopback, or its usual name."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def require_open(host: str, open_to_network: bool) -> None:
    """RemoteError for a ``host`` that other machines reach, unless the user wants just that."""
    if not open_to_network and not is_loopback(host):
        raise RemoteError(
            f"refusing {host}: TVM's tracker and RPC ask nobody who they are, and who reaches them can run anything on "
            "the boards; use 127.0.0.1 and come through ssh, or say --open-to-network"
        )


def check_key(key: str) -> str:
    """``key``; DeviceError when no kind of board can be called so (TVM splits keys at colons and spaces)."""
    if not _KEY.fullmatch(key):
        raise DeviceError(f"no kind of board can be called {key!r}; use letters, digits, '.', '_' and '-'")
    return key
