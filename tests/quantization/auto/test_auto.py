"""``auto`` on a tiny random model and a tiny task: what it returns, what it tells, what it refuses."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from intbert import evaluate
from intbert.compiler.model import QuantizedModel
from intbert.compiler.oracle_model import OracleModel
from intbert.errors import EvaluationError, SchemeError
from intbert.quantization import get_method, load_float_model, quantize
from intbert.quantization.auto.options import AutoOptions
from intbert.quantization.auto.trade_off import Judged, TradeOff
from intbert.quantization.auto.units import WORDS, overrides, units_of
from intbert.quantization.difference.weights import stored_bits
from intbert.quantization.float_model import FloatModel
from intbert.quantization.request import Training

from ..checkpoints import WORDS as VOCABULARY
from ..checkpoints import make_model, save_model

DROP = 15.0
"""Points: many of the random texts lie close to the boundary of the classes."""
QUICK = {"methods": "ibert,lq", "sensitivity_sentences": 4, "search_examples": 40}


def random_texts() -> list[str]:
    random = np.random.default_rng(0)
    return [" ".join(random.choice(VOCABULARY, random.integers(2, 9))) for _ in range(60)]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> FloatModel:
    """A random model that says 0 as often as 1."""
    folder = tmp_path_factory.mktemp("checkpoint")
    model = load_float_model(save_model(make_model("Bert", "ForSequenceClassification"), folder))
    logits = model.predict(random_texts())
    bias = model.weights["head.classifier.bias"] - np.array([np.median(logits[:, 0] - logits[:, 1]), 0], np.float32)
    return replace(model, weights={**model.weights, "head.classifier.bias": bias})


@pytest.fixture(scope="module")
def training(model: FloatModel, tmp_path_factory: pytest.TempPathFactory) -> Training:
    """SST-2 whose labels are what the float model says: it is right on all of them."""
    texts = random_texts()
    labels = model.predict(texts).argmax(axis=1)
    assert labels.sum() == 30
    folder = tmp_path_factory.mktemp("glue")
    (folder / "SST-2").mkdir()
    lines = [f"{text}\t{label}" for text, label in zip(texts, labels, strict=True)]
    for split in ("train", "dev"):
        (folder / "SST-2" / f"{split}.tsv").write_text("\n".join(["sentence\tlabel", *lines]) + "\n", encoding="utf-8")
    return Training("sst2", folder, folder / "work")


def search(model: FloatModel, training: Training, **options: Any) -> QuantizedModel:
    return quantize(model, method="auto", training=training, options={**QUICK, **options})


@pytest.fixture(scope="module")
def found(model: FloatModel, training: Training) -> QuantizedModel:
    return search(model, training, max_drop=DROP)


def test_the_model_is_within_the_drop(found: QuantizedModel, training: Training):
    trade_off = found.provenance["auto"]
    chosen = [judged for judged in trade_off["configurations"] if judged["chosen"]]
    assert len(chosen) == 1
    score = evaluate("sst2", training.data, OracleModel(found))
    assert score.value == chosen[0]["value"]
    assert chosen[0]["confirmed"]
    assert chosen[0]["drop"] == pytest.approx((trade_off["float"] - score.value) * 100)
    assert chosen[0]["drop"] <= DROP


def test_it_is_the_smallest_of_those_that_were_confirmed(found: QuantizedModel):
    confirmed = [judged for judged in found.provenance["auto"]["configurations"] if judged["confirmed"]]
    good = [judged for judged in confirmed if judged["drop"] <= DROP]
    chosen = next(judged for judged in good if judged["chosen"])
    assert chosen["bytes"] == min(judged["bytes"] for judged in good)
    assert chosen["pareto"]
    eight = next(j for j in found.provenance["auto"]["configurations"] if set(j["bits"].values()) == {8})
    assert chosen["bytes"] < eight["bytes"]


def test_its_weights_have_the_bits_that_are_told(found: QuantizedModel):
    chosen = next(judged for judged in found.provenance["auto"]["configurations"] if judged["chosen"])
    for name, bits in overrides(units_of(found.architecture), chosen["bits"]).items():
        assert stored_bits(found.weights[f"{name}.weight"]) == bits


def test_the_trade_off_is_json(found: QuantizedModel):
    trade_off = json.loads(json.dumps(found.provenance["auto"], allow_nan=False))
    assert trade_off["objective"] == "bytes"
    assert trade_off["examples"] == 60
    assert trade_off["search_examples"] == 40
    assert {judged["confirmed"] for judged in trade_off["configurations"]} == {True, False}
    assert set(trade_off["sensitivity"]) == {"ibert", "lq"}
    assert set(trade_off["sensitivity"]["lq"][WORDS]) == {"8", "4", "3", "2"}
    assert set(trade_off["sensitivity"]["ibert"][WORDS]) == {"8"}


def test_fewer_bits_err_more(found: QuantizedModel):
    for errors in found.provenance["auto"]["sensitivity"]["lq"].values():
        assert errors["8"] == 0 < errors["4"] < errors["2"]


def test_the_search_is_deterministic(found: QuantizedModel, model: FloatModel, training: Training):
    assert search(model, training, max_drop=DROP).provenance == found.provenance


def test_a_latency_table_makes_it_seek_the_fastest(model: FloatModel, training: Training, tmp_path: Path):
    """4 bits are slower here but for one shape: only that gets them; the word embeddings cost no time at all."""
    path = tmp_path / "latency.json"
    slow, fast = {"8": 1.0, "4": 2.0}, {"8": 3.0, "4": 1.0}
    path.write_text(json.dumps({"16x16": slow, "16x28": fast, "28x16": slow}), encoding="utf-8")
    found = search(model, training, max_drop=100.0, latency_table=str(path), methods="lq")
    trade_off = found.provenance["auto"]
    chosen = next(judged for judged in trade_off["configurations"] if judged["chosen"])
    assert trade_off["objective"] == "latency"
    assert {name for name, bits in chosen["bits"].items() if bits < 8} == {
        "layers.0.intermediate",
        "layers.1.intermediate",
    }
    assert chosen["latency_ms"] == pytest.approx(2 * (4 * 1.0 + 1.0 + 1.0))


def test_nothing_within_the_drop(model: FloatModel, training: Training, monkeypatch: pytest.MonkeyPatch):
    from intbert.quantization.auto import method

    monkeypatch.setattr(method, "drop_of", lambda original, value: 7.25)
    with pytest.raises(
        SchemeError, match=r"no model within 0\.5 points .* nearest of 1 was lq with 9 parts at 8 bits, 7"
    ):
        search(model, training, confirmations=2, methods="lq")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        pytest.param({"max_drop": -0.1}, r"max_drop is -0\.1; it is a number of points, 0 or more", id="negative-drop"),
        pytest.param({"max_drop": float("nan")}, "max_drop is nan", id="nan"),
        pytest.param({"bits": "4,2"}, "with 8", id="without-8"),
        pytest.param({"bits": "8,x"}, "a list such as", id="no-number"),
        pytest.param({"bits": "8,0"}, "1 to 8 bits", id="0-bits"),
        pytest.param({"confirmations": 0}, "confirmations is 0", id="no-confirmation"),
    ],
)
def test_options_that_make_no_sense(options: dict[str, Any], words: str):
    with pytest.raises(SchemeError, match=words):
        AutoOptions(**options)


def test_options_of_the_command_line():
    options = get_method("auto").parse_options({"max_drop": "1.5", "bits": "8,4"})
    assert (options.max_drop, options.bit_choices) == (1.5, (8, 4))


def test_without_a_task(model: FloatModel):
    with pytest.raises(SchemeError, match="--task"):
        quantize(model, method="auto", sentences=["a dog runs"])


def test_methods_that_there_are_not(model: FloatModel, training: Training):
    with pytest.raises(SchemeError, match=r"methods is 'kdlsq,auto'; the post-training methods are .*ibert"):
        search(model, training, methods="kdlsq,auto")


def test_a_malformed_latency_table_is_said_first(model: FloatModel, training: Training, tmp_path: Path):
    path = tmp_path / "latency.json"
    path.write_text("[]", encoding="utf-8")
    with pytest.raises(SchemeError, match=r"latency\.json"):
        search(model, training, latency_table=str(path))


def test_pareto():
    trade_off = TradeOff("sst2", "accuracy", 1.0, "bytes")
    for drop, size in ((0.0, 100), (0.5, 80), (0.7, 90), (2.0, 40)):
        trade_off.configurations.append(Judged("lq", {"a": 8}, True, 0.9, drop, size, None))
    trade_off.configurations.append(Judged("lq", {"a": 2}, False, 0.9, 0.0, 10, None))
    chosen = trade_off.choose()
    assert chosen is trade_off.configurations[1]
    assert [judged.pareto for judged in trade_off.configurations] == [True, True, False, True, False]


def test_head_of_another_task(training: Training, tmp_path: Path):
    folder = save_model(make_model("Bert", "ForTokenClassification"), tmp_path)
    with pytest.raises(EvaluationError, match="head"):
        search(load_float_model(folder), training)
