"""Addresses: what users write, and what must never reach ssh or a shell."""

from __future__ import annotations

import pytest
from intbert.errors import DeviceError
from intbert.rpc.devices.address import Address


@pytest.mark.parametrize(
    ("text", "address"),
    [
        pytest.param("board", Address("board"), id="alias"),
        pytest.param("pi@raspberrypi.local", Address("raspberrypi.local", "pi"), id="user"),
        pytest.param("pi@10.0.0.7:2222", Address("10.0.0.7", "pi", 2222), id="port"),
        pytest.param("pi@[fe80::1]:22", Address("fe80::1", "pi", 22), id="ipv6-with-port"),
        pytest.param("[::1]", Address("::1"), id="ipv6"),
        pytest.param("a_b@my-board_2", Address("my-board_2", "a_b"), id="underscores"),
    ],
)
def test_addresses_are_read_and_written(text: str, address: Address) -> None:
    assert Address.parse(text) == address
    assert str(address) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "pi@",
        "@board",
        "pi@-oProxyCommand=touch x",
        "-oProxyCommand=touch@board",
        "pi@board; rm -rf ~",
        "pi@board rm",
        "pi@$(touch x)",
        "pi@`touch x`",
        "p i@board",
        "pi@board:",
        "pi@board:ssh",
        "pi@board:0",
        "pi@board:65536",
        "pi@board:22:22",
        "pi@board\nHost x",
        "pi@b\x00ard",
        "pi@a/b",
        "a@b@c",
        "pi@[board",
        "pi@bo\u202eard",
        "pi@.board",
        "pi@board-",
        "pi@board:\u0662\u0662",
    ],
)
def test_hostile_and_mistaken_addresses_are_refused(text: str) -> None:
    with pytest.raises(DeviceError, match=r"write USER@HOST|ports are 1 to 65535"):
        Address.parse(text)
