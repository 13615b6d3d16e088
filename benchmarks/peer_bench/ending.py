"""How a benchmark's command ends."""

from __future__ import annotations

import sys
from collections.abc import Callable

from .errors import BenchmarkError


def exit_status(command: str, work: Callable[[], int]) -> int:
    """That of ``work``; 1 with one line on stderr where it fails, 130 when it is interrupted."""
    try:
        return work()
    except (BenchmarkError, OSError) as error:
        print(f"{command}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
