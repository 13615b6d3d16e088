"""A board's ssh address as users write it: ``pi@raspberrypi.local:2222``."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ...errors import DeviceError

# Names that ssh, a shell or a URL could take for something else (an option, a path, a command) are none.
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}")
_HOST = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,252}[A-Za-z0-9_])?|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*")
_ADDRESS = re.compile(r"(?:(?P<user>[^@]*)@)?(?:\[(?P<bracketed>[^\]]*)\]|(?P<host>[^:@]*))(?::(?P<port>[^:]*))?")


@dataclass(frozen=True)
class Address:
    """``host`` is a name (an alias of the ssh configuration too) or an IP address; what is None ssh's configuration
    decides. Raises DeviceError for what is no user, host or port."""

    host: str
    user: str | None = None
    port: int | None = None

    def __post_init__(self) -> None:
        if not _HOST.fullmatch(self.host):
            raise DeviceError(f"{self.host!r} is no host name or IP address; write USER@HOST or USER@HOST:PORT")
        if self.user is not None and not _USER.fullmatch(self.user):
            raise DeviceError(f"{self.user!r} is no user name; write USER@HOST or USER@HOST:PORT")
        if self.port is not None and not 0 < self.port < 65536:
            raise DeviceError(f"port {self.port} does not exist; ports are 1 to 65535")

    @classmethod
    def parse(cls, text: str) -> Address:
        """The inverse of ``str``; an IPv6 address stands in brackets."""
        found = _ADDRESS.fullmatch(text)
        if found is None:
            raise DeviceError(f"{text!r} is no address; write USER@HOST or USER@HOST:PORT")
        user, bracketed, host, port = found.group("user", "bracketed", "host", "port")
        if port is not None and not re.fullmatch(r"[0-9]{1,5}", port):
            raise DeviceError(f"{text!r}: the port {port!r} is no number; write USER@HOST:PORT")
        return cls(host if bracketed is None else bracketed, user, None if port is None else int(port))

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        user = "" if self.user is None else f"{self.user}@"
        return user + host + ("" if self.port is None else f":{self.port}")
