"""The difference of two models, layer by layer, and the first layer whose own error is large.

Errors accumulate: behind a broken layer everything is wrong, and in a good 2-bit model the last layers are far from
their float originals. So every layer is measured twice: as it runs in its model, and on its own, its integer
operator fed with the reference's values rounded to the integers that it reads. A layer is bad when its own signal
to quantization noise ratio lies below the threshold. The signal of a linear whose output is added to the residual
stream is what it adds: the stream, which is much larger, would hide what the linear does. The ratio is the median
over the tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..compiler.graph import ATTENTION_MASK, INPUTS, Step
from ..compiler.model import QuantizedModel, WeightTensor
from ..errors import InputError
from .agreement import Agreement, AgreementSums, agreement
from .difference_values import JOINT, PARTS, FloatValues, QuantizedValues, Values, split_joint
from .float_model import FloatModel
from .progress import Progress, silent
from .tokenization import Batch, Text, load_tokenizer, tokenize

DEFAULT_THRESHOLD_DB = 8.0
"""A sixth of the signal's energy is noise. Sound layers reach 15 to 60 dB with 8 bits, 9 to 30 with 4-bit weights."""

FLOAT = ".float"
"""Ends the names of values of a mixed model that are quantized by another operator than that which computes them."""
BATCH = 16
"""Sentences whose values are held at once."""


@dataclass(frozen=True)
class LayerDifference:
    """One activation: how far it is from the reference, and how far its operator would be on its own."""

    name: str
    operators: tuple[str, ...]
    """What computes it: the last of them, from values that only the model has, those before."""
    accumulated: Agreement
    """Both models run by themselves."""
    own: Agreement
    """The operators read the reference's values."""
    grid_sqnr_db: float | None
    """What rounding the reference to this activation's integers leaves; None for floats."""


@dataclass(frozen=True)
class WeightDifference:
    """One weight tensor, dequantized, beside the reference's."""

    name: str
    bits: int
    agreement: Agreement


@dataclass(frozen=True)
class FirstBad:
    """The first layer whose own error is large, and what explains it."""

    name: str
    operators: tuple[str, ...]
    sqnr_db: float
    cause: str


@dataclass(frozen=True)
class Difference:
    """Two models compared: activations in the order in which they run, and weights."""

    threshold_db: float
    layers: tuple[LayerDifference, ...]
    weights: tuple[WeightDifference, ...]
    first_bad: FirstBad | None


def difference(
    first: FloatModel | QuantizedModel,
    second: FloatModel | QuantizedModel,
    batches: Sequence[Batch],
    threshold_db: float = DEFAULT_THRESHOLD_DB,
    progress: Progress = silent,
) -> Difference:
    """Compares two models on the tokens of ``batches``.

    The reference is the float one, else ``first``. Raises InputError when both are float, their shapes differ or
    there are no tokens.
    """
    reference, model = (second, first) if isinstance(second, FloatModel) else (first, second)
    if not isinstance(model, QuantizedModel):
        raise InputError("both models are float checkpoints; give a quantized one to compare with")
    _check_shapes(reference, model)
    if not any(batch.attention_mask.any() for batch in batches):
        raise InputError("no sentences to compare the models on; give a text file with one sentence a line")
    comparison = _Comparison(reference, model)
    for batch in progress(batches, "comparing layers", len(batches)):
        comparison.update(batch)
    layers, weights = comparison.layers(), _weights(reference, model)
    return Difference(threshold_db, layers, weights, _first_bad(layers, weights, threshold_db))


def difference_batches(
    models: Sequence[FloatModel | QuantizedModel], texts: Sequence[Text], max_length: int = 128
) -> list[Batch]:
    """``texts`` as token ids, by the first tokenizer that one of ``models`` has; InputError when none has one."""
    for model in models:
        if model.tokenizer is not None:
            return tokenize(load_tokenizer(model.tokenizer), texts, model.architecture, max_length, BATCH)
    raise InputError("neither model has a tokenizer.json; save the checkpoint's fast tokenizer beside it")


def _check_shapes(reference: FloatModel | QuantizedModel, model: QuantizedModel) -> None:
    for name in ("hidden", "layers", "heads", "intermediate", "vocabulary", "head"):
        one, other = getattr(reference.architecture, name), getattr(model.architecture, name)
        if name == "head":
            one, other = one.kind.value, other.kind.value
        if one != other:
            raise InputError(f"the models are not of one shape: {name} is {one} and {other}; give one's quantized form")


