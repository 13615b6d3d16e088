"""I-BERT: every operator from the token ids to the head's output becomes integer arithmetic.

After Kim et al., "I-BERT: Integer-only BERT Quantization", ICML 2021, with a 15-bit residual stream where the paper
has 22 and 32 bits. The scales are chosen here; the arithmetic is the compiler's.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..compiler.model import QuantizedModel
from .post_training import quantize_calibrated
from .request import Request
from .training.options import TrainingOptions
from .weights import MinMaxWeights


@dataclass(frozen=True)
class IbertOptions(TrainingOptions):
    """How to train, where a task is given."""

    epochs: int = 1
    learning_rate: float = 1e-5


def quantize_ibert(request: Request) -> QuantizedModel:
    """Quantizes to W8A8, integer-only: on the calibration sentences, or trained through the integer operators.

    Weights are int8 with one scale per output channel (the last linear of a head: one scale), embeddings int8
    with one scale per table, gamma and beta int16, biases int32 with scale input scale * weight scale. Raises
    CalibrationError (unknown observer, nothing to calibrate on, activations that are not finite), TrainingError,
    EvaluationError, OutputError (see :mod:`.training.trainer`) and QuantizedModelError (a bias that does not fit).
    """
    if request.training is not None:
        return _train(request)
    return quantize_calibrated(replace(request, options=None), MinMaxWeights())


def _train(request: Request) -> QuantizedModel:
    from .export import HEADROOM, export
    from .training.development import check_development_set, development_score
    from .training.recipe import recipe
    from .training.student import Student
    from .training.through_integers import ThroughIntegers
    from .training.trainer import train

    training = request.needed_training()
    check_development_set(training)
    student = Student(request.model, ThroughIntegers(request.model, request.scheme))
    record = train(student, training, request.options, progress=request.progress, recipe=recipe(request, "ibert"))
    record |= development_score(student, training, request.progress)
    record |= {"method": "ibert, trained through the integer operators", "headroom": HEADROOM}
    activations = student.fake_quantization.activations()
    return export(student.to_float_model(), request.scheme, activations, provenance=record)
