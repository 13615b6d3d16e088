"""The lines that ``probe.sh`` prints, as values by key.

A report comes from a machine that may be anybody's, through a shell that may print whatever it likes before it. So
nothing of it is shown to a user unless :func:`one_line` has seen it.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping

from ...errors import RemoteError

BEGIN, END = "intbert-probe=1", "end=1"

LONGEST_VALUE = 200
"""Characters of a value that is shown to users."""

LONGEST_TEXT = 1 << 14
"""Characters of a value that is searched in one piece: what follows is no board's honest answer."""

_LINE = re.compile(r"([a-z][a-z0-9_]*)=(.*)", re.DOTALL)


class Report:
    """The values of one report."""

    def __init__(self, values: Mapping[str, list[str]]) -> None:
        self._values = values

    @classmethod
    def read(cls, text: str) -> Report:
        """The report in ``text``, whatever stands before and after it. Raises RemoteError when it is none, or cut off.

        Lines without a key are passed over: programs that the account's shell left running may print, too.
        """
        lines = text.split("\n")  # not splitlines(): a value may hold any of the other ends of lines
        starts = [number for number, line in enumerate(lines) if line == BEGIN]
        if not starts:
            said = one_line(text[:LONGEST_TEXT])
            raise RemoteError(
                f"the board's shell did not run the probe, it said {said[:80]!r}; the account needs a POSIX shell"
                if said
                else "the board's shell did not run the probe and said nothing; the account needs a POSIX shell"
            )
        values: dict[str, list[str]] = defaultdict(list)
        for line in lines[starts[-1] + 1 :]:
            if line == END:
                return cls(dict(values))
            found = _LINE.fullmatch(line)
            if found is not None:
                values[found[1]].append(found[2])
        raise RemoteError("the board's report is cut off; is the connection unstable, or the board out of memory?")

    def lines(self, key: str) -> list[str]:
        """The lines of a value, or the values of a key that stands for several; none when there is nothing."""
        return list(self._values.get(key, ()))

    def text(self, key: str) -> str:
        """The value as the board gave it, its lines joined, cut after :data:`LONGEST_TEXT` characters."""
        return "\n".join(self.lines(key))[:LONGEST_TEXT]

    def line(self, key: str) -> str | None:
        """The value on one line that can be shown, None when there is nothing to show."""
        return one_line(self.text(key)) or None

    def shown(self, key: str) -> Iterator[str]:
        """Each of the values that can be shown, on one line."""
        yield from filter(None, map(one_line, self.lines(key)))

    def integer(self, key: str) -> int | None:
        """The first number of the value, without what follows a decimal point; None when there is none."""
        found = re.search(r"[0-9]{1,18}", self.text(key))
        return int(found[0]) if found else None

    def fields(self, key: str, separator: str) -> dict[str, str]:
        """What stands before and after ``separator`` on each line that has it."""
        parts = (line.partition(separator) for line in self.lines(key))
        return {before.strip(): after.strip() for before, found, after in parts if found}


def one_line(text: str) -> str:
    """``text`` without control characters, escapes, or marks that turn its direction, shortened, on one line."""
    printable = "".join(character if character.isprintable() else " " for character in text)
    words = " ".join(printable.split())
    return words if len(words) <= LONGEST_VALUE else words[: LONGEST_VALUE - 3] + "..."
