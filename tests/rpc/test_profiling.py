"""A profile taken in a server's process."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from intbert.compiler.profile import ProfileRequest
from intbert.compiler.runtime import load
from intbert.compiler.runtime.profiling import profile
from intbert.errors import InputError, RemoteError

from ..compiler.toy_artifact import build_toy
from .server_process import ServerProcess

IDS = np.array([[1, 3, 4, 2]], np.int32)


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_toy(tmp_path_factory.mktemp("artifact") / "toy")


def test_a_profile_of_the_board_has_the_operators_of_one_here(server: ServerProcess, artifact: Path) -> None:
    request = ProfileRequest(length=8, batch=6, runs=3)
    here = profile(load(artifact, 1), request)
    with server.connect() as session:
        model = session.load(session.upload(artifact), threads=1)
        before = model.run(IDS)
        there = model.profile(request)
        assert model.run(IDS).tobytes() == before.tobytes()
    assert {(o.name, o.kernel, o.strategy, o.calls) for o in there.operators} == {
        (o.name, o.kernel, o.strategy, o.calls) for o in here.operators
    }
    assert (there.steps, there.length, there.batch, there.threads, there.runs) == (here.steps, 8, 6, 1, 3)
    assert sum(o.ms for o in there.operators) + there.outside_ms == pytest.approx(there.total_ms)


def test_a_length_that_no_bucket_holds_costs_neither_session_nor_model(server: ServerProcess, artifact: Path) -> None:
    with server.connect() as session:
        model = session.load(session.upload(artifact), threads=1)
        with pytest.raises(InputError, match=r"^127\.0\.0\.1:\d+: 99 tokens"):
            model.profile(ProfileRequest(length=99))
        assert model.profile(ProfileRequest(runs=1)).length == 16


def test_an_artifact_that_is_not_loaded(server: ServerProcess, artifact: Path) -> None:
    with server.connect() as session:
        model = session.load(session.upload(artifact), threads=1)
    with server.connect() as another, pytest.raises(RemoteError, match="is not loaded"):
        replace(model, session=another).profile(ProfileRequest())
