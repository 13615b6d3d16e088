"""Layer by layer differences: what is sound passes, and what was corrupted is named, exactly."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from intbert.compiler.lowering import lower
from intbert.compiler.model import HeadKind, QuantizedModel, WeightTensor
from intbert.errors import InputError
from intbert.quantization import integers
from intbert.quantization.agreement import EXACT_DB, AgreementSums, agreement
from intbert.quantization.calibration import calibrate
from intbert.quantization.difference.compare import difference, difference_batches
from intbert.quantization.difference.result import Difference
from intbert.quantization.difference.weights import dequantized
from intbert.quantization.mixed import linear_inputs, quantize_mixed
from intbert.quantization.tokenization import Batch

from ...models import Size, tiny_float_model, tiny_model
from ..checkpoints import make_batch

SIZE = Size(hidden=24, layers=2, heads=3, intermediate=40)
CLASSIFIER = HeadKind.SEQUENCE_CLASSIFICATION


def batches(family: str = "Bert") -> list[Batch]:
    return [make_batch({"Bert": 0, "Roberta": 1, "DistilBert": 0}[family], (16, 9, 4, 1), seed=seed) for seed in (7, 8)]


@pytest.fixture(scope="module")
def sound() -> QuantizedModel:
    return tiny_model("Bert", CLASSIFIER, SIZE)


def compare(model: QuantizedModel) -> Difference:
    return difference(tiny_float_model("Bert", CLASSIFIER, SIZE), model, batches())


def change_weight(model: QuantizedModel, name: str, change: Callable[[WeightTensor], WeightTensor]) -> QuantizedModel:
    return replace(model, weights={**model.weights, name: change(model.weights[name])})


def shuffled(weight: WeightTensor) -> WeightTensor:
    return replace(
        weight, values=np.random.default_rng(0).permutation(weight.values.ravel()).reshape(weight.values.shape)
    )


def quadrupled_scale(weight: WeightTensor) -> WeightTensor:
    return replace(weight, scale=weight.scale * 4)


def enlarged(weight: WeightTensor) -> WeightTensor:
    return replace(weight, values=weight.values * 32)


def negated(weight: WeightTensor) -> WeightTensor:
    return replace(weight, values=-weight.values)


@pytest.mark.parametrize("family", ["Bert", "Roberta", "DistilBert"])
@pytest.mark.parametrize("head", list(HeadKind), ids=lambda head: head.value)
def test_a_sound_model_has_no_bad_layer(family: str, head: HeadKind):
    original, model = tiny_float_model(family, head), tiny_model(family, head)
    found = difference(
        original, model, batches(family) if family == "Bert" else [_without_types(b) for b in batches(family)]
    )
    assert found.first_bad is None
    names = [layer.name for layer in found.layers]
    assert names[0] == "embeddings.sum"
    assert {"layers.0.query", "layers.0.key", "layers.0.value", "layers.0.context"} < set(names)
    if head is not HeadKind.NONE:
        assert names[-1].startswith("head.")
    assert {weight.name for weight in found.weights} == set(model.weights)
    assert all(layer.own.row_sqnr_db > 15 for layer in found.layers)


def _without_types(batch: Batch) -> Batch:
    return replace(batch, token_type_ids=np.zeros_like(batch.token_type_ids))


CORRUPTIONS = [
    pytest.param("layers.0.query.weight", shuffled, "layers.0.query", id="query"),
    pytest.param("layers.1.key.weight", negated, "layers.1.key", id="key"),
    pytest.param("layers.0.value.weight", quadrupled_scale, "layers.0.value", id="scale-of-value"),
    pytest.param("layers.0.attention_output.weight", shuffled, "layers.0.attention_sum", id="residual-linear"),
    pytest.param("layers.1.intermediate.weight", quadrupled_scale, "layers.1.activation_output", id="intermediate"),
    pytest.param("layers.1.output.weight", negated, "layers.1.output_sum", id="output"),
    pytest.param("layers.1.output.bias", enlarged, "layers.1.output_sum", id="bias"),
    pytest.param("layers.0.output_norm.gamma", negated, "layers.0.output_stream", id="gamma"),
    pytest.param("embeddings.word.weight", shuffled, "embeddings.sum", id="embeddings"),
    pytest.param("head.pooler.weight", shuffled, "head.pooler_input", id="pooler"),
    pytest.param("head.classifier.weight", negated, "head.logits", id="classifier"),
]


@pytest.mark.parametrize(("tensor", "corrupt", "named"), CORRUPTIONS)
def test_a_corrupted_tensor_is_named(sound: QuantizedModel, tensor: str, corrupt, named: str):
    found = compare(change_weight(sound, tensor, corrupt))
    assert found.first_bad is not None
    assert found.first_bad.name == named
    assert tensor in found.first_bad.cause
    # Nothing behind it is blamed: on its own, every other operator's layer is sound.
    bad = {layer.operators for layer in found.layers if layer.own.row_sqnr_db < found.threshold_db}
    assert bad == {found.first_bad.operators}


def test_the_scale_of_an_activation_is_named(sound: QuantizedModel):
    name = "layers.0.context"
    scale = sound.activations[name].scale / 32
    broken = replace(sound, activations={**sound.activations, name: replace(sound.activations[name], scale=scale)})
    found = compare(broken)
    assert found.first_bad is not None
    assert (found.first_bad.name, found.first_bad.operators) == (name, ("layers.0.attention",))
    assert "scale" in found.first_bad.cause


def test_errors_accumulate_and_the_first_layer_is_blamed(sound: QuantizedModel):
    found = compare(change_weight(sound, "layers.0.value.weight", negated))
    after = next(layer for layer in found.layers if layer.name == "layers.1.context")
    assert after.accumulated.row_sqnr_db < found.threshold_db < after.own.row_sqnr_db


def test_either_order(sound: QuantizedModel):
    original = tiny_float_model("Bert", CLASSIFIER, SIZE)
    assert difference(sound, original, batches()) == difference(original, sound, batches())


def test_two_quantized_models(sound: QuantizedModel):
    same = difference(sound, sound, batches())
    assert {layer.accumulated.sqnr_db for layer in same.layers} == {EXACT_DB}
    assert {layer.accumulated.max_error for layer in same.layers} == {0.0}
    broken = change_weight(sound, "layers.1.query.weight", shuffled)
    found = difference(sound, broken, batches()).first_bad
    assert found is not None
    assert found.name == "layers.1.query"


def test_the_threshold_decides(sound: QuantizedModel):
    original = tiny_float_model("Bert", CLASSIFIER, SIZE)
    found = difference(original, sound, batches(), threshold_db=150.0)
    assert found.first_bad is not None
    assert found.first_bad.name == "embeddings.sum"


def test_padding_does_not_count(sound: QuantizedModel):
    short = make_batch(0, (5, 5), seed=3)
    padded = replace(
        short,
        **{
            name: np.pad(getattr(short, name), ((0, 0), (0, 6)))
            for name in ("input_ids", "attention_mask", "token_type_ids")
        },
    )
    original = tiny_float_model("Bert", CLASSIFIER, SIZE)
    ours, theirs = difference(original, sound, [short]), difference(original, sound, [padded])
    for one, other in zip(ours.layers, theirs.layers, strict=True):
        assert one.accumulated.sqnr_db == pytest.approx(other.accumulated.sqnr_db, abs=1e-3)


def test_columns_that_were_split_count_as_one(sound: QuantizedModel):
    name = "layers.0.query"
    weight = sound.weights[f"{name}.weight"]
    half = weight.values.copy()
    half[:, 3] = weight.values[:, 3] // 2
    rest = weight.values[:, 3:4] - half[:, 3:4]
    split = {
        f"{name}.weight": replace(weight, values=np.concatenate([half, rest], axis=1)),
        f"{name}.split": WeightTensor(np.array([3], np.int32), np.asarray(1.0)),
    }
    whole = dequantized(replace(sound, weights={**sound.weights, **split}), f"{name}.weight")
    np.testing.assert_array_equal(whole, dequantized(sound, f"{name}.weight"))


@pytest.fixture(scope="module", params=["static", "dynamic"])
def mixed(request: pytest.FixtureRequest) -> QuantizedModel:
    model = tiny_float_model("Bert", CLASSIFIER, SIZE)
    names = linear_inputs(model)
    if request.param == "dynamic":
        return quantize_mixed(model, {}, {}, dynamic=frozenset(names))
    ranges = calibrate(model, batches(), "min-max")
    return quantize_mixed(model, {}, {name: integers.activation(ranges[name], 8) for name in names})


def test_a_sound_mixed_model(mixed: QuantizedModel):
    found = compare(mixed)
    assert found.first_bad is None
    assert found.layers[0].name == "embeddings.sum"
    assert found.layers[-1].name == "head.logits"
    assert sum("context" in layer.name for layer in found.layers) == SIZE.layers


@pytest.mark.parametrize(
    ("tensor", "named"),
    [
        pytest.param("layers.1.key.weight", "layers.1.context", id="key"),
        pytest.param("layers.0.intermediate.weight", "layers.0.activation_output", id="intermediate"),
        pytest.param("layers.1.attention_output.weight", "layers.1.attention_stream", id="attention-output"),
        pytest.param("head.classifier.weight", "head.logits", id="classifier"),
    ],
)
def test_a_corrupted_mixed_model(mixed: QuantizedModel, tensor: str, named: str):
    found = compare(change_weight(mixed, tensor, negated)).first_bad
    assert found is not None
    assert found.name.removesuffix(".float") == named
    assert tensor in found.cause


def test_layers_with_split_channels_are_judged(sound: QuantizedModel):
    """The channels that are duplicated in the graph are values of their own, which no reference has."""
    name = "layers.1.output"
    weight = sound.weights[f"{name}.weight"]
    columns = [3, 17]
    split = {
        f"{name}.weight": replace(weight, values=np.concatenate([weight.values, weight.values[:, columns]], axis=1)),
        f"{name}.split": WeightTensor(np.array(columns, np.int32), np.asarray(1.0)),
    }
    model = replace(sound, weights={**sound.weights, **split})
    assert any(step.operator.name == f"{name}.duplicated_input" for step in lower(model).steps)
    assert {layer.name for layer in compare(model).layers} == {layer.name for layer in compare(sound).layers}


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        pytest.param(tiny_float_model("Bert", CLASSIFIER), tiny_float_model("Bert", CLASSIFIER), "float", id="floats"),
        pytest.param(
            tiny_float_model("Bert", CLASSIFIER), tiny_model("Bert", CLASSIFIER, SIZE), "layers is 1 and 2", id="shapes"
        ),
        pytest.param(
            tiny_float_model("Bert", HeadKind.NONE), tiny_model("Bert", CLASSIFIER), "head is none", id="heads"
        ),
    ],
)
def test_models_that_cannot_be_compared(first, second, words: str):
    with pytest.raises(InputError, match=words):
        difference(first, second, batches())


def test_no_sentences(sound: QuantizedModel):
    with pytest.raises(InputError, match="no sentences"):
        difference(tiny_float_model("Bert", CLASSIFIER, SIZE), sound, [])


def test_no_tokenizer(sound: QuantizedModel):
    with pytest.raises(InputError, match=r"tokenizer\.json"):
        difference_batches([sound], ["a dog"])


def test_agreement():
    reference = np.array([[3.0, 4.0], [0.0, 100.0]])
    found = agreement(reference, reference + np.array([[0.5, 0.0], [0.0, 1.0]]))
    assert found.sqnr_db == pytest.approx(10 * np.log10(10025 / 1.25))
    assert found.row_sqnr_db == pytest.approx((20 + 40) / 2)
    assert found.max_error == 1.0
    assert 0.999 < found.cosine < 1


@pytest.mark.parametrize(
    ("reference", "other", "decibels", "cosine"),
    [
        pytest.param(0.0, 0.0, EXACT_DB, 1.0, id="zeros"),
        pytest.param(0.0, 1.0, -EXACT_DB, 0.0, id="no-signal"),
        pytest.param(2.0, 2.0, EXACT_DB, 1.0, id="exact"),
        pytest.param(1.0, -1.0, -10 * np.log10(4), -1.0, id="negated"),
    ],
)
def test_agreement_at_its_ends(reference: float, other: float, decibels: float, cosine: float):
    found = agreement(np.full((2, 3), reference), np.full((2, 3), other))
    assert found.sqnr_db == pytest.approx(decibels)
    assert found.row_sqnr_db == pytest.approx(decibels)
    assert found.cosine == pytest.approx(cosine)


def test_sums_add_up():
    random = np.random.default_rng(1)
    one, other = random.normal(size=(2, 10, 4))
    sums = AgreementSums()
    for part in (slice(0, 3), slice(3, 10)):
        sums.update(one[part], other[part])
    whole = agreement(one, other)
    assert sums.agreement().sqnr_db == pytest.approx(whole.sqnr_db)
    assert sums.agreement().row_sqnr_db == pytest.approx(whole.row_sqnr_db)
