"""I-BERT: every operator from the token ids to the head's output becomes integer arithmetic.

After Kim et al., "I-BERT: Integer-only BERT Quantization", ICML 2021, with a 15-bit residual stream where the paper
has 22 and 32 bits. The scales are chosen here; the arithmetic is the compiler's.
"""

from __future__ import annotations

from ..compiler.model import QuantizedModel
from .post_training import quantize_calibrated
from .request import Request
from .weights import MinMaxWeights


def quantize_ibert(request: Request) -> QuantizedModel:
    """Quantizes to W8A8, integer-only, on the calibration sentences.

    Weights are int8 with one scale per output channel (the last linear of a head: one scale), embeddings int8
    with one scale per table, gamma and beta int16, biases int32 with scale input scale * weight scale. Raises
    CalibrationError (unknown observer, nothing to calibrate on, activations that are not finite) and
    QuantizedModelError (a bias that does not fit).
    """
    return quantize_calibrated(request, MinMaxWeights())
