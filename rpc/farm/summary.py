"""What a tracker knows: which boards there are under which keys, and which of them are free."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...errors import RemoteError
from .endpoint import Endpoint
from .tracker_protocol import SUCCESS, SUMMARY, TrackerConnection

_PROXY = re.compile(r"proxy\[(.*)\]")


@dataclass(frozen=True)
class Server:
    """A server that is registered: ``keys`` are more than one for a proxy, ``device`` is None where it is unknown."""

    keys: tuple[str, ...]
    host: str
    port: int
    proxy: bool
    device: str | None


@dataclass(frozen=True)
class Queue:
    """The boards under ``key``.

    ``free`` can be had at once. ``in_use`` is None where a proxy has boards of this key: it does not tell how many.
    ``waiting``: requests that were not served; who gave up is counted until a board becomes free.
    """

    key: str
    free: int
    in_use: int | None
    waiting: int
    devices: tuple[str, ...]


@dataclass(frozen=True)
class Summary:
    """A tracker's state at one time."""

    servers: tuple[Server, ...]
    queues: tuple[Queue, ...]

    def device_at(self, host: str, port: int) -> str | None:
        """The name of the device that is offered at this address."""
        return next((each.device for each in self.servers if (each.host, each.port) == (host, port)), None)

    @property
    def keys(self) -> list[str]:
        """The keys under which there are boards, sorted."""
        return [queue.key for queue in self.queues]


def read_summary(tracker: TrackerConnection) -> Summary:
    """Asks the tracker; RemoteError when it is lost or its answer makes no sense."""
    answer = tracker.call(SUMMARY)
    try:
        code, document = answer
        if code != SUCCESS:
            raise ValueError(f"code {code}")
        servers = tuple(_server(entry) for entry in document["server_info"])
        return Summary(servers, tuple(_queues(servers, document["queue_info"])))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise RemoteError(f"{tracker.endpoint}: its summary makes no sense ({error}); is it TVM's tracker?") from error


def query(endpoint: Endpoint) -> Summary:
    """The state of the tracker at ``endpoint``."""
    with TrackerConnection(endpoint) as tracker:
        return read_summary(tracker)


def _server(entry: Mapping[str, Any]) -> Server:
    key = str(entry["key"]).partition(":")[2]
    host, port = entry["addr"]
    proxy = _PROXY.fullmatch(key)
    keys = tuple(proxy.group(1).split(",")) if proxy else (key,)
    device = entry.get("device")
    return Server(keys, str(host), int(port), proxy is not None, None if device is None else str(device))


def _queues(servers: tuple[Server, ...], found: Mapping[str, Mapping[str, int]]) -> list[Queue]:
    queues = []
    for key in sorted({key for server in servers for key in server.keys} | set(found)):
        of_key = [server for server in servers if key in server.keys]
        free, waiting = (int(found.get(key, {}).get(name, 0)) for name in ("free", "pending"))
        if not of_key and not free:
            continue  # only asked for, or there was a board once
        in_use = None if any(server.proxy for server in of_key) else max(0, len(of_key) - free)
        devices = sorted(server.device for server in of_key if server.device is not None)
        queues.append(Queue(key, free, in_use, waiting, tuple(devices)))
    return queues
