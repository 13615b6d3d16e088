"""Tuning on two boards of a farm at once, one of which restarts meanwhile."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from intbert.compiler import oracle
from intbert.compiler.model import HeadKind
from intbert.compiler.model_files import save
from intbert.errors import TuningLogError
from intbert.rpc.sessions.remote_artifact import remote_artifact
from intbert.schedules.tuning_log import open_log

from ..models import Size, inputs, tiny_model
from ..rpc.farm.processes import FarmProcesses, eventually, free
from .desk import SECONDS, Desk
from .ssh_board import SshBoard

pytestmark = pytest.mark.usefixtures("seated")

TRIALS = 16
BEFORE_THE_RESTART = 4


def test_tuning_through_a_restart(
    desk: Desk, pi: SshBoard, five: SshBoard, farm: FarmProcesses, tmp_path: Path
) -> None:
    model = tiny_model("Bert", HeadKind.MEAN_POOLING, Size(hidden=64, heads=2, intermediate=128))
    quantized, log = tmp_path / "tiny.q", tmp_path / "tuning.db"
    quantized.mkdir()
    save(model, quantized)
    tracker = farm.tracker()["tracker"]
    serve = ("-m", "intbert.cli.main", "device", "serve")
    gateways = [farm.start(*serve, name, "--tracker", tracker, "--key", "arm") for name in ("pi", "five")]
    eventually(lambda: free(tracker, "arm") == 2)
    command = ["tune", quantized, "--target", "rpi4", "--lengths", "16", "--threads", "1", "--log", log]
    options = ["--tracker", tracker, "--key", "arm", "--wait", "120", "--trials", TRIALS, "--json"]
    tune = farm.start("-m", "intbert.cli.main", *command, *options)
    eventually(lambda: count(log) >= BEFORE_THE_RESTART)
    pi.reboot()
    document = json.loads(farm.line(tune))
    assert sum(task["trials"] for task in document["tasks"]) == TRIALS
    with open_log(log, read_only=True) as opened:
        records = list(opened.records())
    assert {record.error for record in records} == {None}
    assert {record.checked_by for record in records} == {"intbert oracle"}
    devices = Counter(record.device.name for record in records)
    assert set(devices) == {"pi", "five"}, devices
    assert {record.device.cpu for record in records} == {"cortex-a72", "cortex-a76"}

    for gateway in gateways:
        gateway.terminate()
        gateway.wait(SECONDS)
    common = ["--target", "rpi4", "--lengths", "16", "--threads", "1", "--log", log]
    kernels = desk.json("compile", quantized, *common, "--output", tmp_path / "artifact")["kernels"]
    assert all(kernel["tuning_record"] is not None for kernel in kernels)
    tokens = inputs(model, 1, 16)
    expected = oracle.run(model, tokens.ids, tokens.mask, tokens.types)
    with remote_artifact(tmp_path / "artifact", "five", desk.terms()) as remote:
        output = remote.model.run(tokens.ids, tokens.mask, tokens.types)
    np.testing.assert_array_equal(output, expected)


def count(log: Path) -> int:
    """Its records; none while it is being made."""
    try:
        with open_log(log, read_only=True) as opened:
            return opened.count()
    except TuningLogError:
        return 0
