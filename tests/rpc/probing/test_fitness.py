"""Boards that can run the runtime, and what the others are told."""

from __future__ import annotations

import re

import pytest
from intbert.errors import UnsuitableBoardError
from intbert.rpc.probing import BoardFacts, best_python, parse_report, problems, require_fit

from .reports import BOARDS, linux, report_of, rpi4

UNFIT = {"rpi3-32-bit-programs", "rpi-zero", "jetson-nano", "alpine"}


def facts_of(values: dict[str, str]) -> BoardFacts:
    return parse_report(report_of(values))


@pytest.mark.parametrize("board", sorted(BOARDS.keys() - UNFIT))
def test_a_board_that_fits(board):
    facts = facts_of(BOARDS[board]())
    assert problems(facts) == []
    require_fit(facts)


@pytest.mark.parametrize(
    ("values", "messages"),
    [
        pytest.param(
            BOARDS["rpi3-32-bit-programs"](),
            [r"32-bit \(its aarch64 kernel runs 32-bit programs\); install the 64-bit Raspberry Pi OS"],
            id="rpi3-32-bit-programs",
        ),
        pytest.param(
            linux("armv7l", long_bit="32"), ["armv7l kernel .* install a 64-bit system", "Python"], id="armv7l"
        ),
        pytest.param(BOARDS["rpi-zero"](), [r"32-bit \(armv6l\) and can never .* use a 64-bit board"], id="rpi-zero"),
        pytest.param(
            BOARDS["jetson-nano"](),
            [r"it has 3\.6\.9 at /usr/bin/python3, the runtime needs Python 3\.10 to 3\.14; .*uv python install 3\.11"],
            id="jetson-nano",
        ),
        pytest.param(BOARDS["alpine"](), [r"musl, the runtime needs glibc 2\.27; install .*Debian"], id="alpine"),
        pytest.param(linux("riscv64"), ["processor is riscv64; .* aarch64 and x86_64, use another"], id="riscv64"),
        pytest.param({**rpi4(), "system": "FreeBSD", "libc": ""}, ["it runs FreeBSD; intbert needs Linux"], id="bsd"),
        pytest.param(
            {**rpi4(), "libc": "glibc 2.24"}, [r"glibc is 2\.24, the runtime needs 2\.27; upgrade"], id="glibc"
        ),
        pytest.param({**rpi4(), "libc": ""}, ["C library cannot be told, .*install"], id="no-libc"),
        pytest.param({**rpi4(), "python": ""}, ["it has no Python at all, .*apt install python3.11"], id="no-python"),
        pytest.param(
            {**rpi4(), "python": "cpython 3.11.2 64 0 /usr/bin/python3"},
            [r"/usr/bin/python3 \(3\.11\.2\) lacks the venv module; `sudo apt install python3\.11-venv`"],
            id="no-venv",
        ),
        pytest.param(
            {**rpi4(), "python": "cpython 3.9.2 64 1 /usr/bin/python3\ncpython 3.15.0 64 1 /opt/python3"},
            [r"it has 3\.9\.2 at /usr/bin/python3, 3\.15\.0 at /opt/python3, the runtime needs"],
            id="too-old-and-too-new",
        ),
        pytest.param(
            {**rpi4(), "df": "Filesystem 1024-blocks Used Available Capacity Mounted on\n/dev/root 9 9 102400 99% /"},
            ["100 MB are free at /home/pi, the runtime needs 200 MB; make room"],
            id="disk",
        ),
        pytest.param({**rpi4(), "df": ""}, ["free space at /home/pi cannot be told"], id="no-home-folder"),
        pytest.param(
            {**rpi4(), "libc": "glibc 2.24", "python": "cpython 3.5.3 64 1 /usr/bin/python3", "df": ""},
            ["glibc", "Python", "free space"],
            id="several",
        ),
    ],
)
def test_every_problem_is_named_with_its_remedy(values, messages):
    facts = facts_of(values)
    found = problems(facts)
    for message, problem in zip(messages, found, strict=True):
        assert re.search(message, problem)
    with pytest.raises(UnsuitableBoardError, match="cannot run intbert: ") as raised:
        require_fit(facts)
    assert all(problem in str(raised.value) for problem in found)
    assert str(raised.value).isprintable()


@pytest.mark.parametrize(
    ("listed", "best"),
    [
        (["3.10.12 64 1 /a", "3.12.3 64 1 /b", "3.11.2 64 1 /c"], "/b"),
        (["3.9.2 64 1 /a", "3.10.0 64 1 /b"], "/b"),
        (["3.14.2 64 1 /a", "3.15.0 64 1 /b"], "/a"),
        (["3.12.3 64 0 /a", "3.11.2 64 1 /b"], "/b"),
        (["3.12.3 32 1 /a", "3.11.2 64 1 /b"], "/b"),
        (["3.11.2 64 1 /a", "3.11.2 64 1 /b"], "/a"),
        (["3.9.2 64 1 /a"], None),
        ([], None),
    ],
    ids=["newest", "by-number", "with-wheels", "with-venv", "of-the-system's-bits", "first-of-equals", "old", "none"],
)
def test_best_python(listed, best):
    facts = facts_of({**rpi4(), "python": "\n".join(f"cpython {python}" for python in listed)})
    python = best_python(facts)
    assert (python and python.path) == best
