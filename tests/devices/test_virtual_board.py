"""all-MiniLM-L6-v2 on emulated boards: the bytes of the host's artifact, which are those of the oracle."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from intbert.compiler import oracle
from intbert.compiler.artifact import read_manifest, write_manifest
from intbert.compiler.build import compile_model
from intbert.compiler.model import TOKENIZER_FILE, QuantizedModel
from intbert.compiler.runtime import load
from intbert.compiler.runtime.inputs import Tokens
from intbert.compiler.runtime.text import Tokenizer, pad
from intbert.errors import ArtifactError, CrashError
from intbert.quantization import quantize
from intbert.quantization.demo import demo_model_folder
from intbert.rpc.sessions.board_session import board_session
from intbert.targets import get_target
from numpy.typing import NDArray

from .desk import SECONDS, Desk, within
from .ssh_board import SshBoard
from .virtual_board import VirtualBoard

Boards = Callable[[str], VirtualBoard]
Artifacts = Callable[[str], Path]

LENGTH = 16
# The shorter one gets padding, so that the mask counts.
SENTENCES = ["The ferry leaves at a quarter past nine, if the fog lifts.", "It rains."]

BOARDS = [
    pytest.param("rpi4", "cortex-a72", id="rpi4-cortex-a72"),
    pytest.param("rpi5", "cortex-a76", id="rpi5-cortex-a76"),
]


@dataclass(frozen=True)
class Example:
    """A quantized model, an input of two sentences, and the oracle's output for it."""

    model: QuantizedModel
    tokens: Tokens
    expected: NDArray[np.int64]


@pytest.fixture(scope="module")
def example() -> Example:
    calibration = [f"{sentence} {word}." for sentence in SENTENCES for word in ("Often", "Never", "Soon")]
    model = quantize(demo_model_folder(), sentences=calibration, max_length=32)
    assert model.tokenizer is not None
    rows = Tokenizer(model.tokenizer / TOKENIZER_FILE).encode(SENTENCES, LENGTH)
    tokens = pad(model.architecture, rows)
    assert not tokens.mask.all()
    return Example(model, tokens, oracle.run(model, tokens.ids, tokens.mask, tokens.types))


@pytest.fixture(scope="module")
def artifacts(example: Example, tmp_path_factory: pytest.TempPathFactory) -> Artifacts:
    """``artifacts("rpi4")``: the example's model compiled for this target, once."""
    folder = tmp_path_factory.mktemp("artifacts")

    def artifact(target: str) -> Path:
        path = folder / target
        if not path.exists():
            compile_model(example.model, get_target(target), lengths=[LENGTH], output=path)
        return path

    return artifact


@pytest.mark.parametrize(("target", "cpu"), BOARDS)
@pytest.mark.parametrize("threads", [1, 2])
def test_board_gives_the_bytes_of_host_and_oracle(
    boards: Boards, example: Example, artifacts: Artifacts, target: str, cpu: str, threads: int
) -> None:
    tokens = example.tokens
    on_host = load(artifacts("host"), threads=1).run(tokens.ids, tokens.mask, tokens.types)
    with boards(cpu).connect() as session:
        model = session.load(session.upload(artifacts(target)), threads=threads)
        on_board = model.run(tokens.ids, tokens.mask, tokens.types)
    np.testing.assert_array_equal(on_host, example.expected)
    np.testing.assert_array_equal(on_board, example.expected)
    assert on_board.dtype == on_host.dtype
    assert on_board.tobytes() == on_host.tobytes()


def test_artifact_is_refused_by_a_board_that_lacks_its_instructions(boards: Boards, artifacts: Artifacts) -> None:
    with boards("cortex-a72").connect() as session:
        name = session.upload(artifacts("rpi5"))
        with pytest.raises(ArtifactError, match=r"is for rpi5, the processor of this machine lacks dotprod"):
            session.load(name)
        assert "dotprod" not in session.features().features  # the session goes on


def test_artifact_is_refused_by_a_board_of_another_architecture(boards: Boards, artifacts: Artifacts) -> None:
    with boards("cortex-a72").connect() as session:
        name = session.upload(artifacts("x86-64-v3"))
        with pytest.raises(ArtifactError, match=r"is for x86_64 .*this machine is aarch64"):
            session.load(name)


@pytest.fixture(scope="module")
def lying(artifacts: Artifacts, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An artifact whose kernels use what a Cortex-A72 lacks, and which does not say so."""
    folder = Path(shutil.copytree(artifacts("rpi5"), tmp_path_factory.mktemp("lying") / "artifact"))
    manifest = read_manifest(folder)
    write_manifest(replace(manifest, target=replace(manifest.target, features=("neon",))), folder)
    return folder


def test_without_that_check_the_board_would_die_of_an_illegal_instruction(
    boards: Boards, example: Example, lying: Path
) -> None:
    """The refused code does use what the board lacks; and a session that dies of it is a typed error."""
    tokens = example.tokens
    with boards("cortex-a72").connect() as session:
        model = session.load(session.upload(lying), threads=1)
        with pytest.raises(CrashError, match=r"the session's process died .SIGILL."):
            model.run(tokens.ids, tokens.mask, tokens.types)
    with boards("cortex-a72").connect() as session:
        assert session.features().arch == "aarch64"


@pytest.mark.usefixtures("seated")
def test_a_board_behind_ssh_survives_an_illegal_instruction(
    desk: Desk, pi: SshBoard, example: Example, lying: Path
) -> None:
    tokens = example.tokens
    with within(SECONDS), board_session(desk.device("pi"), desk.terms()) as board:
        model = board.session.load(board.session.upload(lying), threads=1)
        with pytest.raises(CrashError, match=r"pi: .*the session's process died .SIGILL."):
            model.run(tokens.ids, tokens.mask, tokens.types)
    with board_session(desk.device("pi"), desk.terms()) as board:
        assert board.session.features().arch == "aarch64"
