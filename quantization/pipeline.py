"""From a float checkpoint, and sentences or a task's data, to a QuantizedModel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..compiler.model import QuantizedModel
from ..errors import CalibrationError
from .checkpoint import load_float_model
from .float_model import FloatModel
from .methods import get_method
from .progress import Progress, silent
from .request import Calibration, Request, Training
from .scheme import Granularity
from .tokenization import Text

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def quantize(
    source: Path | str | PreTrainedModel | FloatModel,
    *,
    method: str = "ibert",
    sentences: Sequence[Text] | None = None,
    calibration: str = "percentile",
    max_length: int = 128,
    weight_bits: int | None = None,
    activation_bits: int | None = None,
    embedding_bits: int | None = None,
    granularity: Granularity | str | None = None,
    options: Mapping[str, Any] | None = None,
    training: Training | None = None,
    progress: Progress | None = None,
    tokenizer: Path | None = None,
) -> QuantizedModel:
    """Quantizes the float checkpoint ``source`` with ``method``.

    ``sentences`` (or pairs of them) should be like those the model will see; a few hundred do. A method that trains
    takes ``training`` instead. ``calibration`` is ``percentile``, ``min-max`` or ``ema``. The bits, the
    granularity of the encoder's weights (``row`` or ``tensor``) and the method's own ``options`` are the method's
    defaults unless given. ``tokenizer`` is the folder of its ``tokenizer.json`` where that does not lie beside the
    checkpoint. Raises SchemeError, CheckpointError, CalibrationError, TrainingError or QuantizedModelError.
    """
    chosen = get_method(method)
    scheme = chosen.customized(
        weight_bits=weight_bits,
        activation_bits=activation_bits,
        embedding_bits=embedding_bits,
        granularity=None if granularity is None else Granularity(granularity),
    )
    parsed = chosen.parse_options(options or {})
    if training is None and not sentences:
        raise CalibrationError("no sentences to calibrate on; give some that are like those the model will see")
    model = source if isinstance(source, FloatModel) else load_float_model(source)
    if tokenizer is not None:
        model = model.with_tokenizer(Path(tokenizer))
    observed = Calibration(model.batches(sentences, max_length), calibration) if sentences else None
    return chosen.quantize(Request(model, scheme, parsed, observed, training, progress or silent))