class _Comparison:
    """Collects the agreement of every value, batch after batch."""

    def __init__(self, reference: FloatModel | QuantizedModel, model: QuantizedModel) -> None:
        self._reference = FloatValues(reference) if isinstance(reference, FloatModel) else QuantizedValues(reference)
        self._values = QuantizedValues(model)
        self._rows = [name for step in self._values.graph.steps for name in _reported(step)]
        self._operators: dict[str, tuple[str, ...]] = {}
        self._accumulated, self._own, self._grid = ({} for _ in range(3))

    def update(self, batch: Batch) -> None:
        reference = _Aliased(self._reference(batch))
        integers = self._values.integers(batch)
        tokens = batch.attention_mask.astype(bool).ravel()
        actual = self._values.real(integers)
        for name in self._rows:
            if name in reference and name in actual:
                _add(self._accumulated, name, tokens, reference[name], actual[name])
        local: dict[str, _Local] = {}
        for step in self._values.graph.steps:
            self._update_own(step, reference, integers, local, tokens)

    def _update_own(
        self,
        step: Step,
        reference: _Aliased,
        integers: dict[str, NDArray[Any]],
        local: dict[str, _Local],
        tokens: NDArray[np.bool_],
    ) -> None:
        """Runs ``step`` on the reference's values, or on what was computed from them where the reference has none."""
        inputs: list[Any] = []
        operators: tuple[str, ...] = ()
        for name in step.inputs:
            value = self._as_read(name, reference, integers)
            if value is None:
                value, before = local[name].values, local[name].operators
                operators += tuple(operator for operator in before if operator not in operators)
            inputs.append(value)
        operators += (step.operator.name,)
        results = step.operator.oracle(*inputs)
        computed = dict(zip(step.outputs, results if isinstance(results, tuple) else (results,), strict=True))
        local |= {name: _Local(values, operators) for name, values in computed.items()}
        own = self._values.real({**integers, **computed})
        rounded = self._rounded(step, reference, integers)
        for name in _reported(step):
            if name not in reference or name not in own:
                continue
            self._operators[name] = operators
            _add(self._own, name, tokens, reference[name], own[name], _added(step, name, reference))
            if name in rounded:
                _add(self._grid, name, tokens, reference[name], rounded[name])

    def _as_read(self, name: str, reference: _Aliased, integers: dict[str, NDArray[Any]]) -> NDArray[Any] | None:
        """The reference's value ``name`` as the model's operators read it; None where it has none."""
        if name in INPUTS:
            return integers[name]
        if name not in reference:
            return None
        if integers[name].dtype.kind == "f":
            return reference[name].astype(integers[name].dtype)
        grid = self._values.grid(name)
        return None if grid is None else grid.integers(reference[name])

    def _rounded(self, step: Step, reference: _Aliased, integers: dict[str, NDArray[Any]]) -> Values:
        """The reference's values of the step's outputs, rounded to their integers."""
        found: Values = {}
        for name in step.outputs:
            grid = self._values.grid(name)
            if name not in reference or grid is None or integers[name].dtype.kind == "f":
                continue
            found[name] = grid.real(grid.integers(reference[name]))
            if name.endswith(JOINT):
                found |= split_joint(name, found[name])
        return found

    def layers(self) -> tuple[LayerDifference, ...]:
        """What was collected."""
        own = {name: sums.agreement() for name, sums in self._own.items()}
        grid = {name: sums.agreement().row_sqnr_db for name, sums in self._grid.items()}
        return tuple(
            LayerDifference(name, self._operators[name], self._accumulated[name].agreement(), own[name], grid.get(name))
            for name in self._rows
            if name in self._accumulated
        )


@dataclass(frozen=True)
class _Local:
    """A value that the reference lacks, computed from values that it has, and the operators on the way."""

    values: NDArray[Any]
    operators: tuple[str, ...]


class _Aliased:
    """The reference's values; one before its quantization, ``x.float``, is ``x``."""

    def __init__(self, values: Values) -> None:
        self._values = values

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.removesuffix(FLOAT) in self._values

    def __getitem__(self, name: str) -> NDArray[np.float64]:
        return self._values[name.removesuffix(FLOAT)]


