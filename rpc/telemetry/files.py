"""Reading files of sysfs and procfs: None for whatever goes wrong, and no wait."""

from __future__ import annotations

import os
from contextlib import suppress

_CHUNK = 1 << 16
_MOST = 1 << 20


def read_text(path: str) -> str | None:
    """The content without white space around it; None where there is none, or it cannot be read."""
    content = b""
    try:
        # A pipe or a device in the file's place must not hold us up.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        while len(content) < _MOST and (chunk := os.read(descriptor, _CHUNK)):
            content += chunk
    except OSError:
        return None
    finally:
        with suppress(OSError):
            os.close(descriptor)
    return content.decode(errors="replace").strip() or None


def read_integer(path: str, base: int = 10) -> int | None:
    """The number that is the file's whole content, or None."""
    return parse_integer(read_text(path), base)


def parse_integer(text: str | None, base: int = 10) -> int | None:
    """The number that ``text`` is, or None; no sensor gives one of more than 64 bits."""
    if text is None:
        return None
    try:
        number = int(text, base)
    except ValueError:
        return None
    return number if abs(number) < 1 << 64 else None
