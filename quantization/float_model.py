"""FloatModel: a float checkpoint under canonical names, whatever its family, with one forward for all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..compiler.model import Architecture, HeadKind
from ..errors import CheckpointError, InputError
from .progress import Progress, silent
from .structure import tensor_shapes
from .tokenization import Batch, Text, load_tokenizer, tokenize

if TYPE_CHECKING:
    import torch

    from .forward import Hook


@dataclass(frozen=True)
class FloatModel:
    """A float checkpoint: its structure and float32 arrays named like the tensors of QuantizedModel."""

    architecture: Architecture
    weights: dict[str, NDArray[np.float32]]
    norm_epsilon: float
    name: str
    tokenizer: Path | None = None
    """The folder that holds ``tokenizer.json``, if there is one."""
    notes: tuple[str, ...] = ()
    """Where the import deviates from the checkpoint."""

    def __post_init__(self) -> None:
        for name, shape in tensor_shapes(self.architecture).items():
            found = self.weights.get(name)
            if found is None or found.shape != shape:
                raise CheckpointError(f"float model: tensor '{name}' must have shape {list(shape)}")

    def with_tokenizer(self, folder: Path) -> FloatModel:
        """A copy whose tokenizer lies in ``folder``."""
        return replace(self, tokenizer=folder)

    @cached_property
    def _tensors(self) -> dict[str, torch.Tensor]:
        import torch

        return {name: torch.from_numpy(array) for name, array in self.weights.items()}

    def forward(self, batch: Batch, hook: Hook | None = None) -> NDArray[np.float32]:
        """The head's output for one batch (shapes: :meth:`intbert.quantization.forward.Forward.__call__`).

        ``hook`` sees every activation that a quantizer gives a scale, under its name in QuantizedModel.
        """
        import torch

        from .forward import Forward, untouched

        forward = Forward(self.architecture, self._tensors, self.norm_epsilon, hook or untouched)
        with torch.inference_mode():
            output = forward(*map(torch.from_numpy, (batch.input_ids, batch.attention_mask, batch.token_type_ids)))
            return output.numpy()

    def batches(self, texts: Sequence[Text], max_length: int = 128, size: int = 32) -> list[Batch]:
        """``texts`` as batches of token ids; raises CheckpointError when there is no tokenizer."""
        if self.tokenizer is None:
            raise CheckpointError(
                f"{self.name}: no tokenizer.json beside the checkpoint; save its fast tokenizer there"
            )
        return tokenize(load_tokenizer(self.tokenizer), texts, self.architecture, max_length, size)

    def predict(
        self, texts: Sequence[Text], max_length: int = 128, size: int = 32, progress: Progress = silent
    ) -> NDArray[np.float32]:
        """Sentence embeddings [n, H] or logits [n, labels], in the order of ``texts``.

        Raises InputError for a head with outputs per token: use :meth:`batches` and :meth:`forward`.
        """
        if self.architecture.head.kind not in (HeadKind.MEAN_POOLING, HeadKind.SEQUENCE_CLASSIFICATION):
            kind = self.architecture.head.kind.value
            raise InputError(f"{self.name}: head '{kind}' has outputs per token, not per sentence")
        batches = self.batches(texts, max_length, size)
        width = len(self.architecture.head.labels) or self.architecture.hidden
        outputs = np.zeros((len(texts), width), np.float32)
        for batch in progress(batches, "float model", len(batches)):
            outputs[list(batch.rows)] = self.forward(batch)
        return outputs
