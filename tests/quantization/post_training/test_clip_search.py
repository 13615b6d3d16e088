from __future__ import annotations

import numpy as np
import pytest
from intbert.compiler.model import HeadKind
from intbert.compiler.packing import Packing
from intbert.quantization.methods import METHODS
from intbert.quantization.post_training.clip_search import choose_packings, search_clipping
from intbert.quantization.scheme import Granularity
from intbert.quantization.structure import encoder_linears
from intbert.quantization.weights import MinMaxWeights, round_to_grid

from ...models import tiny_float_model


@pytest.mark.parametrize("granularity", list(Granularity), ids=lambda value: value.value)
@pytest.mark.parametrize("packing", [Packing(2), Packing(2, mid_rise=True), Packing(4), None], ids=str)
def test_nearer_than_the_whole_range(packing: Packing | None, granularity: Granularity):
    weight = np.random.default_rng(0).laplace(0, 1, (6, 200)).astype(np.float32)
    clipping = search_clipping(weight, packing, granularity)

    def error(scale: np.ndarray) -> float:
        column = scale if scale.ndim == 0 else scale[:, None]
        return float(np.square(round_to_grid(weight, scale, packing) * column - weight).sum())

    limit = 127 if packing is None else packing.limit
    largest = np.asarray(np.abs(weight).max(axis=1 if granularity is Granularity.ROW else None), np.float64) / limit
    assert clipping.scale.shape == largest.shape
    assert clipping.error == pytest.approx(error(clipping.scale), rel=1e-4)
    assert clipping.error <= error(largest) * (1 + 1e-5)
    if packing is not None:
        assert clipping.error < 0.9 * error(largest)


def test_important_channels_are_not_clipped():
    weight = np.random.default_rng(1).normal(0, 0.3, (1, 400)).astype(np.float32)
    weight[0, 0] = 2.5
    importance = np.ones(400)
    clipped = search_clipping(weight, Packing(4), Granularity.ROW, importance).scale * 7
    importance[0] = 1e4
    kept = search_clipping(weight, Packing(4), Granularity.ROW, importance).scale * 7
    assert clipped < 1.7
    assert kept == pytest.approx(2.5, rel=0.02)


def test_rows_of_zeros():
    clipping = search_clipping(np.zeros((2, 5), np.float32), Packing(3), Granularity.ROW)
    assert clipping.error == 0
    assert (clipping.scale > 0).all()


def test_the_grid_is_the_one_that_fits_and_is_shared_by_what_reads_the_same():
    model = tiny_float_model("Bert", HeadKind.NONE)
    random = np.random.default_rng(2)
    sparse = "layers.0.output"
    weights = dict(model.weights)
    for linear in encoder_linears(model.architecture):
        shape = weights[f"{linear.name}.weight"].shape
        weights[f"{linear.name}.weight"] = random.normal(0, 1, shape).astype(np.float32)
    weights[f"{sparse}.weight"] = np.zeros_like(weights[f"{sparse}.weight"])
    weights[f"{sparse}.weight"][:, 0] = 1
    model = type(model)(model.architecture, weights, model.norm_epsilon, model.name)
    importance = {linear.name: np.ones(linear.inputs) for linear in encoder_linears(model.architecture)}
    packings = choose_packings(model, METHODS["lq"].customized(weight_bits=2), importance)
    assert packings[sparse] == Packing(2)
    assert packings["layers.0.query"] == packings["layers.0.key"] == packings["layers.0.value"]
    assert packings["layers.0.intermediate"] == Packing(2, mid_rise=True)
    eight = choose_packings(model, METHODS["lq"].scheme, importance)
    assert set(eight.values()) == {None}
    assert MinMaxWeights().packing("x", 8) is None
