"""What happens where a virtual board cannot be had: the tests skip, or fail where they must run."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest

REQUIRED = "INTBERT_REQUIRE_VIRTUAL_BOARD"
"""Where this is 1, a machine that cannot have a virtual board fails the tests instead of skipping them."""


class UnavailableError(Exception):
    """Something that the virtual board needs is not there; the message says what."""


def skip_or_fail(reason: UnavailableError) -> NoReturn:
    """Ends the test that needs the board."""
    if os.environ.get(REQUIRED) == "1":
        pytest.fail(f"{REQUIRED}=1, but there is no virtual board: {reason}")
    pytest.skip(f"no virtual board: {reason}")
