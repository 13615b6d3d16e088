"""What every test shares: the order of the tests, which of them run side by side, and how hypothesis runs."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# The same examples in every run, and nothing that depends on how fast or busy the machine is.
settings.register_profile(
    "intbert", derandomize=True, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("intbert")

FIRST = "test_end_to_end_tiny.py"
TESTS = Path(__file__).parent
MACHINE_WIDE = ("devices", "rpc")
"""Their tests start boards, which all of them share, and look at the ports and processes of the whole machine."""


@pytest.hookimpl(tryfirst=True)  # pytest-xdist reads the groups in the same hook
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the tiny end-to-end test first: it takes seconds and says whether the rest is worth waiting for.

    Next those that must run one after the other, which take the longest; pytest-xdist keeps the tests of a group in one
    process, as their fixtures want it.
    """
    items.sort(key=lambda item: (item.path.name != FIRST, not _is_machine_wide(item)))
    for item in items:
        item.add_marker(pytest.mark.xdist_group("machine" if _is_machine_wide(item) else str(item.path)))


def _is_machine_wide(item: pytest.Item) -> bool:
    return item.path.relative_to(TESTS).parts[0] in MACHINE_WIDE
