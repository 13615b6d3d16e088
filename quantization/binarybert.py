"""BinaryBERT: 1-bit weights and word embeddings, by way of a ternary student of half the width.

Bai et al., "BinaryBERT: Pushing the Limit of BERT Quantization", ACL 2021:

1. Half of every layer's attention heads and neurons, the most important ones, learn what the float model computes.
   (The paper begins with a DynaBERT checkpoint of half the width.)
2. That student learns with ternary weights: first the float model's hidden states and attention scores, then its
   logits.
3. Every ternary matrix becomes the sum of two binary ones (ternary weight splitting), and learns so once more.

The two binary matrices of a linear have one scale and are stored as one matrix that reads its input twice: as many
bits as a binary linear of the full width. Word embeddings are binary throughout, a scale a row; the paper's code
adds two binary tables, twice the bits. What is not in the encoder has 8 bits, and so have queries, keys, values and
attention probabilities. With 4-bit activations ReLU takes GELU's place, as in the paper.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ..compiler.model import Activation, QuantizedModel
from ..errors import SchemeError
from .request import Request
from .scheme import Granularity
from .training.options import DistillationOptions

if TYPE_CHECKING:
    from .float_model import FloatModel
    from .training.distillation import Term
    from .training.learned_activations import LearnedActivations
    from .training.narrowing import Kept
    from .training.student import Student
    from .training.teacher import Teacher
    from .training.trainer import Loss

IMPORTANCE_BATCHES = 32
"""Batches of the training set on which heads and neurons are ranked."""


@dataclass(frozen=True)
class BinarybertOptions(DistillationOptions):
    """How to train each stage. ``epochs`` are those of the hidden states' distillation, ternary and binary alike."""

    epochs: int = 3
    width_epochs: int = 2
    """Of the narrow student in floating point."""
    logit_epochs: int = 2
    """Of the logits' distillation, ternary and binary alike."""
    learning_rate: float = 1e-4
    """Of the ternary and the binary student. Higher than the paper's: there are fewer steps, and a weight moves by no
    more than the learning rate in each."""
    quantizer_learning_rate: float = 1e-3
    """Relative: it is that of the logarithms of the clips and step sizes."""
    weight_decay: float = 0.0
    clip: float = 2.5
    """Where 8-bit activations begin to be clipped; further out where their squared error asks for it."""

    @property
    def all_epochs(self) -> int:
        """Of all stages."""
        return self.width_epochs + 2 * (self.epochs + self.logit_epochs)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("width_epochs", "logit_epochs"):
            if getattr(self, name) < 1:
                raise SchemeError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if not 0 < self.clip < float("inf"):
            raise SchemeError(f"clip is {self.clip}; it must be a positive number")


def quantize_binarybert(request: Request) -> QuantizedModel:
    """Trains on the request's task in five stages, each with checkpoints of its own.

    Raises SchemeError (attention heads that cannot be halved), TrainingError, EvaluationError, OutputError and
    QuantizedModelError as other methods that train do.
    """
    return _Binarization(request).quantize()


class _Binarization:
    def __init__(self, request: Request) -> None:
        from .training.finish import examples_of

        self.request, self.options, self.scheme = request, request.options, request.scheme
        heads = request.model.architecture.heads
        if heads % 2:
            raise SchemeError(f"binarybert halves the attention heads; {request.model.name} has {heads}, an odd number")
        self.per_row = self.scheme.weight_granularity is Granularity.ROW
        self.examples = examples_of(request, self.options)
        self.provenance: dict[str, Any] = {}

    def quantize(self) -> QuantizedModel:
        from .training.finish import finish, first_batches
        from .training.one_bit import BinaryQuantization, TernaryQuantization, split_model
        from .training.student import Student

        lessons = self._lessons()
        narrow = self._narrow(lessons)
        architecture = narrow.architecture
        observed = self._activations(narrow)
        ternary = Student(narrow, TernaryQuantization(architecture, observed, self.per_row))
        self._distil("ternary", ternary, lessons)
        halves, seconds = split_model(ternary.to_float_model(), self.per_row)
        binary = Student(halves, BinaryQuantization(architecture, observed, self.per_row, seconds))
        self._distil("binary", binary, lessons)
        batches = first_batches(self.request, self.options, self.examples)
        return finish(self.request, self.scheme, binary, batches, {"training": self.provenance})

    def _lessons(self) -> _Lessons:
        """What there is to learn, with one teacher for all stages."""
        from .training.distillation import AttentionScores, HiddenStates, Logits
        from .training.finish import first_batches
        from .training.narrowing import most_important
        from .training.teaching import teacher_of

        batches = first_batches(self.request, self.options, self.examples, IMPORTANCE_BATCHES)
        kept = most_important(self.request.model, batches, width=0.5)
        intermediate = (HiddenStates(), AttentionScores(kept=kept.heads))
        teacher = teacher_of(self.request, self.options, self.examples, intermediate, self.options.all_epochs)
        return _Lessons(teacher, kept, intermediate, (Logits(),))

    def _narrow(self, lessons: _Lessons) -> FloatModel:
        """The student of half the width after its own distillation."""
        from .training.narrowing import centered, narrowed
        from .training.student import Student

        narrow = centered(narrowed(self.request.model, lessons.kept))
        if self.scheme.activation_bits < 8:
            narrow = replace(narrow, architecture=replace(narrow.architecture, activation=Activation.RELU))
        student = Student(narrow)
        self._train("width", student, self.options.width_epochs, lessons.loss(*lessons.intermediate, *lessons.final))
        return student.to_float_model()

    def _activations(self, narrow: FloatModel) -> LearnedActivations:
        from .training.learned_activations import LearnedActivations, at_least, least_squares
        from .training.lsq import learned_clip, learned_step

        if self.scheme.activation_bits < 8:
            return LearnedActivations(narrow.architecture, self.scheme, learned_step, least_squares)
        return LearnedActivations(narrow.architecture, self.scheme, learned_clip, at_least(self.options.clip))

    def _distil(self, stage: str, student: Student, lessons: _Lessons) -> None:
        """The two stages of distillation."""
        self._train(f"{stage}-1-hidden", student, self.options.epochs, lessons.loss(*lessons.intermediate))
        self._train(f"{stage}-2-logits", student, self.options.logit_epochs, lessons.loss(*lessons.final))

    def _train(self, stage: str, student: Student, epochs: int, loss: Loss) -> None:
        from .training.trainer import train

        found: Mapping[str, Any] = train(
            student,
            self.request.needed_training(),
            replace(self.options, epochs=epochs),
            loss=loss,
            progress=self.request.progress,
            stage=stage,
            recipe={
                "activation_bits": self.scheme.activation_bits,
                "granularity": self.scheme.weight_granularity.value,
            },
            examples=self.examples,
        )
        self.provenance[stage] = found["training"]


@dataclass(frozen=True)
class _Lessons:
    """The teacher, what of it the narrow student has, and the terms of the first and of the second distillation."""

    teacher: Teacher
    kept: Kept
    intermediate: Sequence[Term]
    final: Sequence[Term]

    def loss(self, *terms: Term) -> Loss:
        """The sum of ``terms``."""
        from .training.distillation import Distillation

        return Distillation(self.teacher, terms)
