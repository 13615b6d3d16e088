"""``intbert tracker``: TVM's tracker, through which several users share boards."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from . import boards, console, options

if TYPE_CHECKING:
    from ..rpc.farm.summary import Summary
    from ..rpc.farm.tracker import Running


def register(app: typer.Typer) -> None:
    app.command("tracker")(tracker)


def tracker(
    host: Annotated[str, typer.Option("--host", metavar="ADDRESS", help="Where to listen.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="The tracker's port; 0 takes a free one.")
    ] = 9190,
    proxy_port: Annotated[
        int | None, typer.Option("--proxy-port", min=0, max=65535, help="Run TVM's proxy too, on this port.")
    ] = None,
    query: Annotated[
        str | None, typer.Option("--query", metavar="HOST:PORT", help="Show what the tracker there has; run none.")
    ] = None,
    open_to_network: boards.OpenToNetwork = False,
    as_json: options.Json = False,
) -> None:
    """Run TVM's tracker until this is interrupted, or show which boards a running one has."""
    if query is not None:
        _query(query, as_json)
        return
    from ..rpc.farm.tracker import run_tracker

    if open_to_network:
        console.say(boards.OPEN_WARNING)
    run_tracker(host, port, proxy_port, open_to_network, lambda running: _ready(running, as_json))


def _ready(running: Running, as_json: bool) -> None:
    proxy = None if running.proxy is None else str(running.proxy)
    if as_json:
        console.print_json({"tracker": str(running.tracker), "proxy": proxy})
    else:
        print(f"the tracker is at {running.tracker}" + ("" if proxy is None else f", the proxy at {proxy}"))
    sys.stdout.flush()


def _query(where: str, as_json: bool) -> None:
    from dataclasses import asdict

    from ..rpc.farm.endpoint import Endpoint
    from ..rpc.farm.summary import query

    summary: Summary = query(Endpoint.parse(where))
    if as_json:
        console.print_json({"tracker": where, "boards": [asdict(queue) for queue in summary.queues]})
        return
    rows = [(q.key, q.free, q.in_use, q.waiting, ", ".join(q.devices)) for q in summary.queues]
    console.print_table(("key", "free", "in use", "waiting", "devices"), rows)
