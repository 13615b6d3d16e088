"""Every test of the log runs on both databases."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from intbert.schedules.tuning_log import open_log
from intbert.schedules.tuning_log.log import TuningLog

from .server import Server, UnavailableError, running, skip_or_fail


@pytest.fixture(scope="session")
def postgresql_or_why() -> Iterator[Server | UnavailableError]:
    """Tried once for all tests."""
    try:
        with running() as server:
            yield server
    except UnavailableError as reason:
        yield reason


@pytest.fixture
def postgresql(postgresql_or_why: Server | UnavailableError) -> Server:
    if isinstance(postgresql_or_why, UnavailableError):
        skip_or_fail(postgresql_or_why)
    return postgresql_or_why


@pytest.fixture(params=["sqlite", "postgresql"])
def new_url(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], str]:
    """What makes the URL of one more log that is not there yet."""
    if request.param == "postgresql":
        return request.getfixturevalue("postgresql").new_database
    numbers = iter(range(100))
    return lambda: str(tmp_path / f"log{next(numbers)}.db")


@pytest.fixture
def url(new_url: Callable[[], str]) -> str:
    """The URL of a log that is not there yet."""
    return new_url()


@pytest.fixture
def log(url: str) -> Iterator[TuningLog]:
    """A log that is empty."""
    with open_log(url) as opened:
        yield opened
