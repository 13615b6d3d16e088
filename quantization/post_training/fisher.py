"""How much an error of each layer's output matters: the diagonal of the Fisher information of the model's output.

Li et al., BRECQ, ICLR 2021, section 3.3, weight the reconstruction so, with gradients of the task's loss. Calibration
text has no labels: they are drawn from the model's own output distribution, which is what the Fisher information is
defined by. Logits of a classification are a categorical distribution; whatever else the output is (an embedding, a
score, token states) is taken for the mean of a Gauss distribution with unit variance.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from ...compiler.model import Architecture, HeadKind
from ..float_model import FloatModel
from ..forward import Forward
from ..progress import Progress, silent
from ..tokenization import Batch

DRAWS = 4
"""Outputs that are drawn for each batch."""


def fisher_diagonals(
    model: FloatModel, batches: Sequence[Batch], seed: int = 0, progress: Progress = silent
) -> list[list[Tensor]]:
    """Per encoder layer and batch: the weight of every output's squared error [B, T, H], 1 on average."""
    random = torch.Generator().manual_seed(seed)
    weights = {name: torch.from_numpy(array) for name, array in model.weights.items()}
    layers = range(model.architecture.layers)
    diagonals: list[list[Tensor]] = [[] for _ in layers]
    for batch in progress(batches, "Fisher information", len(batches)):
        outputs: dict[str, Tensor] = {}

        def keep(name: str, values: Tensor, mask: Tensor | None, outputs: dict[str, Tensor] = outputs) -> Tensor:
            if name == "embeddings.sum":
                return values.requires_grad_()
            if name.endswith(".output_hidden"):
                outputs[name] = values
            return values

        forward = Forward(model.architecture, weights, model.norm_epsilon, keep)
        ids, mask, types = map(torch.from_numpy, (batch.input_ids, batch.attention_mask, batch.token_type_ids))
        output = forward(ids, mask, types)
        ordered = [outputs[f"layers.{layer}.output_hidden"] for layer in layers]
        total = [torch.zeros_like(values) for values in ordered]
        for _ in range(DRAWS):
            score = _log_likelihood(model.architecture, output, mask, random)
            gradients = torch.autograd.grad(score, ordered, retain_graph=True, allow_unused=True)
            for square, gradient in zip(total, gradients, strict=True):
                if gradient is not None:
                    square += gradient.square()
        for layer in layers:
            diagonals[layer].append(total[layer])
    return [_with_mean_one(layer, batches) for layer in diagonals]


def _log_likelihood(architecture: Architecture, output: Tensor, mask: Tensor, random: torch.Generator) -> Tensor:
    """The log-likelihood of outputs drawn around ``output``, up to what has no gradient."""
    kind = architecture.head.kind
    if kind in (HeadKind.SEQUENCE_CLASSIFICATION, HeadKind.TOKEN_CLASSIFICATION) and output.shape[-1] > 1:
        logits = functional.log_softmax(output.reshape(-1, output.shape[-1]), dim=-1)
        drawn = torch.multinomial(logits.detach().exp(), 1, generator=random)
        likelihood = logits.gather(1, drawn).reshape(output.shape[:-1])
    else:
        noise = torch.randn(output.shape, generator=random)
        likelihood = (noise * output).sum(-1)
    return likelihood.sum() if likelihood.ndim == 1 else likelihood[mask != 0].sum()


def _with_mean_one(squares: list[Tensor], batches: Sequence[Batch]) -> list[Tensor]:
    masks = [torch.from_numpy(batch.attention_mask) != 0 for batch in batches]
    mean = torch.cat([values[mask].flatten() for values, mask in zip(squares, masks, strict=True)]).mean()
    return [values / mean if mean > 0 else torch.ones_like(values) for values in squares]
