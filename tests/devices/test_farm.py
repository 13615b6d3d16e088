"""A board that is offered to a tracker: used by our client and TVM's, rebooted, and left as it was."""

from __future__ import annotations

from pathlib import Path

import pytest
from intbert.compiler.runtime import load

from ..compiler.toy_artifact import build_toy
from ..rpc.farm.processes import FarmProcesses, eventually, free, queue
from .desk import SECONDS, Desk
from .ssh_board import SshBoard

pytestmark = pytest.mark.usefixtures("seated")


def test_a_board_of_a_farm(desk: Desk, pi: SshBoard, toy: Path, farm: FarmProcesses, tmp_path: Path) -> None:
    tracker = farm.tracker()["tracker"]
    gateway = farm.start("-m", "intbert.cli.main", "device", "serve", "pi", "--tracker", tracker)
    eventually(lambda: free(tracker) == 1)
    offered = ["--tracker", tracker, "--key", "rpi4", "--wait", SECONDS]
    result = desk.json("bench", toy, *offered, "--length", "8", "--runs", "5", "--warmup", "0")
    assert (result["device"], result["runs"], result["target"]) == ("pi", 5, "aarch64")
    assert "pi is in use by" in desk.refusal("run", toy, "one", "--device", "pi", "--wait", "0")
    texts = ["one two three", "four"]
    ran = desk.json("run", toy, *texts, "--integers", *offered)
    assert ran["outputs"] == load(build_toy(tmp_path / "here")).run_texts(texts).tolist()
    profiled = desk.json("profile", toy, *offered, "--length", "8", "--runs", "2")
    assert (profiled["device"], profiled["length"]) == ("pi", 8)
    stock = farm.stock_client(tracker)
    pi.reboot()
    eventually(lambda: queue(tracker) is None)
    stock.kill()
    eventually(lambda: free(tracker) == 1)
    assert desk.json("run", toy, *texts, "--integers", *offered)["outputs"] == ran["outputs"]
    gateway.terminate()
    assert gateway.wait(SECONDS) == 0
    assert queue(tracker) is None
    eventually(lambda: pi.processes() == [])
    assert desk.json("run", toy, *texts, "--integers", "--device", "pi")["outputs"] == ran["outputs"]
