"""Is a device as it has to be? From the network up to the sensors, with what to do where it is not."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ...errors import IntbertError
from ..probing import BoardFacts, CudaFacts, driver_release, gpu_problem, problems
from ..sessions.board_session import Terms, reach, served
from ..sessions.connection import Connection
from ..sessions.session import Session
from ..telemetry import CPU, GPU, Processor
from .adding import choose, probe
from .device import Device
from .installation import is_installed, wheels_for


@dataclass(frozen=True)
class Check:
    """One thing that was looked at. ``mend``: what to do, None where nothing needs to be done."""

    name: str
    good: bool
    found: str
    mend: str | None = None


def examine(device: Device, terms: Terms) -> list[Check]:
    """The checks in order, up to the first that makes the later ones impossible. Changes nothing on the board."""
    checks: list[Check] = []
    try:
        for check in _checks(device, terms):
            checks.append(check)
    except IntbertError as error:
        checks.append(Check("connection", False, str(error), "mend what the message says, then run this again"))
    return checks


def _checks(device: Device, terms: Terms) -> Iterator[Check]:
    start = time.monotonic()
    connection = reach(device, terms)
    try:
        yield Check("ssh", True, f"{device.address} in {time.monotonic() - start:.1f} s")
        facts = probe(connection)
        yield from _system(device, facts)
        wheels = wheels_for(facts)
        if not is_installed(connection, facts, wheels):
            yield Check(
                "runtime",
                False,
                "not that of this intbert",
                "the next session installs it, as `intbert device add` does",
            )
            return
        yield Check("runtime", True, f"installed ({wheels.digest[:12]})")
        computing = [CPU] if facts.cuda is None or gpu_problem(facts) is not None else [CPU, GPU]
        yield from _serving(device.with_runtime(wheels.digest), connection, terms, computing)
    finally:
        connection.close()


def _system(device: Device, facts: BoardFacts) -> Iterator[Check]:
    reasons = problems(facts)
    yield Check(
        "system",
        not reasons,
        "; ".join(reasons) or f"{facts.distribution or facts.system}, {facts.arch}",
        "; ".join(reasons) or None,
    )
    target = choose(facts).target.name
    same = target == device.target
    yield Check(
        "target",
        same,
        target if same else f"{target}, not {device.target} as when it was added",
        None if same else f"`intbert device probe {device.name}`, then compile for {target}",
    )
    if facts.cuda is not None:
        problem = gpu_problem(facts)
        yield Check("GPU", True, _gpu(facts.cuda), problem)
    fast = facts.governor in (None, "performance")
    yield Check(
        "governor",
        True,
        facts.governor or "unknown",
        None
        if fast
        else "for steady figures: `echo performance | sudo tee /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor`",
    )


def _gpu(cuda: CudaFacts) -> str:
    name = cuda.gpu or "NVIDIA"
    capability = "" if cuda.sm is None else ", compute capability {}.{}".format(*cuda.sm)
    runtime = ", no CUDA runtime" if cuda.runtime is None else ", CUDA {}.{}".format(*cuda.runtime)
    release = driver_release(cuda)
    driver = "" if release is None else ", driver of CUDA {}.{}".format(*release)
    return f"{name}{capability}{runtime}{driver}"


def _serving(device: Device, connection: Connection, terms: Terms, computing: Sequence[Processor]) -> Iterator[Check]:
    start = time.monotonic()
    with served(device, connection, terms) as session:
        session.features()
        yield Check("server", True, f"answers {time.monotonic() - start:.1f} s after its start")
        for processor in computing:
            yield from _sensors(session, processor)


def _sensors(session: Session, processor: Processor) -> Iterator[Check]:
    inventory, conditions = session.sensors(processor.name), session.conditions(processor.name)
    prefix = "" if processor is CPU else f"{processor.name.upper()} "
    for quantity in ("clock", "temperature", "throttled", "power"):
        source = inventory[quantity]
        yield Check(f"{prefix}{quantity}", True, f"from {source}" if source else "this board cannot tell")
    reasons = conditions["throttled"] or ()
    yield Check(
        f"{prefix}throttling now",
        not reasons,
        ", ".join(reasons) or "none",
        "a stronger power supply against under-voltage, a fan against heat" if reasons else None,
    )
