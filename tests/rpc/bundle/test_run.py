"""``./run`` of a bundle, as a user starts it."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from intbert.compiler.model import HeadKind
from intbert.compiler.runtime import Model, load
from intbert.errors import InputError
from intbert.rpc.bundle.run import line, parse, read_texts, run

from ...compiler.toy_artifact import build_toy

TEXTS = ["one two three", "four", "five five"]


@pytest.fixture(scope="module")
def model(toy_here: Path) -> Model:
    return load(toy_here)


def start(
    program: Path | str, *arguments: str, input: bytes = b"", cwd: Path | None = None
) -> subprocess.CompletedProcess:
    """An environment that has nothing but a PATH: what a bundle needs is in it."""
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": "/nowhere", "PYTHONHOME": "/nowhere"}
    return subprocess.run(
        [program, *arguments], input=input, capture_output=True, check=False, cwd=cwd, env=environment
    )


def printed(program: Path | str, *arguments: str, input: bytes = b"", cwd: Path | None = None) -> list[str]:
    done = start(program, *arguments, input=input, cwd=cwd)
    assert done.returncode == 0, done.stderr
    return done.stdout.decode().splitlines()


def refusal(program: Path | str, *arguments: str, input: bytes = b"") -> str:
    done = start(program, *arguments, input=input)
    assert done.returncode == 1
    (said,) = done.stderr.decode().splitlines()
    return said


def test_integers_are_those_of_the_artifact(bundle: Path, model: Model) -> None:
    lines = printed(bundle / "run", "--integers", *TEXTS)
    assert [list(map(int, each.split(" "))) for each in lines] == model.run_texts(TEXTS).tolist()


def test_floats_are_those_of_the_artifact(bundle: Path, model: Model) -> None:
    lines = printed(bundle / "run", *TEXTS)
    assert np.array([each.split(" ") for each in lines], np.float32).tobytes() == model(TEXTS).tobytes()


def test_pairs_and_options_between_them(bundle: Path, model: Model) -> None:
    lines = printed(bundle / "run", "one", "--pairs", "two", "--integers", "--", "-three", "four")
    wanted = model.run_texts([("one", "two"), ("-three", "four")])
    assert [list(map(int, each.split(" "))) for each in lines] == wanted.tolist()


def test_lines_are_texts(bundle: Path, model: Model) -> None:
    lines = printed(bundle / "run", "--integers", input="one two three\n\nfour ½".encode())
    wanted = model.run_texts(["one two three", "", "four ½"])
    assert [list(map(int, each.split(" "))) for each in lines] == wanted.tolist()


def test_one_document(bundle: Path, model: Model) -> None:
    (document,) = map(json.loads, printed(bundle / "run", "--json", "--integers", *TEXTS))
    outputs = model.run_texts(TEXTS)
    assert document == {"outputs": outputs.tolist(), "shape": list(outputs.shape), "dtype": "int32", "scale": 0.5}


def test_from_anywhere_and_through_links(bundle: Path, tmp_path: Path) -> None:
    wanted = printed(bundle / "run", *TEXTS)
    assert printed("./run", *TEXTS, cwd=bundle) == wanted
    (tmp_path / "again").symlink_to(bundle / "run")
    (tmp_path / "a link").mkdir()
    (tmp_path / "a link" / "run").symlink_to(tmp_path / "again")
    assert printed("a link/run", *TEXTS, cwd=tmp_path) == wanted


def test_it_can_be_moved(bundle: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(bundle, tmp_path / "another\nplace", symlinks=True)
    assert printed(copy / "run", *TEXTS) == printed(bundle / "run", *TEXTS)


def test_check_says_that_it_runs(bundle: Path) -> None:
    assert printed(bundle / "run", "--check") == [f"the model in {bundle} runs here"]


def test_a_copy_of_the_script_alone_says_what_to_do(bundle: Path, tmp_path: Path) -> None:
    shutil.copy(bundle / "run", tmp_path)
    assert "was taken out of its bundle; link to it" in refusal(tmp_path / "run", "one")


@pytest.mark.parametrize(
    ("arguments", "input", "message"),
    [
        pytest.param(["one " * 20], b"", "22 tokens, the artifact's largest bucket holds 16", id="too-long"),
        pytest.param(["--pairs", "one"], b"", "--pairs needs an even number of texts, got 1", id="odd"),
        pytest.param(["--pairs"], b"one\ttwo\nthree\n", "line 2 has 0 tabs", id="no-pair"),
        pytest.param([], b"one \xff\n", "no valid Unicode", id="no-text"),
        pytest.param(["--threads", "0", "one"], b"", "threads is 0; it must be at least 1", id="no-threads"),
        pytest.param(["--json"], b"", "no text; pass at least one", id="nothing"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(bundle: Path, arguments: list[str], input: bytes, message: str) -> None:
    said = refusal(bundle / "run", *arguments, input=input)
    assert said.startswith("run: ")
    assert message in said


def test_texts_can_be_cut(bundle: Path, model: Model) -> None:
    (said,) = printed(bundle / "run", "--truncate", "--integers", "one " * 20)
    assert list(map(int, said.split())) == model.run_texts(["one " * 20], truncate=True)[0].tolist()


def test_a_reader_that_has_enough(bundle: Path) -> None:
    """The program ends as others do, and prints no traceback."""
    command = 'yes one | "$0" | head -n 1'
    done = subprocess.run(["sh", "-c", command, bundle / "run"], capture_output=True, text=True, check=True)
    assert done.stdout.count("\n") == 1
    assert done.stderr == ""


def test_a_damaged_artifact(bundle: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(bundle, tmp_path / "copy", symlinks=True)
    with (copy / "artifact" / "model.so").open("ab") as library:
        library.write(b"x")
    assert "model.so" in refusal(copy / "run", "one")


def test_a_head_that_speaks_of_every_token(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = load(build_toy(tmp_path / "toy", kind=HeadKind.TOKEN_CLASSIFICATION))
    assert run(tmp_path, lambda threads: model, parse(["--integers", "one two", "one"])) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert len(first.split("\t")) == 4  # with the tokens at both ends
    assert len(second.split("\t")) == 3
    assert second == line(model.run_texts(["one"])[0])


def test_pairs_on_lines() -> None:
    assert list(read_texts(["a b\tc\n", "\t\n"], pairs=True)) == [("a b", "c"), ("", "")]
    with pytest.raises(InputError, match="line 1 has 2 tabs"):
        list(read_texts(["a\tb\tc"], pairs=True))
