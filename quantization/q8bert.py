"""Q8BERT: 8-bit linears and embeddings, trained with fake quantization; everything else in floating point.

Zafrir et al., "Q8BERT: Quantized 8Bit BERT", 2019. The scales are trained with; ``integer_only`` then turns the float
operators between the linears into integer ones as well, with ranges observed on the training set.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ..compiler.model import QuantizedModel
from ..errors import SchemeError
from .request import Request
from .scheme import Operator
from .training.options import DistillationOptions

if TYPE_CHECKING:
    from .training.student import Student
    from .training.tasks import TokenizedExample
    from .training.trainer import Loss


@dataclass(frozen=True)
class Q8BertOptions(DistillationOptions):
    """How to train, and which operators are integer."""

    epochs: int = 1
    """Few, and a low learning rate: a model that knows its training set only has to get used to the rounding."""
    learning_rate: float = 1e-5
    labels: float = 1.0
    """Weight of the task's own loss, the only one of the paper."""
    logits: float = 0.0
    """Weight of the soft cross entropy with the float model's logits."""
    hidden: float = 0.0
    """Weight of the squared error of the float model's hidden states."""
    integer_only: bool = False
    """Whether softmax, GELU, layer normalization and attention become integer after training."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (self.labels or self.logits or self.hidden):
            raise SchemeError("labels, logits and hidden are all 0: there is nothing to learn from; give one a weight")


def quantize_q8bert(request: Request) -> QuantizedModel:
    """Trains on the request's task, and exports a mixed model, or an integer-only one.

    Raises TrainingError (no task, a head that does not fit it, a loss that is no number), EvaluationError (data),
    OutputError (checkpoints) and QuantizedModelError (a bias that does not fit).
    """
    from .training.development import check_development_set, development_score
    from .training.eight_bit import EightBit
    from .training.finish import examples_of
    from .training.recipe import recipe
    from .training.student import Student
    from .training.trainer import train

    options: Q8BertOptions = request.options
    training = request.needed_training()
    check_development_set(training)
    student = Student(request.model, EightBit(request.model.architecture))
    examples = examples_of(request, options)
    record = train(
        student,
        training,
        options,
        loss=loss_of(request, examples),
        progress=request.progress,
        recipe=recipe(request, "q8bert"),
        examples=examples,
    )
    record |= development_score(student, training, request.progress)
    record["method"] = "q8bert, quantization-aware training"
    return _integer_only(request, student, record) if options.integer_only else _mixed(request, student, record)


def loss_of(request: Request, examples: Sequence[TokenizedExample]) -> Loss:
    """The task's own, as in the paper, or what the options weigh."""
    from .training.distillation import Distillation, HiddenStates, Logits, Term
    from .training.teaching import teacher_of
    from .training.trainer import task_loss

    options: Q8BertOptions = request.options
    terms: list[Term] = []
    if options.hidden:
        terms.append(HiddenStates(options.hidden))
    if options.logits:
        terms.append(Logits(options.logits))
    if not terms:
        return task_loss
    return Distillation(teacher_of(request, options, examples, terms, options.epochs), terms, options.labels)


def _mixed(request: Request, student: Student, record: Mapping[str, Any]) -> QuantizedModel:
    from .mixed import quantize_mixed

    activations = student.fake_quantization.activations()
    return quantize_mixed(student.to_float_model(), {}, activations, scheme=request.scheme.name, provenance=record)


def _integer_only(request: Request, student: Student, record: Mapping[str, Any]) -> QuantizedModel:
    """The trained scales, and for the activations that have none those that the float operators need."""
    from .calibration import calibrate
    from .export import activations_from_ranges, export
    from .training.tasks import calibration_batches

    scheme = replace(request.scheme, integer_operators=frozenset(Operator))
    model = student.to_float_model()
    batches = calibration_batches(model, request.needed_training(), request.options.max_length)
    ranges = calibrate(model, batches, progress=request.progress)
    activations = activations_from_ranges(model, scheme, ranges) | student.fake_quantization.activations()
    return export(model, scheme, activations, provenance={**record, "integer_only": True})
