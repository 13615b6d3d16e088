"""Teacher: the float model that a student learns from. What it makes of a text is computed once, if memory allows."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..float_model import FloatModel
from .student import Capture, Student

INPUTS = ("input_ids", "attention_mask", "token_type_ids")


@dataclass(frozen=True)
class Lesson:
    """What the teacher makes of a batch: activations (see :mod:`intbert.quantization.forward`), and its logits."""

    values: Mapping[str, Tensor]
    logits: Tensor


@dataclass(frozen=True)
class _Remembered:
    """Activations and outputs of a batch, padding included."""

    values: Mapping[str, Tensor]
    output: Tensor

    @property
    def size(self) -> int:
        """In bytes."""
        return sum(tensor.nbytes for tensor in (*self.values.values(), self.output))


class Teacher:
    """``model`` in floating point, without gradients.

    Its activations of a text do not depend on the other texts of a batch, so an epoch can use those of the one
    before: see :meth:`remember`. What is remembered is decided by the texts alone, never by when a run began.
    """

    def __init__(self, model: FloatModel, memory: int = 0) -> None:
        """``memory``: bytes of activations that are remembered at most."""
        self.student = Student(model).eval().requires_grad_(False)
        self._memory = memory
        self._batches: list[_Remembered] = []
        self._texts: dict[bytes, tuple[_Remembered, int]] = {}

    def remember(self, names: Collection[str], batches: Iterable[Mapping[str, Tensor]]) -> None:
        """Computes the activations ``names`` of ``batches`` and keeps them, until ``memory`` is full."""
        free = self._memory - sum(batch.size for batch in self._batches)
        for batch in batches:
            found = self._compute(names, batch)
            free -= found.size
            if free < 0:
                return
            self._batches.append(found)
            for row, (key, _) in enumerate(_texts(batch)):
                self._texts.setdefault(key, (found, row))

    def __call__(self, names: Collection[str], batch: Mapping[str, Tensor]) -> Lesson:
        """The activations ``names`` and the logits of ``batch``; those of padding are arbitrary."""
        texts = list(_texts(batch))
        rows = {row: found for row, (key, _) in enumerate(texts) if (found := self._recall(names, key)) is not None}
        if rows:
            missing = [row for row in range(len(texts)) if row not in rows]
            if missing:
                computed = self._compute(names, {name: batch[name][missing] for name in INPUTS})
                rows |= {row: (computed, position) for position, row in enumerate(missing)}
            lengths = [length for _, length in texts]
            found = _joined([rows[row] for row in range(len(texts))], lengths, names, batch["input_ids"].shape[1])
        else:
            found = self._compute(names, batch)
        return Lesson(found.values, self.student.logits(found.output))

    def _compute(self, names: Collection[str], batch: Mapping[str, Tensor]) -> _Remembered:
        capture = Capture(names)
        with torch.no_grad():
            output = self.student.encode(*(batch[name] for name in INPUTS), capture=capture)
        return _Remembered(capture.values, output)

    def _recall(self, names: Collection[str], key: bytes) -> tuple[_Remembered, int] | None:
        """Where the text is remembered: a batch, and its row there; None where it or an activation is not."""
        found = self._texts.get(key)
        return found if found is not None and all(name in found[0].values for name in names) else None


def _texts(batch: Mapping[str, Tensor]) -> Iterator[tuple[bytes, int]]:
    """For every row what tells its text from others, and its length."""
    lengths = batch["attention_mask"].sum(1).tolist()
    for ids, types, length in zip(batch["input_ids"], batch["token_type_ids"], lengths, strict=True):
        yield torch.cat([ids[:length], types[:length]]).numpy().tobytes(), length


def _joined(
    rows: Sequence[tuple[_Remembered, int]], lengths: Sequence[int], names: Collection[str], width: int
) -> _Remembered:
    """One batch, ``width`` tokens wide, of rows of several."""
    values = {name: _padded([part.values[name][row] for part, row in rows], lengths, width) for name in names}
    return _Remembered(values, torch.stack([part.output[row] for part, row in rows]))


def _padded(rows: Sequence[Tensor], lengths: Sequence[int], width: int) -> Tensor:
    """Rows [T, C] of tokens, or [heads, T, T] of pairs of tokens, as one batch ``width`` tokens wide; padding is 0."""
    pairs = rows[0].ndim == 3
    shape = (rows[0].shape[0], width, width) if pairs else (width, rows[0].shape[1])
    joined = rows[0].new_zeros((len(rows), *shape))
    for target, row, length in zip(joined, rows, lengths, strict=True):
        if pairs:
            target[:, :length, :length] = row[:, :length, :length]
        else:
            target[:length] = row[:length]
    return joined
