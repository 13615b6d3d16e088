"""The whole way of a user: add boards over real ssh, run, judge and measure on them, and leave nothing behind."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest
from intbert.compiler.runtime import load
from intbert.rpc.devices import adding
from intbert.rpc.sessions.board_session import board_session

from ..compiler.toy_artifact import build_toy
from ..rpc.telemetry.trees import DEVFREQ, JETSON_ORIN, plant
from .cable import Cable
from .desk import SECONDS, Desk, within
from .ssh_board import SshBoard

SshBoards = Callable[[str], SshBoard]


pytestmark = pytest.mark.usefixtures("seated")


@pytest.fixture(scope="module")
def toy_here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same for this machine."""
    return build_toy(tmp_path_factory.mktemp("toy-here") / "artifact")


def test_a_board_is_known_after_it_was_added(desk: Desk, pi: SshBoard) -> None:
    shown = desk.json("device", "show", "pi")
    assert shown["target"] == "rpi4"
    assert "Raspberry Pi 4 Model B" in shown["reason"]
    assert shown["facts"]["arch"] == "aarch64"
    assert shown["facts"]["features"] == ["neon"]
    assert [device["name"] for device in desk.json("device", "list")["devices"]].count("pi") == 1
    assert "Raspberry Pi 4" in desk.intbert("device", "list").stdout


def test_adding_it_again_changes_nothing(desk: Desk, pi: SshBoard) -> None:
    before = tree(pi.home)
    again = desk.json("device", "add", "pi4", "--name", "pi")
    assert not again["installed"]
    assert again["sent_bytes"] < 20_000
    assert tree(pi.home) == before


def test_all_of_ours_is_in_one_folder(pi: SshBoard) -> None:
    assert [path.name for path in pi.home.iterdir()] == [".intbert"]


def test_probing_again_finds_what_changed(desk: Desk, pi: SshBoard) -> None:
    policy = pi.sys / "devices/system/cpu/cpufreq/policy0"
    policy.mkdir(parents=True)
    for name, value in {
        "scaling_governor": "powersave",
        "scaling_min_freq": 600000,
        "scaling_max_freq": 1500000,
    }.items():
        (policy / name).write_text(f"{value}\n")
    assert desk.json("device", "probe", "pi")["facts"]["clock_policies"][0]["governor"] == "powersave"
    checks = {check["name"]: check for check in desk.json("device", "doctor", "pi")["checks"]}
    assert "powersave" in checks["governor"]["found"]
    assert "performance" in checks["governor"]["mend"]
    assert all(check["good"] for check in checks.values())
    assert "server" in checks


def test_the_board_gives_the_integers_of_this_machine(desk: Desk, pi: SshBoard, toy: Path, toy_here: Path) -> None:
    texts = ["one two three", "four", "five five"]
    ran = desk.json("run", toy, *texts, "--integers", "--device", "pi")
    assert ran["outputs"] == load(toy_here).run_texts(texts).tolist()
    assert ran["dtype"] == "int32"


def test_pairs_and_floats(desk: Desk, pi: SshBoard, toy: Path, toy_here: Path) -> None:
    ran = desk.json("run", toy, "one", "two", "--pairs", "--device", "pi")
    assert ran["outputs"] == load(toy_here)([("one", "two")]).tolist()


def test_accuracy_on_the_board(desk: Desk, pi: SshBoard, toy: Path, toy_here: Path, tmp_path: Path) -> None:
    data = tmp_path / "glue" / "STS-B"
    data.mkdir(parents=True)
    rows = [("one two", "two three", 1.0), ("four", "five", 4.5), ("one", "one one", 3.0), ("two five", "three", 2.0)]
    lines = ["sentence1\tsentence2\tlabel", *("\t".join(map(str, row)) for row in rows)]
    (data / "dev.tsv").write_text("\n".join(lines) + "\n")
    there = desk.json("eval", toy, "--task", "stsb", "--data", data.parent, "--device", "pi")
    here = desk.json("eval", toy_here, "--task", "stsb", "--data", data.parent)
    assert there == here
    assert there["n"] == len(rows)


def test_a_benchmark_has_conditions_for_every_sample(desk: Desk, pi: SshBoard, toy: Path) -> None:
    set_temperature(pi, 61.0)
    result = desk.json("bench", toy, "--device", "pi", "--length", "8", "--runs", "40", "--warmup", "2")
    assert result["device"] == "pi"
    assert len(result["samples"]) == result["runs"] <= 40
    assert {sample["temperature_c"] for sample in result["samples"]} == {61.0}
    assert result["p50_low_ms"] <= result["p50_ms"] <= result["p50_high_ms"] <= result["p99_ms"]
    assert result["load_ms"] > 0
    assert result["peak_rss_mb"] > 10
    assert result["target"] == "aarch64"


