"""The agreement of every value of two models, as it runs and on its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...compiler.graph import ATTENTION_MASK, INPUTS, Step
from ...compiler.model import QuantizedModel
from ..agreement import AgreementSums
from ..float_model import FloatModel
from ..tokenization import Batch
from .result import LayerDifference
from .values import JOINT, PARTS, FloatValues, QuantizedValues, Values, split_joint

FLOAT = ".float"
"""Ends the names of values of a mixed model that are quantized by another operator than that which computes them."""


class Comparison:
    """Collects the agreement of every value, batch after batch."""

    def __init__(self, reference: FloatModel | QuantizedModel, model: QuantizedModel) -> None:
        self._reference = FloatValues(reference) if isinstance(reference, FloatModel) else QuantizedValues(reference)
        self._values = QuantizedValues(model)
        self._rows = [name for step in self._values.graph.steps for name in _reported(step)]
        self._operators: dict[str, tuple[str, ...]] = {}
        self._accumulated, self._own, self._grid = ({} for _ in range(3))

    def update(self, batch: Batch) -> None:
        """Takes in the values of ``batch``."""
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
