"""What the doctor says of sensors, in a server's process; of all else: devices/test_boards.py."""

from __future__ import annotations

import pytest
from intbert.rpc.devices.doctor import _sensors
from intbert.rpc.telemetry import CPU, GPU, Processor

from ..server_process import ServerProcess


@pytest.mark.parametrize(("processor", "prefix"), [(CPU, ""), (GPU, "GPU ")], ids=["cpu", "gpu"])
def test_sensors_are_named_after_a_gpu(server: ServerProcess, processor: Processor, prefix: str) -> None:
    with server.connect() as session:
        names = [check.name for check in _sensors(session, processor)]
    quantities = ("clock", "temperature", "throttled", "power", "throttling now")
    assert names == [f"{prefix}{quantity}" for quantity in quantities]