def test_a_profile_of_the_board(desk: Desk, pi: SshBoard, toy: Path) -> None:
    found = desk.json("profile", toy, "--device", "pi", "--length", "8", "--runs", "2")
    assert found["device"] == "pi"
    assert sum(operator["calls"] for operator in found["operators"]) >= 1
    assert found["uninstrumented_p50_ms"] > 0


def test_samples_taken_while_throttled_are_flagged_and_do_not_count(desk: Desk, pi: SshBoard, toy: Path) -> None:
    firmware = pi.sys / "class/thermal/cooling_device0"
    firmware.mkdir(parents=True)
    (firmware / "type").write_text("cpufreq-cpu0\n")
    (firmware / "cur_state").write_text("2\n")
    try:
        result = desk.json("bench", toy, "--device", "pi", "--runs", "5", "--warmup", "0")
        assert result["throttled_runs"] == result["runs"] == 5
        assert result["throttle_reasons"] == ["thermal cap"]
        said = desk.intbert("bench", toy, "--device", "pi", "--runs", "5", "--warmup", "0").stderr
        assert "5 of 5 samples were taken while the board held back its clock (thermal cap)" in said
    finally:
        (firmware / "cur_state").write_text("0\n")
    result = desk.json("bench", toy, "--device", "pi", "--runs", "5", "--warmup", "0")
    assert result["throttled_runs"] == 0


def test_the_sensors_of_a_jetsons_gpu(desk: Desk, pi: SshBoard) -> None:
    gpu = {name: text for name, text in JETSON_ORIN.items() if name.startswith(DEVFREQ)}
    plant(pi.sys, {name.removeprefix("sys/"): text for name, text in gpu.items()})
    with within(SECONDS), board_session(desk.device("pi"), desk.terms()) as board:
        conditions, inventory = board.session.conditions("gpu"), board.session.sensors("gpu")
    assert (conditions["clock_mhz"], conditions["memory_clock_mhz"]) == (612.0, 3199.0)
    assert (inventory["clock"], inventory["governor"]) == ("devfreq: 17000000.gpu", "performance")
    assert inventory["throttled"] is None, "what its processor's sensors tell is nothing about the GPU"


def test_a_hot_board_is_waited_for(desk: Desk, pi: SshBoard, toy: Path) -> None:
    set_temperature(pi, 61.0)
    with within(SECONDS), board_session(desk.device("pi"), desk.terms()) as board:
        from intbert.errors import RemoteError
        from intbert.rpc.benchmark.runner import wait_until_cool

        heard: list[str] = []

        def tell(message: str) -> None:
            heard.append(message)
            set_temperature(pi, 48.0)

        model = board.session.load(board.session.upload(toy))
        wait_until_cool(model, 50.0, 60.0, tell)
        assert heard == ["waiting for 50 degrees C; it is at 61"]
        with pytest.raises(RemoteError, match=r"pi is at 48 degrees C after 0 s, not below 40"):
            wait_until_cool(model, 40.0, 0.0, tell)


def test_an_unchanged_artifact_is_not_sent_again(desk: Desk, pi: SshBoard, toy: Path) -> None:
    desk.json("bench", toy, "--device", "pi", "--runs", "3")
    assert desk.json("bench", toy, "--device", "pi", "--runs", "3")["sent_bytes"] < 10_000


def test_an_installation_that_fails_is_begun_anew(
    desk: Desk, ssh_boards: SshBoards, monkeypatch: pytest.MonkeyPatch
) -> None:
    """First there is no room, then the disk fills up, then the connection is cut in the middle; then it works."""
    board = ssh_boards("cortex-a76")
    desk.know(board, "pi5")
    with board.limit_disk(8 << 20), within(SECONDS):
        assert "8 MB are free at /home/pi, the runtime needs" in desk.refusal("device", "add", "pi5", "--name", "five")
        with monkeypatch.context() as patch:
            patch.setattr(adding, "require_fit", lambda facts: None)  # as if somebody else had filled it since
            assert "is the disk full?" in desk.refusal("device", "add", "pi5", "--name", "five")
    with Cable(("127.0.0.1", board.port)) as cable, within(SECONDS):
        desk.know(board, "pi5", cable)
        cable.cut_after(5 << 20)
        line = desk.refusal("device", "add", "pi5", "--name", "five")
        assert "sending" in line
        assert "the ssh connection was lost" in line
    assert "there is no device 'five'" in desk.refusal("device", "show", "five")
    desk.know(board, "pi5")
    assert desk.json("device", "add", "pi5", "--name", "five")["installed"]
    assert [path.name for path in (board.home / ".intbert").iterdir()] == ["runtime"]


