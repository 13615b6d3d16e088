"""The wish to end a run, which is heard where the run can be ended.

Python raises KeyboardInterrupt wherever it happens to be. Inside a callback from MetaSchedule's C++, which calls the
database and the cost model, it is swallowed; inside a write to the log it loses a measurement. So an interrupt is
remembered, and whoever waits or begins something asks.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

POLL_SECONDS = 0.1
"""The longest that anybody who waits may go without asking."""


class Interruption:
    """Whether the run is to end; once asked for, it stays so."""

    def __init__(self) -> None:
        self.asked = False

    def ask(self) -> None:
        """Asks for the end."""
        self.asked = True

    def check(self) -> None:
        """Raises KeyboardInterrupt when the end was asked for."""
        if self.asked:
            raise KeyboardInterrupt

    @contextmanager
    def from_keyboard(self) -> Iterator[None]:
        """Takes SIGINT for asking, until the block ends; a second one raises KeyboardInterrupt wherever it comes.

        Changes nothing outside the main thread, where Python lets nobody handle signals, and where SIGINT is ignored,
        as it is for what a shell runs in the background.
        """
        before = signal.getsignal(signal.SIGINT)
        if threading.current_thread() is not threading.main_thread() or before in (signal.SIG_IGN, None):
            yield
            return
        signal.signal(signal.SIGINT, self._handle)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self.check()
        self.ask()
