"""A quantized model that runs in NumPy, called like a compiled one: slow, and by definition right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .artifact import Output
from .lowering import lower
from .model import TOKENIZER_FILE, QuantizedModel
from .oracle import interpret
from .runtime.floats import to_float
from .runtime.text import Text, Tokenizer, pad


class OracleModel:
    """The integer operators of ``model``, interpreted."""

    def __init__(self, model: QuantizedModel, max_length: int = 128) -> None:
        """``max_length``: tokens; a text with more of them is cut."""
        if model.tokenizer is None:
            raise InputError("the quantized model has no tokenizer; quantize a checkpoint that has tokenizer.json")
        self._model = model
        self._graph = lower(model)
        self._tokenizer = Tokenizer(model.tokenizer / TOKENIZER_FILE)
        self._max_length = min(max_length, model.architecture.positions)
        head = model.architecture.head
        self._output = Output(head.kind, "int64", self._graph.output_scale, head.normalize)

    def __call__(self, texts: Sequence[Text]) -> NDArray[np.float32]:
        """The output for each text as floats: [n, channels], or [n, longest, channels] of token heads."""
        rows = self._tokenizer.encode(texts, self._max_length, truncate=True)
        tokens = pad(self._model.architecture, rows)
        inputs = (array.astype(np.int64) for array in (tokens.ids, tokens.mask, tokens.types))
        integers: NDArray[Any] = interpret(self._graph, *inputs)[self._graph.output]
        if self._output.per_token:
            integers = integers.reshape(*tokens.ids.shape, -1)
        return to_float(self._output, integers)
