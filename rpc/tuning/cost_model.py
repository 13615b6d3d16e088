"""MetaSchedule's cost model (gradient-boosted trees), and its state as bytes that a log can keep.

MetaSchedule's own files hold pickles, and a log may be shared: whoever writes to it could run anything here. These
bytes are an ``.npz`` archive without them.
"""

from __future__ import annotations

import io
import zipfile
from collections import OrderedDict
from typing import Any

import numpy as np

from ...errors import TuningLogError

WARMUP_SAMPLES = 32
"""Candidates that are measured before the model is asked."""
BOOSTER = "booster"


def new_cost_model() -> Any:
    """A cost model that knows nothing."""
    from tvm.s_tir.meta_schedule.cost_model import XGBModel

    return XGBModel(num_warmup_samples=WARMUP_SAMPLES, verbose_eval=0)


def to_bytes(model: Any) -> bytes:
    """What the model has seen, kernel by kernel, and its trees."""
    arrays: dict[str, Any] = {}
    for group in model.data.values():
        arrays[f"{group.group_hash}/costs"] = np.asarray(group.costs, np.float32)
        for index, features in enumerate(group.features):
            arrays[f"{group.group_hash}/{index}"] = np.asarray(features, np.float32)
    if model.booster is not None:
        arrays[BOOSTER] = np.frombuffer(bytes(model.booster.save_raw("ubj")), np.uint8)
    file = io.BytesIO()
    np.savez_compressed(file, allow_pickle=False, **arrays)
    return file.getvalue()


def from_bytes(data: bytes) -> Any:
    """The model of :func:`to_bytes`; TuningLogError when the bytes are none of its."""
    import xgboost
    from tvm.s_tir.meta_schedule.cost_model.xgb_model import FeatureGroup

    model = new_cost_model()
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            costs = {name.removesuffix("/costs"): arrays[name] for name in arrays.files if name.endswith("/costs")}
            groups = {
                name: FeatureGroup(name, [arrays[f"{name}/{index}"] for index in range(len(each))], each)
                for name, each in costs.items()
            }
            if BOOSTER in arrays.files:
                booster = xgboost.Booster()
                booster.load_model(bytearray(arrays[BOOSTER].tobytes()))
                model.booster = booster
    except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile, xgboost.core.XGBoostError) as error:
        raise TuningLogError(
            f"the log's cost model cannot be read ({str(error).splitlines()[0]}); it is learnt anew"
        ) from error
    model.data = OrderedDict(groups)
    model.data_size = sum(len(group.costs) for group in groups.values())
    model.last_train_size = model.data_size
    return model
