"""What every test shares: the order of the tests, and how hypothesis runs."""

import pytest
from hypothesis import HealthCheck, settings

# The same examples in every run, and nothing that depends on how fast or busy the machine is.
settings.register_profile(
    "intbert", derandomize=True, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("intbert")

FIRST = "test_end_to_end_tiny.py"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the tiny end-to-end test first: it takes seconds and says whether the rest is worth waiting for."""
    items.sort(key=lambda item: item.path.name != FIRST)
