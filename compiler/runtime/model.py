"""A loaded artifact, ready to run."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...errors import InputError
from ..artifact import LIBRARY_FILE, Bucket, Manifest, check_machine, opened, read_manifest, verify_files
from ..model import TOKENIZER_FILE
from .devices import CopyingDevice, Device, HostDevice
from .driver import check_gpu, load_cuda_runtime
from .floats import to_float
from .inputs import Tokens, check_tokens, plan
from .shapes import Instrument, VirtualMachine
from .text import Text, Tokenizer, pad
from .threads import Threads, check_threads


def load(path: str | Path, threads: int | None = None) -> Model:
    """Loads the artifact at ``path``, a folder or a ``.tar``.

    The hash of every file and the features of this processor are checked before any of its code is mapped.

    ``threads``: how many threads work on one inference, the calling one included; by default one for each
    physical core that this process may use. TVM keeps a pool for each calling thread, which all models share.

    Raises ArtifactError when the artifact is damaged or was built for another processor, or for a GPU that this
    machine or its driver cannot offer; InputError for ``threads`` < 1, ToolchainError when TVM's runtime is missing.
    """
    count = check_threads(threads)
    with opened(Path(path)) as folder:
        manifest = read_manifest(folder)
        verify_files(manifest, folder)
        check_machine(manifest)
        machine = VirtualMachine(folder / LIBRARY_FILE, manifest, _device(manifest))
        tokenizer = Tokenizer(folder / TOKENIZER_FILE) if TOKENIZER_FILE in manifest.files else None
        return Model(manifest, machine, tokenizer, Threads(count))


def _device(manifest: Manifest) -> Device:
    """What runs the operators, checked and ready."""
    if manifest.cuda is None:
        return HostDevice()
    check_gpu(manifest.cuda, manifest.target.name)
    load_cuda_runtime()
    return CopyingDevice()


class Model:
    """A compiled BERT. Call it with sentences, or pairs of sentences; see :func:`load`.

    Several threads may share a model: their calls take turns.
    """

    def __init__(
        self, manifest: Manifest, machine: VirtualMachine, tokenizer: Tokenizer | None, threads: Threads
    ) -> None:
        self.manifest = manifest
        self._machine = machine
        self._tokenizer = tokenizer
        self._threads = threads
        self._lock = threading.RLock()

    @property
    def threads(self) -> int:
        """How many threads work on one inference."""
        return self._threads.count

    @property
    def has_tokenizer(self) -> bool:
        """Whether the model can be called with text."""
        return self._tokenizer is not None

    @property
    def max_length(self) -> int:
        """How many tokens the longest input may have, special tokens included."""
        return self.manifest.max_length

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of the output's channels, where the model has names for them."""
        return self.manifest.architecture.head.labels

    @property
    def output_scale(self) -> float | NDArray[np.float64]:
        """What an integer of :meth:`run` stands for: one number, or one for each channel of the last axis."""
        scale = self.manifest.output.scale
        return scale if isinstance(scale, float) else np.array(scale)

    def __call__(self, texts: Sequence[Text], *, truncate: bool = False) -> NDArray[np.float32]:
        """The model's output for each text, as floats.

        Returns [n, channels], of unit length where the model normalizes; or [n, longest, channels] for a head
        that says something about every token: there what lies behind a text's own tokens is 0.

        Raises InputError for a text with more tokens than the largest bucket (``truncate`` cuts it instead),
        and when the artifact has no tokenizer.
        """
        return self.to_float(self.run_texts(texts, truncate=truncate))

    def run_texts(self, texts: Sequence[Text], *, truncate: bool = False) -> NDArray[Any]:
        """As calling the model, but the integers themselves."""
        tokens = self.tokenize(texts, truncate=truncate)
        return self._run_tokens(tokens, tokens.mask.sum(axis=1).tolist())

    def tokenize(self, texts: Sequence[Text], *, truncate: bool = False) -> Tokens:
        """The token ids of the texts, padded to the longest of them, as :meth:`run` takes them."""
        if self._tokenizer is None:
            raise InputError("the artifact has no tokenizer; call run() with token ids")
        with self._lock:
            rows = self._tokenizer.encode(texts, self.max_length, truncate)
        return pad(self.manifest.architecture, rows)

    def run(
        self,
        input_ids: ArrayLike,
        attention_mask: ArrayLike | None = None,
        token_type_ids: ArrayLike | None = None,
    ) -> NDArray[Any]:
        """The integers of the model's head for token ids [B, T]: [B, channels], or [B, T, channels].

        ``attention_mask`` is 1 for tokens and 0 for padding (all ones by default), ``token_type_ids`` 0 by
        default. The real output is the integers times :attr:`output_scale`.

        Raises InputError for wrong shapes, values out of range and a length beyond the largest bucket.
        """
        tokens = check_tokens(self.manifest.architecture, input_ids, attention_mask, token_type_ids)
        rows, length = tokens.ids.shape
        return self._run_tokens(tokens, [length] * rows)

    @contextmanager
    def instrumented(self, instrument: Instrument) -> Iterator[None]:
        """Inside the block ``instrument`` hears of every call that inferences make; other threads' ones wait."""
        with self._lock, self._machine.instrumented(instrument):
            yield

    def wait(self) -> None:
        """Returns when the device has done all that it was told to: inside an inference, for an instrument."""
        self._machine.wait()

    def to_float(self, integers: NDArray[Any]) -> NDArray[np.float32]:
        """What the integers of :meth:`run` stand for; divided by their length where the model normalizes."""
        return to_float(self.manifest.output, integers)

    def _run_tokens(self, tokens: Tokens, lengths: Sequence[int]) -> NDArray[Any]:
        """The head's integers for rows whose first ``lengths`` tokens count."""
        output: NDArray[Any] | None = None
        for bucket, rows in plan(self.manifest.buckets, lengths):
            part = self._run_bucket(bucket, tokens.take(rows, max(lengths[row] for row in rows)))
            if output is None:
                output = np.zeros((*self._output_shape(tokens), part.shape[-1]), part.dtype)
            for row, values in zip(rows, part, strict=False):  # a bucket that was filled up returns more
                if self.manifest.output.per_token:
                    output[row, : lengths[row]] = values[: lengths[row]]
                else:
                    output[row] = values
        assert output is not None  # there is at least one row
        return output

    def _output_shape(self, tokens: Tokens) -> tuple[int, ...]:
        rows, length = tokens.ids.shape
        return (rows, length) if self.manifest.output.per_token else (rows,)

    def _run_bucket(self, bucket: Bucket, tokens: Tokens) -> NDArray[Any]:
        with self._lock:
            shape = self._machine.shape(bucket)
            return self._threads.run(lambda: shape(tokens))
