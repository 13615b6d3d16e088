"""Programs of this machine that a board needs."""

from __future__ import annotations

import os
import shutil

from .unavailable import UnavailableError


def find_program(name: str, package: str) -> str:
    """The path of a program, system administrators' folders included; UnavailableError where it is missing."""
    found = shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")
    if found is None:
        raise UnavailableError(f"a board behind ssh needs {name}; install {package}")
    return found
