"""Boards that two kinds of clients share through a tracker, and what becomes of them when somebody is killed."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from intbert.errors import BusyError, DeviceError, RemoteError
from intbert.rpc.farm.endpoint import Endpoint
from intbert.rpc.farm.tracker_client import Farm, farm_session, request
from intbert.rpc.sessions.board_session import Terms
from intbert.rpc.sessions.session import connect

from .processes import HERE, SECONDS, FarmProcesses, eventually, free, queue


def test_two_boards_are_shared_by_our_clients_and_tvms(farm: FarmProcesses, tracker: Endpoint, terms: Terms) -> None:
    for name in ("one", "two"):
        farm.board(name)
        farm.gateway(name, "--tracker", tracker)
    eventually(lambda: free(tracker) == 2)
    stock = farm.stock_client(tracker)
    with farm_session(tracker, "rpi4", terms) as ours:
        assert ours.name in ("one", "two")
        assert ours.session.features().arch
        state = queue(tracker)
        assert state is not None
        assert (state.free, state.in_use, state.devices) == (0, 2, ("one", "two"))
        with pytest.raises(BusyError, match=r"every board of the kind 'rpi4' at 127\S+ was in use for 0 s"):
            request(tracker, "rpi4", 0.0)
        waiting = state.waiting + 1  # who has given up is counted
        with ThreadPoolExecutor(1) as pool:
            third = pool.submit(request, tracker, "rpi4", SECONDS)
            eventually(lambda: (queue(tracker) or state).waiting > waiting)
            ours.session.close()
            grant = third.result(SECONDS)
    assert grant.device == ours.name
    with connect(grant.host, grant.port, grant.match_key, timeout=SECONDS) as session:
        assert session.features().arch
    assert stock.stdin is not None
    stock.stdin.close()
    assert farm.line(stock) == "still there\n"
    eventually(lambda: free(tracker) == 2)


def test_kinds_that_nobody_has_are_named(farm: FarmProcesses, tracker: Endpoint, terms: Terms) -> None:
    with pytest.raises(DeviceError, match=r"no board of the kind 'nano'; it has none"):
        request(tracker, "nano", 0.0)
    farm.board("one")
    farm.gateway("one", "--tracker", tracker)
    eventually(lambda: free(tracker) == 1)
    with pytest.raises(DeviceError, match=r"no board of the kind 'nano'; there are rpi4"):
        Farm(tracker).check("nano", terms)
    Farm(tracker).check("rpi4", terms)
    assert queue(tracker, "nano") is None


def test_a_killed_gateway_disappears(farm: FarmProcesses, tracker: Endpoint, terms: Terms) -> None:
    farm.board("one")
    gateway = farm.gateway("one", "--tracker", tracker)
    eventually(lambda: free(tracker) == 1)
    with farm_session(tracker, "rpi4", terms) as board:
        gateway.kill()
        gateway.wait(SECONDS)
        with pytest.raises(RemoteError, match=r"^one: "):
            board.session.features()
    assert queue(tracker) is None


def test_a_killed_client_frees_the_board(farm: FarmProcesses, tracker: Endpoint, terms: Terms) -> None:
    farm.board("one")
    farm.gateway("one", "--tracker", tracker)
    eventually(lambda: free(tracker) == 1)
    stock = farm.stock_client(tracker)
    assert free(tracker) == 0
    stock.kill()
    eventually(lambda: free(tracker) == 1)
    with farm_session(tracker, "rpi4", terms) as board:
        assert board.session.features().arch


@pytest.mark.parametrize(
    ("client_seconds", "idle"),
    [pytest.param(1.0, 600.0, id="its-own-limit"), pytest.param(600.0, 1.0, id="the-gateways-limit-on-silence")],
)
def test_a_silent_client_loses_the_board(
    farm: FarmProcesses, tracker: Endpoint, client_seconds: float, idle: float
) -> None:
    farm.board("one")
    farm.gateway("one", "--tracker", tracker, "--idle", idle)
    eventually(lambda: free(tracker) == 1)
    farm.stock_client(tracker, seconds=client_seconds)
    eventually(lambda: free(tracker) == 1)


def test_who_does_not_come_loses_the_board(farm: FarmProcesses, tracker: Endpoint) -> None:
    farm.board("one")
    farm.gateway("one", "--tracker", tracker)
    eventually(lambda: free(tracker) == 1)
    first = request(tracker, "rpi4", SECONDS)
    second = request(tracker, "rpi4", SECONDS)
    assert first.match_key != second.match_key
    with pytest.raises(RemoteError, match="the server refused the key"):
        connect(first.host, first.port, first.match_key, timeout=SECONDS)
    with connect(second.host, second.port, second.match_key, timeout=SECONDS) as session:
        assert session.features().arch
    with pytest.raises(RemoteError):
        connect(second.host, second.port, second.match_key, timeout=SECONDS)


def test_a_board_that_restarts_is_registered_again(farm: FarmProcesses, tracker: Endpoint, terms: Terms) -> None:
    server = farm.board("one")
    farm.gateway("one", "--tracker", tracker)
    eventually(lambda: free(tracker) == 1)
    farm.switch_off("one", server)
    eventually(lambda: queue(tracker) is None)
    farm.board("one")
    eventually(lambda: free(tracker) == 1)
    with farm_session(tracker, "rpi4", terms) as board:
        assert board.session.features().arch


def test_a_board_lost_in_the_middle(farm: FarmProcesses, tracker: Endpoint, terms: Terms) -> None:
    server = farm.board("one")
    farm.gateway("one", "--tracker", tracker)
    eventually(lambda: free(tracker) == 1)
    with farm_session(tracker, "rpi4", terms) as board:
        farm.switch_off("one", server)
        with pytest.raises(RemoteError, match=r"^one: "):
            board.session.features()
    eventually(lambda: queue(tracker) is None)
    with pytest.raises(DeviceError):
        request(tracker, "rpi4", 0.0)


def test_a_tracker_that_restarts_gets_the_board_again(farm: FarmProcesses, terms: Terms) -> None:
    tracker = farm.tracker()["tracker"]
    farm.board("one")
    farm.gateway("one", "--tracker", tracker)
    eventually(lambda: free(tracker) == 1)
    with farm_session(tracker, "rpi4", terms) as board:
        farm.tracker_process.kill()
        farm.tracker_process.wait(SECONDS)
        assert board.session.features().arch, "who has a board needs no tracker"
        with pytest.raises(RemoteError, match="cannot be reached"):
            request(tracker, "rpi4", 0.0)
    assert farm.tracker(port=tracker.port)["tracker"] == tracker
    eventually(lambda: free(tracker) == 1)


def test_ending_a_gateway_leaves_nothing(farm: FarmProcesses, tracker: Endpoint) -> None:
    server = farm.board("one")
    gateway = farm.gateway("one", "--tracker", tracker)
    eventually(lambda: free(tracker) == 1)
    gateway.terminate()
    assert gateway.wait(SECONDS) == 0
    assert queue(tracker) is None
    with server.connect(SECONDS) as session:  # the session that was kept ready has ended
        assert session.features().arch


def test_through_a_proxy(farm: FarmProcesses, terms: Terms) -> None:
    places = farm.tracker("--proxy-port", 0)
    tracker = places["tracker"]
    farm.board("one")
    farm.gateway("one", "--proxy", places["proxy"])
    eventually(lambda: free(tracker) == 1)
    with farm_session(tracker, "rpi4", terms) as board:
        assert board.session.features().arch
        assert board.name == f"rpi4 at {places['proxy']}"
    eventually(lambda: free(tracker) == 1)
    stock = farm.stock_client(tracker)
    stock.kill()
    eventually(lambda: free(tracker) == 1)


def test_with_little_patience_there_is_an_answer(farm: FarmProcesses, tracker: Endpoint, terms: Terms) -> None:
    farm.board("one")
    farm.gateway("one", "--tracker", tracker)
    eventually(lambda: free(tracker) == 1)
    with (
        farm_session(tracker, "rpi4", terms),
        pytest.raises(BusyError),
        farm_session(tracker, "rpi4", replace(terms, wait=0.0)),
    ):
        pass


def test_metaschedule_measures_on_the_board(farm: FarmProcesses, tracker: Endpoint, tmp_path: Path) -> None:
    farm.board("one")
    farm.gateway("one", "--tracker", tracker)
    eventually(lambda: free(tracker) == 1)
    measured = json.loads(farm.line(farm.start(HERE / "measure_kernel.py", tracker.port, "rpi4", tmp_path)))
    assert measured["errors"] == []
    assert [len(times) for times in measured["seconds"]] == [2, 2, 2]
    assert all(seconds > 0 for times in measured["seconds"] for seconds in times)
    eventually(lambda: free(tracker) == 1)
