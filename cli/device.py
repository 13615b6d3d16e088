"""``intbert device``: the boards that are reached over ssh."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import boards, console, options

if TYPE_CHECKING:
    from ..rpc.devices.device import Device

Name = Annotated[str, typer.Argument(metavar="NAME", help="The device's name.")]


def register(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, help="Boards that are reached over ssh.")
    for name, command in _COMMANDS.items():
        group.command(name)(command)
    app.add_typer(group, name="device")


def add(
    address: Annotated[str, typer.Argument(metavar="USER@HOST[:PORT]", help="As for ssh; aliases of its config too.")],
    name: Annotated[str, typer.Option("--name", help="What to call the board from now on.")],
    accept_host_key: Annotated[
        str | None,
        typer.Option(
            "--accept-host-key", metavar="SHA256:...", help="The fingerprint of a host key ssh does not know."
        ),
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Add a board: probe it, choose its target, install the runtime in its ~/.intbert."""
    from ..rpc.devices.adding import add_device
    from ..rpc.devices.address import Address

    with boards.reaching() as terms:
        added = add_device(name, Address.parse(address), terms, accept_host_key=accept_host_key)
    if as_json:
        console.print_json({**_document(added.device), "installed": added.changed, "sent_bytes": added.sent_bytes})
        return
    _print(added.device)
    done = "the runtime was installed" if added.changed else "the runtime was there already"
    print(
        f"{done} ({added.sent_bytes / 1e6:.1f} MB sent); next: intbert compile MODEL.q --target {added.device.target}"
    )


def list_(as_json: options.Json = False) -> None:
    """List the devices."""
    from ..rpc.devices.inventory import Inventory

    inventory = Inventory()
    devices = [inventory.get(name) for name in inventory.names()]
    if as_json:
        console.print_json({"devices": [_document(device) for device in devices]})
        return
    rows = [
        (d.name, str(d.address), d.target, d.facts.model or d.facts.arch, d.facts.cores, d.facts.memory_mb)
        for d in devices
    ]
    console.print_table(("name", "address", "target", "model", "cores", "MiB"), rows)


def show(name: Name, as_json: options.Json = False) -> None:
    """Show what is known of a device; the board is not asked."""
    from ..rpc.devices.inventory import Inventory

    device = Inventory().get(name)
    if as_json:
        console.print_json(_document(device))
    else:
        _print(device)


def probe(name: Name, as_json: options.Json = False) -> None:
    """Look at the board again, and keep what is found."""
    from ..rpc.devices.adding import probe_again
    from ..rpc.sessions.board_session import reach

    with boards.reaching() as terms:
        device = terms.inventory.get(name)
        connection = reach(device, terms)
        try:
            device = probe_again(device, connection, terms)
        finally:
            connection.close()
    if as_json:
        console.print_json(_document(device))
    else:
        _print(device)


def doctor(name: Name, as_json: options.Json = False) -> None:
    """Check the way to a board and what is on it, and say how to mend what is not as needed."""
    from ..rpc.devices.doctor import examine

    with boards.reaching() as terms:
        checks = examine(terms.inventory.get(name), terms)
    failed = [check for check in checks if not check.good]
    if as_json:
        console.print_json({"ok": not failed, "checks": [vars(check) for check in checks]})
    else:
        rows = [(c.name, "good" if c.good else "NOT GOOD", c.found, c.mend or "") for c in checks]
        console.print_table(("check", "status", "found", "to mend it"), rows)
    if failed:
        raise typer.Exit(1)


def remove(
    name: Name,
    forget: Annotated[
        bool, typer.Option("--forget", help="Forget a board that cannot be reached; what is on it stays there.")
    ] = False,
) -> None:
    """Delete all that intbert put on the board, and forget it."""
    from ..rpc.devices.adding import forget_device, remove_device
    from ..rpc.devices.inventory import Inventory

    if forget:
        forget_device(name, Inventory())
        return
    with boards.reaching() as terms:
        remove_device(name, terms)


def serve(
    name: Name,
    tracker: Annotated[
        str | None, typer.Option("--tracker", metavar="HOST:PORT", help="Offer the board through this tracker.")
    ] = None,
    proxy: Annotated[
        str | None,
        typer.Option("--proxy", metavar="HOST:PORT", help="Connect out to this proxy, instead of --tracker."),
    ] = None,
    key: Annotated[str | None, typer.Option("--key", help="The kind of board; by default the device's target.")] = None,
    listen: Annotated[
        str, typer.Option("--listen", metavar="ADDRESS", help="Where clients that the tracker sends come to.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="The port there; 0 takes a free one.")] = 0,
    idle: Annotated[
        float, typer.Option("--idle", min=1, help="Seconds that a client may have the board and do nothing.")
    ] = 1800.0,
    open_to_network: boards.OpenToNetwork = False,
    wait: boards.Wait = boards.WAIT_SECONDS,
) -> None:
    """Hold a session with a board, and offer it to the clients of a tracker until this is interrupted."""
    if (tracker is None) == (proxy is None):
        raise typer.BadParameter("give --tracker or --proxy, one of them")

    from ..rpc.farm import serving
    from ..rpc.farm.endpoint import Endpoint

    terms = boards.terms(console.say, wait)
    key = key or terms.inventory.get(name).target
    with console.until_interrupted():
        if proxy is not None:
            offer = serving.proxy_offer(Endpoint.parse(proxy), key, name, open_to_network)
        else:
            assert tracker is not None
            offer = serving.tracker_offer(Endpoint.parse(tracker), key, name, listen, port, open_to_network)
        if open_to_network:
            console.say(boards.OPEN_WARNING)
        limits = serving.Limits(terms.timeout, idle)
        serving.keep_serving(name, serving.device_server(name, terms), offer, console.say, limits)


_COMMANDS = {
    "add": add,
    "list": list_,
    "show": show,
    "probe": probe,
    "doctor": doctor,
    "serve": serve,
    "remove": remove,
}


def _document(device: Device) -> dict[str, Any]:
    import json

    return json.loads(device.to_json())


def _print(device: Device) -> None:
    facts = device.facts
    python = ", ".join(each.version_text for each in facts.pythons)
    rows = {
        "name": device.name,
        "address": str(device.address),
        "target": device.target,
        "because": device.reason,
        "model": facts.model,
        "system": f"{facts.distribution or facts.system}, {facts.kernel}, {facts.bits} bit",
        "processor": f"{facts.arch}, {facts.cores} cores, {' '.join(sorted(facts.features))}",
        "memory": f"{facts.memory_mb} MiB",
        "free disk": f"{facts.free_mb} MiB",
        "Python": python,
        "governor": facts.governor,
        "sensors": ", ".join(facts.sensors),
        "runtime": "not installed" if device.runtime is None else device.runtime[:12],
    }
    console.print_table(("", ""), [(name, console.cell(value)) for name, value in rows.items()])