def _reported(step: Step) -> tuple[str, ...]:
    """The names that ``step`` is reported under: queries, keys and values apart."""
    if step.outputs[0].endswith(JOINT):
        prefix = step.outputs[0].removesuffix(JOINT)
        return tuple(f"{prefix}.{part}" for part in PARTS)
    return step.outputs


def _added(step: Step, name: str, reference: _Aliased) -> NDArray[np.float64] | None:
    """What ``step`` adds to the residual stream; None where it adds to none."""
    residuals = [value for value in step.inputs[1:] if value != ATTENTION_MASK and value not in INPUTS]
    if not name.endswith("_sum") or not residuals:
        return None
    return reference[name] - reference[residuals[0]]


def _add(
    sums: dict[str, AgreementSums],
    name: str,
    tokens: NDArray[np.bool_],
    reference: NDArray[np.float64],
    other: NDArray[np.float64],
    signal: NDArray[np.float64] | None = None,
) -> None:
    """Adds the unpadded rows; behind a pooling head all rows are."""
    rows = tokens if len(reference) == len(tokens) else slice(None)
    collected = sums.setdefault(name, AgreementSums())
    collected.update(reference[rows], other[rows], None if signal is None else signal[rows])


def _weights(reference: FloatModel | QuantizedModel, model: QuantizedModel) -> tuple[WeightDifference, ...]:
    found = []
    for name, weight in model.weights.items():
        original = _original(reference, name)
        if name.endswith(".split") or original is None:
            continue
        values = dequantized(model, name)
        if values.shape == original.shape:
            found.append(WeightDifference(name, stored_bits(weight), agreement(original, values)))
    return tuple(found)


def _original(reference: FloatModel | QuantizedModel, name: str) -> NDArray[Any] | None:
    if isinstance(reference, FloatModel):
        return reference.weights.get(name)
    return dequantized(reference, name) if name in reference.weights else None


def dequantized(model: QuantizedModel, name: str) -> NDArray[np.float64]:
    """The tensor as floats, columns that were split off added to those that they came from."""
    weight = model.weights[name]
    scale = weight.scale.reshape(-1, *[1] * (weight.values.ndim - 1)) if weight.scale.ndim else weight.scale
    values = weight.values.astype(np.float64) * scale
    split = model.weights.get(f"{name.removesuffix('.weight')}.split")
    if split is None or not name.endswith(".weight"):
        return values
    columns = values.shape[1] - len(split.values)
    whole = values[:, :columns].copy()
    for position, column in enumerate(split.values, start=columns):
        whole[:, column] += values[:, position]
    return whole


def stored_bits(weight: WeightTensor) -> int:
    """Bits of each of the tensor's values on disk."""
    return 8 * weight.values.dtype.itemsize if weight.packing is None else weight.packing.bits


def _first_bad(
    layers: Sequence[LayerDifference], weights: Sequence[WeightDifference], threshold: float
) -> FirstBad | None:
    for layer in layers:
        if layer.own.row_sqnr_db < threshold:
            return FirstBad(layer.name, layer.operators, layer.own.row_sqnr_db, _cause(layer, weights, threshold))
    return None


def _cause(layer: LayerDifference, weights: Sequence[WeightDifference], threshold: float) -> str:
    if layer.grid_sqnr_db is not None and layer.grid_sqnr_db < threshold:
        return f"the scale or the bits of {layer.name} do not suit its values"
    bad = [w.name for w in weights if _belongs(w.name, layer) and w.agreement.sqnr_db < threshold]
    if bad:
        return f"{' and '.join(bad)} differ from the reference"
    return "what it reads loses too much when it is rounded, or its arithmetic is wrong"


def _belongs(weight: str, layer: LayerDifference) -> bool:
    """Whether an operator that computes ``layer`` reads ``weight``."""
    return any(_reads(operator, weight, layer.name) for operator in layer.operators)


def _reads(operator: str, weight: str, layer: str) -> bool:
    if operator == "embeddings":
        return weight.startswith("embeddings.") and not weight.startswith("embeddings.norm.")
    if not operator.endswith(JOINT):
        return weight.startswith(f"{operator}.")
    prefix = operator.removesuffix(JOINT)
    parts = [f"{prefix}.{part}" for part in PARTS]
    return any(weight.startswith(f"{part}.") for part in ([layer] if layer in parts else parts))
