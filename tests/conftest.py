"""What every test shares: the order of the tests, which of them run side by side, and how hypothesis runs."""

import pytest
from hypothesis import HealthCheck, settings
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

# The same examples in every run, and nothing that depends on how fast or busy the machine is.
settings.register_profile(
    "intbert", derandomize=True, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("intbert")

FIRST = "test_end_to_end_tiny.py"
MACHINE_WIDE = ("tests/devices/", "tests/rpc/")
"""Their tests start boards, which all of them share, and look at the ports and processes of the whole machine."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the tiny end-to-end test first: it takes seconds and says whether the rest is worth waiting for.

    Next those that must run one after the other, which take the longest.
    """
    items.sort(key=lambda item: (item.path.name != FIRST, not item.nodeid.startswith(MACHINE_WIDE)))


class FilesAndTheMachine(LoadScopeScheduling):
    """A file's tests run in one process, as their fixtures want it; those of the whole machine all in the same one."""

    def _split_scope(self, nodeid: str) -> str:
        return "machine" if nodeid.startswith(MACHINE_WIDE) else nodeid.partition("::")[0]


@pytest.hookimpl(optionalhook=True)  # there is no such hook where pytest-xdist is switched off
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> FilesAndTheMachine:
    """How ``--numprocesses`` divides the tests."""
    return FilesAndTheMachine(config, log)
