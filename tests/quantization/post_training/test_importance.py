"""What BRECQ's options do: the Fisher information in closed form, what is important comes out better, mixed inputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from intbert.compiler.model import HeadKind
from intbert.compiler.packing import Packing
from intbert.quantization.float_model import FloatModel
from intbert.quantization.post_training.adaround import AdaptiveRounding
from intbert.quantization.post_training.brecq_options import BrecqOptions
from intbert.quantization.post_training.fisher import fisher_diagonals
from intbert.quantization.post_training.reconstruction import Reconstruction
from intbert.quantization.structure import encoder_linears
from intbert.quantization.tokenization import Batch
from torch import Tensor

from ...models import tiny_float_model
from ..checkpoints import make_batch

BITS = Packing(3)


@pytest.fixture(scope="module")
def batches() -> list[Batch]:
    return [make_batch(0, (16, 9, 4, 1), seed=number) for number in range(2)]


def test_the_diagonal_of_two_classes_is_the_squared_difference_of_their_weights(batches: list[Batch]) -> None:
    model = tiny_float_model("Bert", HeadKind.TOKEN_CLASSIFICATION)
    architecture = replace(model.architecture, head=replace(model.architecture.head, labels=("no", "yes")))
    weights = {
        name: array[:2] if name.startswith("head.classifier.") else array for name, array in model.weights.items()
    }
    two = replace(model, architecture=architecture, weights=weights)
    first, second = torch.from_numpy(weights["head.classifier.weight"])
    expected = (second - first).square()
    (layer,) = fisher_diagonals(two, batches)
    for found, batch in zip(layer, batches, strict=True):
        tokens = found[torch.from_numpy(batch.attention_mask) != 0]
        torch.testing.assert_close(
            tokens / tokens.sum(1, keepdim=True), (expected / expected.sum()).expand_as(tokens), rtol=1e-4, atol=1e-6
        )
        assert (found[torch.from_numpy(batch.attention_mask) == 0] == 0).all()


def reconstruction(
    model: FloatModel, options: BrecqOptions, importance: Sequence[Sequence[Tensor]] | None = None
) -> tuple[Reconstruction, dict[str, AdaptiveRounding]]:
    """Of weights alone, with scales from the largest magnitudes."""
    roundings = {}
    for linear in encoder_linears(model.architecture):
        weight = torch.from_numpy(model.weights[f"{linear.name}.weight"])
        scale = (weight.abs().amax(1) / BITS.limit).double().numpy()
        roundings[linear.name] = AdaptiveRounding(weight, scale, BITS)
    return Reconstruction(model, model, {}, options, importance), roundings


def channel_errors(model: FloatModel, batches: list[Batch], importance: Tensor | None) -> Tensor:
    """The mean squared error of each channel of the first layer's output, after learning its roundings."""
    shaped = None
    if importance is not None:
        shaped = [[importance.expand(*batch.input_ids.shape, -1) for batch in batches]]
    learning, roundings = reconstruction(model, BrecqOptions(iterations=60, batch=4), shaped)
    learning.run(batches, roundings)
    weights = {f"{name}.weight": rounding.hard().detach().numpy() for name, rounding in roundings.items()}
    learned = replace(model, weights={**model.weights, **weights})
    errors = [
        torch.from_numpy(learned.forward(batch) - model.forward(batch))[torch.from_numpy(batch.attention_mask) != 0]
        for batch in batches
    ]
    return torch.cat(errors).square().mean(0)


def test_what_is_important_is_reconstructed_better(batches: list[Batch]) -> None:
    model = tiny_float_model("Bert", HeadKind.NONE)
    hidden = model.architecture.hidden
    important = torch.arange(hidden) < hidden // 4
    equal = channel_errors(model, batches, None)
    weighted = channel_errors(model, batches, important * 4.0)
    assert weighted[important].mean() < 0.9 * equal[important].mean()
    torch.testing.assert_close(channel_errors(model, batches, torch.ones(hidden)), equal)


@pytest.mark.parametrize(("mixing", "share"), [(0.0, 0.0), (0.3, 0.3), (1.0, 1.0)], ids=["none", "some", "all"])
def test_a_share_of_the_inputs_is_the_float_models(mixing: float, share: float, batches: list[Batch]) -> None:
    model = tiny_float_model("Bert", HeadKind.NONE)
    learning, _ = reconstruction(model, BrecqOptions(mixing=mixing))
    sample = learning._embed(batches[0])
    sample.rounded = (sample.exact[0] + 1, sample.exact[1] + 2)
    rows = torch.tensor([1, 3])
    hidden, stream = learning._inputs(sample, rows)
    exact = hidden == sample.exact[0][rows]
    assert exact.float().mean().item() == pytest.approx(share, abs=0.05)
    torch.testing.assert_close(hidden, sample.exact[0][rows] + (~exact).float())
    torch.testing.assert_close(stream, sample.exact[1][rows] + 2 * (~exact).float())
