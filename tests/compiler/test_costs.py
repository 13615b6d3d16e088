"""Multiply-adds and bytes of a compiled model's operators."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from intbert.compiler.artifact import MANIFEST_FILE, Bucket, read_manifest
from intbert.compiler.build import compile_model
from intbert.compiler.costs import Cost
from intbert.compiler.lowering import lower
from intbert.compiler.model import HeadKind, QuantizedModel
from intbert.compiler.packing import Packing
from intbert.compiler.relax import lower_to_relax
from intbert.targets import get_target

from ..models import Size, tiny_model
from .low_bits import with_activations, with_linears

HIDDEN, HEADS, INTERMEDIATE = 24, 3, 40
BATCH, LENGTH = 2, 8
ROWS = BATCH * LENGTH
FEATURES = get_target("x86-64-v3").features


@pytest.fixture(scope="module")
def model() -> QuantizedModel:
    return tiny_model("Bert", HeadKind.MEAN_POOLING, Size(HIDDEN, 1, HEADS, INTERMEDIATE))


def costs(model: QuantizedModel) -> dict[str, Cost]:
    lowered = lower_to_relax(lower(model), [Bucket(LENGTH, BATCH)], FEATURES)
    return {choice.operator: choice.cost for choice in lowered.choices}


def test_macs_are_those_of_the_matrix_products(model: QuantizedModel) -> None:
    assert {name: cost.macs for name, cost in costs(model).items() if cost.macs} == {
        "layers.0.query_key_value": ROWS * 3 * HIDDEN * HIDDEN,
        "layers.0.attention": 2 * BATCH * LENGTH * LENGTH * HIDDEN,
        "layers.0.attention_output": ROWS * HIDDEN * HIDDEN,
        "layers.0.intermediate": ROWS * INTERMEDIATE * HIDDEN,
        "layers.0.output": ROWS * HIDDEN * INTERMEDIATE,
    }


def test_bytes_are_those_of_all_arguments(model: QuantizedModel) -> None:
    found = costs(model)
    states, mask, pooled = 2 * ROWS * HIDDEN, 4 * ROWS, 2 * BATCH * HIDDEN
    assert found["head.mean_pooling"].bytes == states + mask + pooled


def test_a_gather_reads_no_more_rows_than_it_writes(model: QuantizedModel) -> None:
    ids, types = 4 * ROWS, 4 * ROWS
    tables = (ROWS + ROWS + model.architecture.token_types) * HIDDEN
    scalars = 4 * 5
    assert costs(model)["embeddings"].bytes == ids + types + tables + scalars + 2 * ROWS * HIDDEN


def test_packed_weights_count_packed(model: QuantizedModel) -> None:
    wide, narrow = costs(model), costs(with_linears(model, Packing(4)))
    assert narrow["layers.0.intermediate"].macs == wide["layers.0.intermediate"].macs
    less = wide["layers.0.intermediate"].bytes - narrow["layers.0.intermediate"].bytes
    assert less == HIDDEN * INTERMEDIATE // 2


def test_the_bits_of_activations(model: QuantizedModel) -> None:
    found = costs(with_activations(model, {"activation_output": (2, 0, True)}))
    assert found["layers.0.output"].activation_bits == 2
    assert {cost.activation_bits for name, cost in found.items() if name != "layers.0.output"} == {8}


def test_the_manifest_tells_them_and_older_ones_do_not(model: QuantizedModel, tmp_path: Path) -> None:
    target = get_target("x86-64-v3")
    folder = compile_model(model, target, lengths=[LENGTH], batches=[BATCH], output=tmp_path / "artifact")
    records = read_manifest(folder).strategies
    told = {r.operator.partition("/")[2]: Cost(r.macs or 0, r.bytes or 0, r.activation_bits or 0) for r in records}
    assert told == costs(model)
    document = json.loads((folder / MANIFEST_FILE).read_text())
    for strategy in document["strategies"]:
        del strategy["macs"], strategy["bytes"], strategy["activation_bits"]
    (folder / MANIFEST_FILE).write_text(json.dumps(document))
    assert {(r.macs, r.bytes, r.activation_bits) for r in read_manifest(folder).strategies} == {(None, None, None)}
