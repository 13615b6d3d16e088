"""What can go wrong with a board, each with a bound on the time to a typed error, and the board usable afterwards."""

from __future__ import annotations

import os
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from intbert.compiler.artifact import read_manifest, write_manifest
from intbert.errors import HostKeyError, RemoteError
from intbert.rpc.benchmark import Plan
from intbert.rpc.benchmark.on_device import DeviceBenchmarks
from intbert.rpc.benchmark.sweep import Cell
from intbert.rpc.sessions.board_session import BoardSession, board_session
from intbert.rpc.sessions.session import Session

from ..compiler.toy_artifact import Fault, build_toy
from .cable import Cable
from .desk import SECONDS, Desk, within
from .ssh_board import SshBoard

SshBoards = Callable[[str], SshBoard]

IDS = np.array([[1, 3, 4, 2]], np.int32)
SHORT = 5.0
"""A call's limit where it is the limit that ends the wait; sessions are opened with more."""


pytestmark = pytest.mark.usefixtures("seated")


@pytest.fixture(scope="module")
def endless(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_toy(tmp_path_factory.mktemp("endless") / "artifact", target_name="aarch64", fault=Fault.ENDLESS)


@pytest.fixture
def opened(desk: Desk, pi: SshBoard) -> Iterator[BoardSession]:
    with still_usable(desk), board_session(desk.device("pi"), desk.terms()) as session:
        yield session


@contextmanager
def still_usable(desk: Desk) -> Iterator[None]:
    """After the block the board serves another session, within a limit."""
    yield
    with within(SECONDS), board_session(desk.device("pi"), desk.terms()) as session:
        assert session.session.features().arch == "aarch64"


@contextmanager
def soon(action: Callable[[], object], seconds: float = 1.0) -> Iterator[None]:
    """Does ``action`` while the block waits for the pi."""
    timer = threading.Timer(seconds, action)
    timer.start()
    try:
        yield
    finally:
        timer.join()


def processes(pi: SshBoard, part: str) -> list[int]:
    return [process.pid for process in pi.processes() if any(part in word for word in process.argv)]


def call_for_ever(session: Session, endless: Path) -> None:
    session.load(session.upload(endless)).run(IDS)


@pytest.mark.parametrize("victims", ["the session", "the server and its session", "the supervisor", "all"])
def test_killed_in_the_middle_of_a_call(opened: BoardSession, pi: SshBoard, endless: Path, victims: str) -> None:
    # in the order of their start: supervisor, server, session
    chosen = {"the session": slice(2, 3), "the server and its session": slice(1, 3), "the supervisor": slice(0, 1)}

    def kill() -> None:
        for pid in sorted(processes(pi, "intbert.rpc.on_board.supervisor"))[chosen.get(victims, slice(None))]:
            os.kill(pid, signal.SIGKILL)

    with within(SECONDS), soon(kill, 3.0), pytest.raises(RemoteError, match=r"^pi: running .* failed: "):
        call_for_ever(opened.session, endless)


def test_the_connection_is_cut_in_the_middle_of_a_call(opened: BoardSession, pi: SshBoard, endless: Path) -> None:
    with within(SECONDS), soon(pi.kill_sessions, 3.0), pytest.raises(RemoteError, match="the connection was lost"):
        call_for_ever(opened.session, endless)


def test_a_board_that_restarts_comes_back(desk: Desk, pi: SshBoard, toy: Path) -> None:
    """The cell that the restart cost is measured again once the board is there."""
    with within(2 * SECONDS), DeviceBenchmarks(toy, desk.terms(), patience=SECONDS) as benchmarks:
        plan = Plan(most_runs=2, least_runs=1, warmup=0)
        assert benchmarks.measure(Cell("pi", plan))["runs"] >= 1
        pi.reboot()
        assert benchmarks.measure(Cell("pi", plan))["runs"] >= 1


def test_a_board_that_does_not_come_back_is_an_error(desk: Desk, pi: SshBoard, toy: Path) -> None:
    with still_usable(desk), within(2 * SECONDS), DeviceBenchmarks(toy, desk.terms(), patience=1.0) as benchmarks:
        plan = Plan(most_runs=2, least_runs=1, warmup=0)
        benchmarks.measure(Cell("pi", plan))
        pi.power_off()
        try:
            with pytest.raises(RemoteError):
                benchmarks.measure(Cell("pi", plan))
        finally:
            pi.power_on()


def test_a_board_that_falls_silent(desk: Desk, pi: SshBoard, endless: Path) -> None:
    """No byte and no end: only limits of our own end such a wait. The board frees itself."""
    with Cable(("127.0.0.1", pi.port)) as cable:
        desk.know(pi, "pi4", cable)
        try:
            with within(SECONDS), board_session(desk.device("pi"), desk.terms()) as opened:
                opened.session.timeout = SHORT
                with soon(cable.freeze, 0.5), pytest.raises(RemoteError, match=r"no answer within 5 s|was lost"):
                    call_for_ever(opened.session, endless)
            with within(SECONDS), pytest.raises(RemoteError), board_session(desk.device("pi"), desk.terms(SHORT)):
                pass
        finally:
            cable.thaw()
            desk.know(pi, "pi4")
    with still_usable(desk):
        pass


def upload_without_room(desk: Desk, artifact: Path) -> None:
    with board_session(desk.device("pi"), desk.terms()) as opened, pytest.raises(RemoteError, match="make room"):
        opened.session.upload(artifact)


def open_a_session(desk: Desk) -> None:
    with board_session(desk.device("pi"), desk.terms()):
        pass


def test_the_disk_is_full_when_an_artifact_is_sent(desk: Desk, pi: SshBoard, tmp_path: Path) -> None:
    large = build_toy(tmp_path / "large", target_name="aarch64")
    (large / "padding").write_bytes(os.urandom(6 << 20))
    write_manifest(read_manifest(large), large)
    with still_usable(desk), pi.limit_disk(4 << 20), within(SECONDS):
        upload_without_room(desk, large)


def test_another_host_key(desk: Desk, pi: SshBoard) -> None:
    pi.change_host_key()
    try:
        with within(SECONDS), pytest.raises(HostKeyError, match="shows another host key"):
            open_a_session(desk)
    finally:
        pi.trust_host_key()
        desk.know(pi, "pi4")
    with still_usable(desk):
        pass


def test_a_kernel_that_never_ends(opened: BoardSession, endless: Path) -> None:
    with within(SECONDS):
        model = opened.session.load(opened.session.upload(endless))
        with pytest.raises(RemoteError, match=r"running .* failed: no answer within 2 s"):
            model.run(IDS, timeout=2.0)


def test_a_kernel_that_crashes(opened: BoardSession, tmp_path: Path) -> None:
    crash = build_toy(tmp_path / "crash", target_name="aarch64", fault=Fault.CRASH)
    with within(SECONDS), pytest.raises(RemoteError, match=r"the session's process died .SIGSEGV."):
        opened.session.load(opened.session.upload(crash)).run(IDS)


def test_an_artifact_that_is_damaged_on_its_way(opened: BoardSession, toy: Path, tmp_path: Path) -> None:
    from intbert.errors import ArtifactError

    damaged = Path(shutil.copytree(toy, tmp_path / "damaged"))
    (damaged / "model.so").write_bytes((damaged / "model.so").read_bytes()[:-100])
    with within(SECONDS), pytest.raises(ArtifactError, match=r"model\.so"):
        opened.session.load(opened.session.upload(damaged))


def test_an_artifact_that_lies_about_what_it_needs(opened: BoardSession, toy: Path, tmp_path: Path) -> None:
    """The board's own check of the processor is the last one; see also the kernels that die of SIGILL."""
    from intbert.errors import ArtifactError

    demanding = Path(shutil.copytree(toy, tmp_path / "demanding"))
    manifest = read_manifest(demanding)
    write_manifest(replace(manifest, target=replace(manifest.target, features=("neon", "dotprod"))), demanding)
    with within(SECONDS), pytest.raises(ArtifactError, match="the processor of pi lacks dotprod"):
        opened.session.check(demanding)
    with pytest.raises(ArtifactError, match="the processor of this machine lacks dotprod"):
        opened.session.load(opened.session.upload(demanding))
