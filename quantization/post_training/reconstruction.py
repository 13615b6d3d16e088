"""Layer after layer, roundings are learned with which a layer's output is again what it was in floating point.

Li et al., "BRECQ: Pushing the Limit of Post-Training Quantization by Block Reconstruction", ICLR 2021; the block is an
encoder layer. A layer's inputs come from the quantized layers before it, and its activations are rounded as they
will be.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...compiler.model import Quantization
from ..float_model import FloatModel
from ..forward import Forward
from ..progress import Progress, silent
from ..structure import encoder_linears
from ..tokenization import Batch
from .adaround import AdaptiveRounding, annealed_beta, undecidedness
from .brecq_options import BrecqOptions
from .simulation import RoundedActivations


@dataclass
class _Sample:
    """A few sentences between two layers: what the float layers made of them, and what the quantized ones made."""

    mask: Tensor
    exact: tuple[Tensor, Tensor]
    rounded: tuple[Tensor, Tensor]


class Reconstruction:
    """Learns the roundings of all layers of ``model``, given the scales of its weights and activations."""

    def __init__(
        self,
        model: FloatModel,
        nearest: FloatModel,
        activations: Mapping[str, Quantization],
        options: BrecqOptions,
        importance: Sequence[Sequence[Tensor]] | None = None,
    ) -> None:
        """``nearest``: the model with its weights rounded, of which everything but the encoder's linears stays.

        ``importance``: per layer and batch, how much an error of each output [B, T, H] counts; None: the same.
        """
        self._model = model
        self._options = options
        self._importance = importance
        self._nearest = {name: torch.from_numpy(array) for name, array in nearest.weights.items()}
        weights = {name: torch.from_numpy(array) for name, array in model.weights.items()}
        narrow = {name: quantization for name, quantization in activations.items() if quantization.bits <= 8}
        self._float = Forward(model.architecture, weights, model.norm_epsilon)
        self._rounded_activations = RoundedActivations(narrow)
        self._random = torch.Generator().manual_seed(options.seed)

    def run(
        self,
        batches: Sequence[Batch],
        roundings: Mapping[str, AdaptiveRounding],
        progress: Progress = silent,
    ) -> None:
        """Learns the ``roundings`` of all encoder linears, which start at the nearest ones, in place."""
        samples = [self._embed(batch) for batch in batches]
        layers = self._model.architecture.layers
        for layer in range(layers):
            prefix = f"layers.{layer}"
            own = {
                linear.name: roundings[linear.name]
                for linear in encoder_linears(self._model.architecture)
                if linear.name.startswith(f"{prefix}.")
            }
            targets = self._advance_exact(prefix, samples)
            importance = None if self._importance is None else self._importance[layer]
            steps = range(self._options.iterations)
            shown = progress(steps, f"rounding layer {layer + 1} of {layers}", len(steps))
            self._learn(prefix, own, samples, targets, importance, shown)
            self._advance_rounded(prefix, own, samples)
            for sample, target in zip(samples, targets, strict=True):
                sample.exact = target

    def _embed(self, batch: Batch) -> _Sample:
        ids, mask, types = map(torch.from_numpy, (batch.input_ids, batch.attention_mask, batch.token_type_ids))
        with torch.no_grad():
            exact = self._float.embeddings(ids, mask, types)
            return _Sample(mask, exact, self._rounding_forward({}).embeddings(ids, mask, types))

    def _rounding_forward(self, weights: Mapping[str, Tensor]) -> Forward:
        """The forward with rounded activations and these ``weights``."""
        model = self._model
        return Forward(model.architecture, {**self._nearest, **weights}, model.norm_epsilon, self._rounded_activations)

    def _advance_exact(self, prefix: str, samples: Sequence[_Sample]) -> list[tuple[Tensor, Tensor]]:
        with torch.no_grad():
            return [self._float.layer(prefix, *sample.exact, sample.mask) for sample in samples]

    def _advance_rounded(
        self, prefix: str, roundings: Mapping[str, AdaptiveRounding], samples: Sequence[_Sample]
    ) -> None:
        with torch.no_grad():
            weights = {f"{name}.weight": rounding.hard() for name, rounding in roundings.items()}
            forward = self._rounding_forward(weights)
            for sample in samples:
                sample.rounded = forward.layer(prefix, *sample.rounded, sample.mask)

    def _learn(
        self,
        prefix: str,
        roundings: Mapping[str, AdaptiveRounding],
        samples: Sequence[_Sample],
        targets: Sequence[tuple[Tensor, Tensor]],
        importance: Sequence[Tensor] | None,
        steps: Iterable[int],
    ) -> None:
        options = self._options
        optimizer = torch.optim.Adam([rounding.alpha for rounding in roundings.values()], lr=options.learning_rate)
        for step in steps:
            index = int(torch.randint(len(samples), (), generator=self._random))
            sample = samples[index]
            rows = torch.randperm(len(sample.mask), generator=self._random)[: options.batch]
            ups = {name: rounding.up() for name, rounding in roundings.items()}
            forward = self._rounding_forward({f"{n}.weight": roundings[n].soft(up) for n, up in ups.items()})
            _, output = forward.layer(prefix, *self._inputs(sample, rows), sample.mask[rows])
            error = (output - targets[index][1][rows]).square()
            if importance is not None:
                error = error * importance[index][rows]
            loss = error.sum(2)[sample.mask[rows] != 0].mean()
            beta = annealed_beta(step / options.iterations)
            if beta is not None:
                loss = loss + options.regularizer * sum(undecidedness(up, beta) for up in ups.values())
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()

    def _inputs(self, sample: _Sample, rows: Tensor) -> tuple[Tensor, Tensor]:
        """What the layer reads in a step: of the quantized layers, some of it of the float ones."""
        hidden, stream = (value[rows] for value in sample.rounded)
        if self._options.mixing == 0:
            return hidden, stream
        exact_hidden, exact_stream = (value[rows] for value in sample.exact)
        mixed = torch.rand(hidden.shape, generator=self._random) < self._options.mixing
        return torch.where(mixed, exact_hidden, hidden), torch.where(mixed, exact_stream, stream)
