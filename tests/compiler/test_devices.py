"""Devices: the same bytes, whether a library computes on the host's memory or on copies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from intbert.compiler.artifact import LIBRARY_FILE, Bucket, read_manifest
from intbert.compiler.runtime import devices
from intbert.compiler.runtime.devices import CPU, CopyingDevice, Device, HostDevice
from intbert.compiler.runtime.inputs import Tokens
from intbert.compiler.runtime.shapes import VirtualMachine
from intbert.errors import ArtifactError

from .toy_artifact import expected

# A copying device on the CPU: all that a GPU does differently is where the copies lie.
DEVICES = {"host": HostDevice(), "copies": CopyingDevice(CPU)}


@pytest.mark.parametrize("device", DEVICES.values(), ids=DEVICES)
def test_every_call_has_its_own_values(toy: Path, device: Device):
    machine = VirtualMachine(toy / LIBRARY_FILE, read_manifest(toy), device)
    shape = machine.shape(Bucket(8, 4))
    rng = np.random.default_rng(0)
    results = []
    for rows, length in ((4, 8), (2, 5), (4, 8)):
        ids, types = rng.integers(0, 8, (rows, length)), rng.integers(0, 2, (rows, length))
        mask = rng.integers(0, 2, (rows, length))
        mask[:, 0] = 1
        tokens = Tokens(*(array.astype(np.int32) for array in (ids, mask, types)))
        results.append((shape(tokens)[:rows], expected(tokens.ids, tokens.mask, tokens.types, per_token=False)))
    for result, right in results:  # after all calls: no result is memory that a later one writes to
        np.testing.assert_array_equal(result, right)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "int32", "float32", "float64"])
def test_values_come_back_from_a_copying_device(dtype: str):
    device = CopyingDevice(CPU)
    array = np.arange(60).reshape(3, 4, 5).astype(dtype)
    array.flags.writeable = False
    fetched = device.result(device.resident, array)
    assert fetched.dtype == array.dtype
    np.testing.assert_array_equal(fetched, array)


def test_inputs_are_copied_when_they_are_updated():
    device = CopyingDevice(CPU)
    buffer = np.zeros((2, 3), np.int32)
    tensors = device.inputs([buffer])
    buffer[:] = 7
    device.update(tensors, [buffer])
    buffer[:] = 8
    np.testing.assert_array_equal(device.result(lambda tensor: tensor, tensors[0]), np.full((2, 3), 7))


def test_a_full_device_is_told(monkeypatch: pytest.MonkeyPatch):
    def full(*arguments: Any) -> Any:
        raise RuntimeError("CUDA: out of memory\nStack trace: ...")

    class Runtime:
        Shape, dtype, device = tuple, str, staticmethod(lambda kind, number: (kind, number))

        def get_global_func(self, name: str) -> Any:
            assert name == "runtime.TVMTensorAllocWithScope"
            return full

    monkeypatch.setattr(devices, "tvm_runtime", Runtime)
    with pytest.raises(ArtifactError, match=r"no memory for 4\.0 MB more \(CUDA: out of memory\); end other programs"):
        CopyingDevice().resident(np.zeros(10**6, np.int32))
