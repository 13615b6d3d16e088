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

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ..compiler.model import Activation, QuantizedModel
from ..errors import SchemeError
from .request import Request
from .scheme import Granularity
from .training.options import TrainingOptions

if TYPE_CHECKING:
    from .float_model import FloatModel
    from .training.learned_activations import LearnedActivations
    from .training.student import Student
    from .training.trainer import Loss

IMPORTANCE_BATCHES = 32
"""Batches of the training set on which heads and neurons are ranked."""


@dataclass(frozen=True)
class BinarybertOptions(TrainingOptions):
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

        narrow, kept_heads = self._narrow()
        architecture = narrow.architecture
        observed = self._activations(narrow)
        ternary = Student(narrow, TernaryQuantization(architecture, observed, self.per_row))
        self._distil("ternary", ternary, kept_heads)
        halves, seconds = split_model(ternary.to_float_model(), self.per_row)
        binary = Student(halves, BinaryQuantization(architecture, observed, self.per_row, seconds))
        self._distil("binary", binary, kept_heads)
        batches = first_batches(self.request, self.options, self.examples)
        return finish(self.request, self.scheme, binary, batches, {"training": self.provenance})

    def _narrow(self) -> tuple[FloatModel, tuple[tuple[int, ...], ...]]:
        """The student of half the width after its own distillation, and the teacher's heads that it has."""
        from .training.finish import first_batches
        from .training.narrowing import centered, most_important, narrowed
        from .training.student import Student

        model = self.request.model
        batches = first_batches(self.request, self.options, self.examples, IMPORTANCE_BATCHES)
        kept = most_important(model, batches, width=0.5)
        narrow = centered(narrowed(model, kept))
        if self.scheme.activation_bits < 8:
            narrow = replace(narrow, architecture=replace(narrow.architecture, activation=Activation.RELU))
        student = Student(narrow)
        options = replace(self.options, epochs=self.options.width_epochs)
        self._train("width", student, options, self._loss(kept.heads, intermediate=True, logits=True))
        return student.to_float_model(), kept.heads

    def _activations(self, narrow: FloatModel) -> LearnedActivations:
        from .training.learned_activations import LearnedActivations, at_least, least_squares
        from .training.lsq import learned_clip, learned_step

        if self.scheme.activation_bits < 8:
            return LearnedActivations(narrow.architecture, self.scheme, learned_step, least_squares)
        return LearnedActivations(narrow.architecture, self.scheme, learned_clip, at_least(self.options.clip))

    def _distil(self, stage: str, student: Student, kept_heads: tuple[tuple[int, ...], ...]) -> None:
        """The two stages of distillation."""
        intermediate = self._loss(kept_heads, intermediate=True, logits=False)
        self._train(f"{stage}-1-hidden", student, self.options, intermediate)
        options = replace(self.options, epochs=self.options.logit_epochs)
        self._train(f"{stage}-2-logits", student, options, self._loss(kept_heads, intermediate=False, logits=True))

    def _loss(self, kept_heads: tuple[tuple[int, ...], ...], *, intermediate: bool, logits: bool) -> Loss:
        from .training.distillation import AttentionScores, Distillation, HiddenStates, Logits, Term

        terms: list[Term] = []
        if intermediate:
            terms += [HiddenStates(), AttentionScores(kept=kept_heads)]
        if logits:
            terms.append(Logits())
        return Distillation(terms)

    def _train(self, stage: str, student: Student, options: BinarybertOptions, loss: Loss) -> None:
        from .training.student import frozen
        from .training.trainer import train

        found: Mapping[str, Any] = train(
            student,
            self.request.needed_training(),
            options,
            loss=loss,
            teacher=frozen(self.request.model),
            progress=self.request.progress,
            stage=stage,
            recipe={
                "activation_bits": self.scheme.activation_bits,
                "granularity": self.scheme.weight_granularity.value,
            },
            examples=self.examples,
        )
        self.provenance[stage] = found["training"]
