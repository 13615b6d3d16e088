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

from ...compiler.model import QuantizedModel
from ...errors import InputError
from ..float_model import FloatModel
from ..progress import Progress, silent
from ..tokenization import Batch, Text, load_tokenizer, tokenize
from .comparison import Comparison
from .first_bad import first_bad
from .result import Difference
from .weights import weight_differences

DEFAULT_THRESHOLD_DB = 8.0
"""A sixth of the signal's energy is noise. Sound layers reach 15 to 60 dB with 8 bits, 9 to 30 with 4-bit weights."""

BATCH = 16
"""Sentences whose values are held at once."""


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
    comparison = Comparison(reference, model)
    for batch in progress(batches, "comparing layers", len(batches)):
        comparison.update(batch)
    layers, weights = comparison.layers(), weight_differences(reference, model)
    return Difference(threshold_db, layers, weights, first_bad(layers, weights, threshold_db))


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
