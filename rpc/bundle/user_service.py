"""A service of an account's own systemd on a board."""

from __future__ import annotations

from dataclasses import dataclass

from ..sessions.connection import Connection

SYSTEMCTL_SECONDS = 120.0
"""For each call; starting waits until the model is loaded."""
_NOT_FOUND = 127
"""A shell's status for a program that is not there."""


@dataclass(frozen=True)
class Started:
    """The unit file at ``unit``. ``problem``: why it does not run, in words; None when it runs."""

    unit: str
    problem: str | None


def start_service(connection: Connection, folder: str, name: str) -> Started:
    """Enables the service whose unit lies in ``folder``, and starts it, or again when it runs.

    What cannot be started is no error: the unit is there.
    """
    unit = f"{folder}/{name}.service"
    for words in (["daemon-reload"], ["enable", unit], ["restart", f"{name}.service"]):
        done = connection.run(["systemctl", "--user", *words], seconds=SYSTEMCTL_SECONDS)
        if done.status == _NOT_FOUND:
            return Started(unit, "the board has no systemctl")
        if done.status:
            said = (done.errors.strip() or f"it ended with {done.status}").splitlines()[-1]
            return Started(unit, f"`systemctl --user {words[0]}` failed: {said}")
    return Started(unit, None)
