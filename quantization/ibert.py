"""Post-training I-BERT: every operator from the token ids to the head's output becomes integer arithmetic.

After Kim et al., "I-BERT: Integer-only BERT Quantization", ICML 2021, without its fine-tuning, and with a
15-bit residual stream where the paper has 22 and 32 bits. The scales are chosen here; the arithmetic is the
compiler's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..compiler.model import Quantization, QuantizedModel, WeightTensor
from . import integers, structure
from .progress import Progress, silent
from .scheme import SCHEMES, Scheme
from .tokenization import Batch

if TYPE_CHECKING:
    from .float_model import FloatModel

HEADROOM = 1.25
"""The 15-bit ranges are this times the largest magnitude seen: unseen sentences reach a little further, and a
third of a bit is cheap there, while an outlier of the residual stream that is cut off is not."""

NORM_BITS = 16
"""Bits of the layer normalizations' gamma and beta."""


def quantize_ibert(
    model: FloatModel, batches: Sequence[Batch], calibration: str = "percentile", progress: Progress = silent
) -> QuantizedModel:
    """Quantizes ``model`` to the scheme ``ibert`` on the calibration ``batches``.

    Weights are int8 with one scale per output channel (the last linear of a head: one scale), embeddings int8
    with one scale per table, gamma and beta int16, biases int32 with scale input scale * weight scale. Raises
    CalibrationError (unknown calibration, nothing to calibrate on, activations that are not finite) and
    QuantizedModelError (a bias that does not fit).
    """
    from .calibration import calibrate

    scheme = SCHEMES["ibert"]
    ranges = calibrate(model, batches, calibration, progress)
    activations = _activations(model, ranges, scheme)
    weights = {**_tables(model, scheme), **_linears(model, activations, scheme)}
    return QuantizedModel(
        architecture=model.architecture,
        scheme=scheme.name,
        weights=weights,
        activations=activations,
        provenance=_provenance(model, batches, calibration),
        tokenizer=model.tokenizer,
    )


def _activations(model: FloatModel, ranges: dict[str, float], scheme: Scheme) -> dict[str, Quantization]:
    return {
        name: integers.activation(ranges[name] * HEADROOM, scheme.stream_bits)
        if wide
        else integers.activation(ranges[name], scheme.activation_bits)
        for name, wide in structure.wide_activations(model.architecture).items()
    }


def _tables(model: FloatModel, scheme: Scheme) -> dict[str, WeightTensor]:
    tables = {
        f"{name}.weight": integers.per_tensor(model.weights[f"{name}.weight"], scheme.embedding_bits)
        for name in structure.embeddings(model.architecture)
    }
    for norm in structure.norms(model.architecture):
        for name in (f"{norm}.gamma", f"{norm}.beta"):
            tables[name] = integers.per_tensor(model.weights[name], NORM_BITS)
    return tables


def _linears(model: FloatModel, activations: dict[str, Quantization], scheme: Scheme) -> dict[str, WeightTensor]:
    tensors: dict[str, WeightTensor] = {}
    for linear in structure.linears(model.architecture):
        weight, bias = model.weights[f"{linear.name}.weight"], model.weights[f"{linear.name}.bias"]
        scale = activations[linear.input].scale
        quantized = (
            integers.per_row(weight, bias, scale, scheme.weight_bits)
            if linear.per_row
            else integers.single_scale(linear.name, weight, bias, scale, scheme.weight_bits)
        )
        tensors[f"{linear.name}.weight"], tensors[f"{linear.name}.bias"] = quantized
    return tensors


def _provenance(model: FloatModel, batches: Sequence[Batch], calibration: str) -> dict[str, Any]:
    return {
        "source": model.name,
        "method": "ibert, post-training",
        "calibration": calibration,
        "calibration_sentences": sum(len(batch.rows) for batch in batches),
        "calibration_tokens": int(sum(batch.attention_mask.sum() for batch in batches)),
        "headroom": HEADROOM,
        "norm_epsilon": model.norm_epsilon,
        "notes": list(model.notes),
    }
