"""Adding a board: log in, probe, choose a preset, install the runtime."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from ...errors import DeviceError
from ...targets.closest import Choice, closest_preset
from .. import probing
from ..probing import BoardFacts, gpu_problem, parse_report, require_fit, usable_gpu
from ..sessions.board_session import Terms, log_in, reach, refuse_busy
from ..sessions.connection import Connection
from ..ssh import Login, forget_key
from .address import Address
from .device import Device, check_name
from .installation import install, uninstall, wheels_for
from .inventory import Inventory

PROBE = Path(probing.__file__).with_name("probe.sh")
PROBE_SECONDS = 60.0


@dataclass(frozen=True)
class Added:
    """What adding a board came to. ``changed``: whether a runtime had to be installed."""

    device: Device
    changed: bool
    sent_bytes: int


def probe(connection: Connection) -> BoardFacts:
    """What the board is; nothing is written on it."""
    script = PROBE.read_bytes()
    return parse_report(connection.run(["sh", "-s"], input=script, seconds=PROBE_SECONDS).output)


def choose(facts: BoardFacts) -> Choice:
    """The closest preset; why it leaves a GPU unused, if there is one."""
    choice = closest_preset(
        arch=facts.arch,
        features=facts.features,
        cpus=facts.cpu_names,
        model=facts.model,
        cores=facts.cores,
        memory_mb=facts.memory_mb,
        gpu=usable_gpu(facts),
    )
    problem = gpu_problem(facts)
    return choice if problem is None else replace(choice, reason=f"{choice.reason}; its GPU is not used: {problem}")


def add_device(name: str, address: Address, terms: Terms, *, accept_host_key: str | None = None) -> Added:
    """Makes the board at ``address`` the device ``name``; for one that is so already, nothing changes on the board.

    Raises:
        DeviceError: the name is that of another board, or no device can be called so.
        HostKeyError: the host key is unknown, and is not the accepted one; or it changed.
        UnsuitableBoardError: the board cannot run the runtime; every reason is named.
    """
    terms.inventory.refuse_another(check_name(name), address)
    login = Login(address, terms.inventory.accepted_keys, accept=accept_host_key)
    connection = log_in(login, terms)
    try:
        terms.tell("probing the board")
        facts = probe(connection)
        require_fit(facts)
        choice = choose(facts)
        device = Device(name, address, facts, choice.target.name, choice.reason)
        wheels = wheels_for(facts, terms.tell)
        changed = install(connection, facts, wheels, terms.tell)
        device = device.with_runtime(wheels.digest)
        terms.inventory.keep(device)
        return Added(device, changed, connection.sent_bytes)
    finally:
        connection.close()


def probe_again(device: Device, connection: Connection, terms: Terms) -> Device:
    """The device as it is now, kept so: a board may have got another system, or more memory."""
    facts = probe(connection)
    choice = choose(facts)
    found = Device(device.name, device.address, facts, choice.target.name, choice.reason, device.runtime)
    terms.inventory.keep(found)
    return found


def remove_device(name: str, terms: Terms) -> None:
    """Deletes all of ours on the board and here. BusyError while somebody has a session there."""
    device = terms.inventory.get(name)
    connection = reach(device, terms)
    try:
        refuse_busy(device, connection)
        uninstall(connection, device.facts)
    finally:
        connection.close()
    forget_device(name, terms.inventory)


def forget_device(name: str, inventory: Inventory) -> None:
    """Removes the device here, with the host key that was accepted for it unless another device has the address.

    A device whose file makes no sense is removed too; the key stays then.
    """
    try:
        address = inventory.get(name).address
    except DeviceError:
        address = None
    inventory.remove(name)
    if address is not None and address not in inventory.addresses():
        forget_key(Login(address, inventory.accepted_keys))