def test_a_sweep_goes_on_where_it_stopped(desk: Desk, pi: SshBoard, five: SshBoard, toy: Path, tmp_path: Path) -> None:
    output = tmp_path / "sweep.json"
    options = ["--lengths", "8,16", "--threads", "1,2", "--runs", "3", "--warmup", "0", "--output", output]
    first = desk.json("bench", toy, "--device", "pi", *options)
    assert len(first["cells"]) == 4
    both = desk.json("bench", toy, "--device", "pi,five", *options)
    assert both["cells"][:4] == first["cells"]  # not measured again: the samples are the same
    assert [cell["cell"]["device"] for cell in both["cells"]] == ["pi"] * 4 + ["five"] * 4
    assert all(cell["error"] is None for cell in both["cells"])
    assert len(json.loads(output.read_text())["cells"]) == 8


def test_an_artifact_for_another_processor_is_not_even_sent(
    desk: Desk, pi: SshBoard, toy_here: Path, tmp_path: Path
) -> None:
    assert "is for x86_64 (host), pi is aarch64" in desk.refusal("bench", toy_here, "--device", "pi")


def test_a_port_scan_finds_nothing_but_ssh(desk: Desk, pi: SshBoard) -> None:
    """The board shares this machine's network: what is open on its addresses must be what was open before."""
    addresses = [
        address.address
        for addresses in psutil.net_if_addrs().values()
        for address in addresses
        if address.family == socket.AF_INET and not address.address.startswith("127.")
    ]
    before = {address: open_ports(address) for address in addresses}
    with board_session(desk.device("pi"), desk.terms()) as board:
        board.session.features()
        listening = pi.listening_ports()
        assert listening, "the session's server listens somewhere"
        assert {address for address, _ in listening} == {"127.0.0.1"}
        for address in addresses:
            opened = open_ports(address) - before[address]
            assert not opened, [found for found in psutil.net_connections("tcp") if set(found.laddr) & opened]
    eventually(lambda: pi.listening_ports() == set())  # the board ends its processes after the session has gone


def test_a_session_leaves_no_process_and_no_file(desk: Desk, pi: SshBoard) -> None:
    here = set(psutil.Process().children(recursive=True))
    with board_session(desk.device("pi"), desk.terms()) as board:
        assert len(list((pi.home / ".intbert" / "sessions").iterdir())) == 1
        board.session.features()
    eventually(lambda: pi.processes() == [])
    assert list((pi.home / ".intbert" / "sessions").iterdir()) == []
    assert set(psutil.Process().children(recursive=True)) <= here


def test_a_board_in_use_is_not_disturbed(desk: Desk, pi: SshBoard, toy: Path) -> None:
    with board_session(desk.device("pi"), desk.terms()) as board:
        for command in (["bench", toy, "--device", "pi", "--wait", "0"], ["device", "remove", "pi"]):
            assert "pi is in use by" in desk.refusal(*command)
        assert board.session.features().arch == "aarch64"


def test_arrays_are_equal_to_the_byte(desk: Desk, pi: SshBoard, five: SshBoard, toy: Path, toy_here: Path) -> None:
    ids = np.array([[1, 3, 4, 2], [1, 5, 2, 0]], np.int32)
    wanted = load(toy_here).run(ids).tobytes()
    for name in ("pi", "five"):
        with board_session(desk.device(name), desk.terms()) as board:
            assert board.session.load(board.session.upload(toy)).run(ids).tobytes() == wanted


def test_removing_leaves_nothing_behind(desk: Desk, ssh_boards: SshBoards, five: SshBoard) -> None:
    desk.intbert("device", "remove", "five")
    assert list(five.home.iterdir()) == []
    assert "there is no device 'five'" in desk.refusal("device", "show", "five")


def set_temperature(board: SshBoard, celsius: float) -> None:
    """What the board's processor says from now on."""
    zone = board.sys / "class/thermal/thermal_zone0"
    zone.mkdir(parents=True, exist_ok=True)
    (zone / "type").write_text("cpu-thermal\n")
    (zone / "temp").write_text(f"{celsius * 1000:.0f}\n")


def open_ports(address: str) -> set[int]:
    """The TCP ports of ``address`` on which somebody listens: they answer twice, from two ports of ours."""
    return {port for port in range(1, 65536) if all(answers(address, port) for _ in range(2))}


def answers(address: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        # A socket whose own port is drawn to be this one meets itself.
        return probe.connect_ex((address, port)) == 0 and probe.getsockname() != probe.getpeername()


def eventually(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def tree(folder: Path) -> dict[str, int]:
    """Every file with its time of change, less what Python compiles for itself."""
    return {
        str(path.relative_to(folder)): path.stat().st_mtime_ns
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path.name != "lease"
    }
