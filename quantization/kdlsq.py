"""KDLSQ-BERT: learned step sizes, trained with the float model as the teacher, 2 to 8 bits.

Jin et al., "KDLSQ-BERT: A Quantized BERT Combining Knowledge Distillation with Learned Step Size Quantization", 2021.
Weights of 2 bits are mid-rise (four levels, -3, -1, 1, 3 times the step), of 3 to 8 bits mid-tread.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

from ..compiler.model import QuantizedModel
from ..errors import SchemeError
from .request import Request
from .training.options import DistillationOptions

INITIAL_STEPS = ("least-squares", "lsq")


@dataclass(frozen=True)
class KdlsqOptions(DistillationOptions):
    """How to train, and what the terms of the distillation weigh."""

    quantizer_learning_rate: float = 1e-3
    """Relative: it is that of the logarithms of the step sizes."""
    hidden: float = 1.0
    """Weight of the hidden states' squared error."""
    scores: float = 1.0
    """Weight of the attention scores' squared error."""
    logits: float = 1.0
    """Weight of the logits' soft cross entropy."""
    labels: float = 0.0
    """Weight of the task's own loss."""
    initial_steps: str = "least-squares"
    """Of activations: the least squared error on the first batch, or the formula of LSQ."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.initial_steps not in INITIAL_STEPS:
            raise SchemeError(f"initial_steps is {self.initial_steps!r}; kdlsq knows {' and '.join(INITIAL_STEPS)}")


def quantize_kdlsq(request: Request) -> QuantizedModel:
    """Trains on the request's task with hidden-state, attention-score and logit distillation.

    Raises TrainingError (no task, a head that does not fit it, a loss that is no number), EvaluationError (data),
    OutputError (checkpoints) and QuantizedModelError (a bias that does not fit).
    """
    from .training.distillation import AttentionScores, Distillation, HiddenStates, Logits
    from .training.finish import examples_of, finish, first_batches
    from .training.learned import LearnedQuantization
    from .training.learned_activations import least_squares
    from .training.lsq import initial_step, learned_step
    from .training.student import Student
    from .training.teaching import teacher_of
    from .training.trainer import train

    options: KdlsqOptions = request.options
    initial = least_squares if options.initial_steps == "least-squares" else initial_step
    quantization = LearnedQuantization(request.model.architecture, request.scheme, learned_step, initial)
    student = Student(request.model, quantization)
    examples = examples_of(request, options)
    terms = (HiddenStates(options.hidden), AttentionScores(options.scores), Logits(options.logits))
    teacher = teacher_of(request, options, examples, terms, options.epochs)
    provenance = train(
        student,
        request.needed_training(),
        options,
        loss=Distillation(teacher, terms, options.labels),
        progress=request.progress,
        recipe={"scheme": scheme_recipe(request)},
        examples=examples,
    )
    batches = first_batches(request, options, examples)
    return finish(request, request.scheme, student, batches, provenance)


def scheme_recipe(request: Request) -> dict[str, object]:
    """What of the scheme and the options a run that goes on must have in common with the one that began."""
    scheme = request.scheme
    return {
        "name": scheme.name,
        "weight_bits": scheme.weight_bits,
        "activation_bits": scheme.activation_bits,
        "embedding_bits": scheme.embedding_bits,
        "granularity": scheme.weight_granularity.value,
        "options": asdict(request.options),
    }
