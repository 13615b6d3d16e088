"""From a float checkpoint and calibration sentences to a QuantizedModel."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..compiler.model import QuantizedModel
from ..errors import CalibrationError
from .checkpoint import load_float_model
from .float_model import FloatModel
from .ibert import quantize_ibert
from .progress import Progress, silent
from .scheme import get_scheme
from .tokenization import Batch, Text

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Quantizer = Callable[[FloatModel, Sequence[Batch], str, Progress], QuantizedModel]

QUANTIZERS: Mapping[str, Quantizer] = {"ibert": quantize_ibert}
"""What computes each scheme."""


def quantize(
    source: Path | str | PreTrainedModel | FloatModel,
    *,
    method: str = "ibert",
    sentences: Sequence[Text],
    calibration: str = "percentile",
    max_length: int = 128,
    progress: Progress | None = None,
    tokenizer: Path | None = None,
) -> QuantizedModel:
    """Quantizes the float checkpoint ``source`` with the scheme ``method``.

    ``sentences`` (or pairs of them) should be like those the model will see; a few hundred do.
    ``calibration`` is ``percentile``, ``min-max`` or ``ema``. ``tokenizer`` is the folder of its
    ``tokenizer.json`` where that does not lie beside the checkpoint. Raises SchemeError, CheckpointError,
    CalibrationError or QuantizedModelError.
    """
    scheme = get_scheme(method)
    if not sentences:
        raise CalibrationError("no sentences to calibrate on; give some that are like those the model will see")
    model = source if isinstance(source, FloatModel) else load_float_model(source)
    if tokenizer is not None:
        model = model.with_tokenizer(Path(tokenizer))
    return QUANTIZERS[scheme.name](model, model.batches(sentences, max_length), calibration, progress or silent)
