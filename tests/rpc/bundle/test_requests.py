"""What the server answers to a line, whatever is in it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import pytest
from intbert.compiler.runtime import Model
from intbert.compiler.runtime.text import check_texts
from intbert.errors import InputError
from intbert.rpc.bundle.requests import MOST_TEXTS, answer
from numpy.typing import NDArray


@dataclass
class Lengths:
    """A model whose output is how many characters a text has."""

    calls: list[tuple[Any, bool]] = field(default_factory=list)

    def run_texts(self, texts: Sequence[Any], *, truncate: bool = False) -> NDArray[np.int32]:
        check_texts(texts)
        self.calls.append((texts, truncate))
        if "fault" in texts:
            raise RuntimeError("a kernel failed")
        if "long" in texts and not truncate:
            raise InputError("text 0 has 99 tokens")
        return np.array([[len("".join(text))] for text in texts], np.int32)

    def to_float(self, integers: NDArray[np.int32]) -> NDArray[np.float32]:
        return (integers * 0.5).astype(np.float32)


def ask(line: bytes | dict[str, Any], model: Lengths | None = None) -> dict[str, Any]:
    if isinstance(line, dict):
        line = json.dumps(line).encode()
    answered = answer(cast(Model, model or Lengths()), line)
    assert answered.endswith(b"\n")
    assert answered.count(b"\n") == 1
    return json.loads(answered)


def test_outputs_in_the_order_of_the_texts() -> None:
    assert ask({"texts": ["a", "abc", ["ab", "cd"]]}) == {"outputs": [[0.5], [1.5], [2.0]]}


def test_integers_and_truncation() -> None:
    model = Lengths()
    assert ask({"texts": ["long"], "integers": True, "truncate": True}, model) == {"outputs": [[4]]}
    assert model.calls == [(("long",), True)]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        pytest.param(b"", "no JSON", id="empty"),
        pytest.param(b"\xff\xfe", "no JSON", id="no-utf-8"),
        pytest.param(b"[" * 100_000, "no JSON", id="deep"),
        pytest.param(b'{"texts": [' + b"1" * 5000 + b"]}", "no JSON", id="huge-number"),
        pytest.param(b"[]", "no request", id="list"),
        pytest.param(b'{"text": "a"}', "no request", id="no-texts"),
        pytest.param(b'{"texts": "a"}', "no request", id="one-string"),
        pytest.param(b'{"texts": []}', f"0 texts; send 1 to {MOST_TEXTS}", id="none"),
        pytest.param({"texts": ["a"] * (MOST_TEXTS + 1)}, f"{MOST_TEXTS + 1} texts", id="too-many"),
        pytest.param(b'{"texts": [1]}', "text 0 is 1", id="number"),
        pytest.param(b'{"texts": ["a", null]}', "text 1 is None", id="null"),
        pytest.param(b'{"texts": [["a"]]}', "text 0 is ('a',)", id="one-of-a-pair"),
        pytest.param(b'{"texts": [["a", {}]]}', "text 0 is", id="no-pair"),
        pytest.param(b'{"texts": ["\\ud800"]}', "no valid Unicode", id="half-a-surrogate"),
        pytest.param(b'{"texts": ["a"], "integer": true}', "'integer' is unknown", id="unknown-key"),
        pytest.param(b'{"texts": ["a"], "truncate": 1}', "truncate is 1; it must be true or false", id="no-flag"),
        pytest.param(b'{"texts": ["long"]}', "99 tokens", id="too-long"),
        pytest.param(b'{"texts": ["fault"]}', "the server failed (RuntimeError)", id="fault"),
    ],
)
def test_what_is_no_request_gets_an_error(line: bytes | dict[str, Any], message: str) -> None:
    answered = ask(line)
    assert answered.keys() == {"error"}
    assert message in answered["error"]
