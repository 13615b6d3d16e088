"""The teacher of a request: its float model, which remembers what more than one epoch asks for."""

from __future__ import annotations

from collections.abc import Sequence

from ..request import Request
from .distillation import Term, activations
from .finish import first_batches
from .options import DistillationOptions
from .tasks import TokenizedExample
from .teacher import Teacher


def teacher_of(
    request: Request,
    options: DistillationOptions,
    examples: Sequence[TokenizedExample],
    terms: Sequence[Term],
    epochs: int,
) -> Teacher:
    """The request's float model, for ``epochs`` epochs of ``examples`` with the distillation ``terms``."""
    teacher = Teacher(request.model, options.teacher_memory * 2**20)
    if epochs > 1:
        batches = list(first_batches(request, options, examples, count=None))
        shown = request.progress(batches, "teacher", len(batches))
        teacher.remember(activations(terms, request.model.architecture), shown)
    return teacher
