"""Token ids as the compiled functions take them: checked, and fitted into buckets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...errors import InputError
from ..artifact import Bucket
from ..model import Architecture

Int32Array = NDArray[np.int32]


@dataclass(frozen=True)
class Tokens:
    """Rows of equal length: ``ids``, ``mask`` (1 for a token, 0 for padding), ``types``: int32 [B, T]."""

    ids: Int32Array
    mask: Int32Array
    types: Int32Array

    def take(self, rows: Sequence[int], length: int) -> Tokens:
        """The first ``length`` tokens of ``rows``."""
        return Tokens(self.ids[rows, :length], self.mask[rows, :length], self.types[rows, :length])


def check_tokens(
    architecture: Architecture,
    input_ids: ArrayLike,
    attention_mask: ArrayLike | None = None,
    token_type_ids: ArrayLike | None = None,
) -> Tokens:
    """The arrays as int32 [B, T]; a missing mask is all ones, missing types all zeros.

    Raises InputError for a wrong shape or dtype, an id outside the vocabulary, a token type that the model
    does not have, a mask with other values than 0 and 1, or a row without any token.
    """
    ids = _matrix("input_ids", input_ids)
    mask = np.ones_like(ids) if attention_mask is None else _matrix("attention_mask", attention_mask)
    types = np.zeros_like(ids) if token_type_ids is None else _matrix("token_type_ids", token_type_ids)
    for name, array in (("attention_mask", mask), ("token_type_ids", types)):
        if array.shape != ids.shape:
            raise InputError(f"{name} has shape {array.shape}, input_ids {ids.shape}; they must be equal")
    _check_range("input_ids", ids, architecture.vocabulary, "the vocabulary")
    _check_range("token_type_ids", types, max(architecture.token_types, 1), "the token types")
    _check_range("attention_mask", mask, 2, "0 (padding) and 1 (token)")
    if not mask.any(axis=1).all():
        row = int(np.argmin(mask.any(axis=1)))
        raise InputError(f"attention_mask: row {row} has no token; leave the row out")
    return Tokens(ids.astype(np.int32), mask.astype(np.int32), types.astype(np.int32))


def _matrix(name: str, value: ArrayLike) -> NDArray[Any]:
    try:
        array = np.asarray(value)
    except ValueError:
        raise InputError(f"{name} is ragged; pad its rows to one length and pass attention_mask") from None
    if array.ndim != 2 or array.size == 0:
        raise InputError(f"{name} has shape {array.shape}; it must be [batch, length], neither of them 0")
    if array.dtype == np.bool_:
        return array.astype(np.int32)
    if array.dtype.kind not in "iu":
        raise InputError(f"{name} has dtype {array.dtype}; it must be an integer type")
    return array


def _check_range(name: str, array: NDArray[Any], end: int, what: str) -> None:
    low, high = int(array.min()), int(array.max())
    if low < 0 or high >= end:
        raise InputError(f"{name} holds {low if low < 0 else high}; {what} are 0 to {end - 1}")


def fitting_length(buckets: Sequence[Bucket], length: int) -> int:
    """The length of the smallest bucket for ``length`` tokens; raises InputError when there is none."""
    lengths = [bucket.length for bucket in buckets if bucket.length >= length]
    if not lengths:
        largest = max(bucket.length for bucket in buckets)
        raise InputError(
            f"{length} tokens, the artifact's largest bucket holds {largest}; "
            f"shorten the input, pass truncate, or compile with --lengths {length}"
        )
    return min(lengths)


def plan(buckets: Sequence[Bucket], lengths: Sequence[int]) -> Iterator[tuple[Bucket, list[int]]]:
    """Cuts rows of ``lengths`` tokens into calls: each a bucket, and the rows, at most its batch, in it.

    Rows of like lengths go together, so little of a bucket is padding. Large batches come first; when no
    batch is small enough for what is left, the smallest one is filled up.
    """
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    for length, group in groupby(order, key=lambda row: fitting_length(buckets, lengths[row])):
        batches = sorted(bucket for bucket in buckets if bucket.length == length)
        rows = list(group)
        while rows:
            bucket = next((b for b in reversed(batches) if b.batch <= len(rows)), batches[0])
            yield bucket, rows[: bucket.batch]
            rows = rows[bucket.batch :]
