"""Latency tables, and what is wrong with malformed ones."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from intbert.compiler.model import HeadKind
from intbert.errors import SchemeError
from intbert.quantization.auto.latency import LatencyTable, read_latency_table
from intbert.quantization.auto.units import WORDS, Unit, units_of

from ...models import Size, tiny_float_model

UNITS = units_of(tiny_float_model("Bert", HeadKind.NONE, Size(hidden=24, layers=2, intermediate=40)).architecture)
SHAPES = {"24x24": {"8": 2, "4": 1.5}, "24x40": {"8": 3.0, "4": 2.0}, "40x24": {"8": 4.0}}


def read(tmp_path: Path, document: Any) -> LatencyTable:
    path = tmp_path / "latency.json"
    path.write_text(document if isinstance(document, str) else json.dumps(document), encoding="utf-8")
    return read_latency_table(path)


def unit(name: str) -> Unit:
    return next(unit for unit in UNITS if unit.name == name)


def test_units_cover_the_encoder():
    assert [unit.name for unit in UNITS[:5]] == [
        WORDS,
        "layers.0.query_key_value",
        "layers.0.attention_output",
        "layers.0.intermediate",
        "layers.0.output",
    ]
    assert len(UNITS) == 9


def test_shapes_and_names(tmp_path: Path):
    table = read(tmp_path, {**SHAPES, "layers.1.key": {"8": 10.0}})
    table.check(UNITS)
    assert table(unit("layers.0.query_key_value"), 8) == 6.0
    assert table(unit("layers.0.query_key_value"), 4) == 4.5
    assert table(unit("layers.1.query_key_value"), 8) == 14.0
    assert table(unit("layers.1.query_key_value"), 4) == math.inf
    assert table(unit("layers.0.intermediate"), 4) == 2.0
    assert table(unit("layers.0.output"), 4) == math.inf
    assert table(unit(WORDS), 2) == 0.0


@pytest.mark.parametrize(
    ("document", "words"),
    [
        pytest.param("{", "not JSON", id="json"),
        pytest.param([], "is an object", id="list"),
        pytest.param({}, "is an object", id="empty"),
        pytest.param({"24x24": 3}, "24x24 must be an object", id="number"),
        pytest.param({"24x24": {}}, "24x24 must be an object", id="no-bits"),
        pytest.param({"24x24": {"eight": 1}}, "'eight' bits", id="bits"),
        pytest.param({"24x24": {"16": 1}}, "'16' bits", id="too-many-bits"),
        pytest.param({"24x24": {"8": -1}}, "-1 ms with 8 bits", id="negative"),
        pytest.param({"24x24": {"8": True}}, "True ms", id="boolean"),
        pytest.param('{"24x24": {"8": NaN}}', "nan ms", id="nan"),
        pytest.param({"24x24": {"8": "fast"}}, "'fast' ms", id="text"),
        pytest.param({"24x24": {"8": 1}, "24x40": {"8": 1}}, r"layers\.0\.output, nor for its shape 40x24", id="gap"),
        pytest.param({**SHAPES, "40x24": {"4": 1}}, r"layers\.0\.output has no latency for 8 bits", id="no-8"),
    ],
)
def test_malformed(tmp_path: Path, document: Any, words: str):
    with pytest.raises(SchemeError, match=words):
        read(tmp_path, document).check(UNITS)


def test_missing(tmp_path: Path):
    with pytest.raises(SchemeError, match="cannot be read"):
        read_latency_table(tmp_path / "absent.json")
