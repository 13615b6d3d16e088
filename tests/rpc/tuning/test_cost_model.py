"""The cost model as bytes: what comes back predicts the same, and nothing in the bytes can run."""

from __future__ import annotations

import io
import pickle
from collections import OrderedDict
from typing import Any

import numpy as np
import pytest
from intbert.errors import TuningLogError
from intbert.rpc.tuning.cost_model import from_bytes, new_cost_model, to_bytes

FEATURES = 164
"""Numbers that MetaSchedule's extractor has for each buffer that a kernel stores to."""


def trained(kernels: int = 2, candidates: int = 40) -> Any:
    """A model that has seen so many candidates of each kernel."""
    from tvm.s_tir.meta_schedule.cost_model.xgb_model import FeatureGroup

    rng = np.random.default_rng(5)
    model = new_cost_model()
    groups = OrderedDict()
    for index in range(kernels):
        features = [rng.normal(size=(1 + index, FEATURES)).astype("float32") for _ in range(candidates)]
        costs = np.array([1 + abs(each.sum()) for each in features], "float32")
        groups[f"kernel-{index}"] = FeatureGroup(f"kernel-{index}", features, costs)
    model.data, model.data_size = groups, kernels * candidates
    every = [each for group in groups.values() for each in group.features]
    model._train(xs=every, ys=np.concatenate([group.min_cost / group.costs for group in groups.values()]))
    return model


def predictions(model: Any) -> list[float]:
    every = [each for group in model.data.values() for each in group.features]
    return model._predict(every).tolist()


def test_what_comes_back_knows_the_same() -> None:
    model = trained()
    again = from_bytes(to_bytes(model))
    assert predictions(again) == predictions(model)
    assert again.data_size == model.data_size
    assert [group.min_cost for group in again.data.values()] == [group.min_cost for group in model.data.values()]
    assert to_bytes(again) == to_bytes(model)


def test_a_model_that_has_seen_nothing() -> None:
    again = from_bytes(to_bytes(new_cost_model()))
    assert (again.data_size, again.booster) == (0, None)


class Harm:
    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return pytest.fail, ("the bytes were run",)


def harmful() -> bytes:
    file = io.BytesIO()
    np.savez(file, allow_pickle=True, **{"kernel/costs": np.array([Harm()], object)})
    return file.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"nonsense", id="nonsense"),
        pytest.param(pickle.dumps(Harm()), id="pickle"),
        pytest.param(harmful(), id="array-of-pickles"),
        pytest.param(to_bytes(new_cost_model())[:-10], id="truncated"),
    ],
)
def test_bytes_of_something_else(data: bytes) -> None:
    with pytest.raises(TuningLogError, match="the log's cost model cannot be read"):
        from_bytes(data)
