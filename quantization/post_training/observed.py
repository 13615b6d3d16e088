"""What post-training methods observe of a request's model on its calibration sentences, each pass made once.

A search quantizes one model many times: the requests share a :class:`Calibration`, which keeps what was observed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..request import Request
from ..structure import encoder_linears
from .clipping import Spread

T = TypeVar("T")


def observed_ranges(request: Request) -> Mapping[str, float]:
    """The range of every activation, as :func:`intbert.quantization.calibration.calibrate` finds it."""

    def observe() -> Mapping[str, float]:
        from ..calibration import calibrate

        calibration = request.needed_calibration()
        return calibrate(request.model, calibration.batches, calibration.observer, request.progress)

    return _once(request, "ranges", observe)


def input_importance(request: Request) -> Mapping[str, NDArray[np.float64]]:
    """E[x^2] of every input channel [K] of the encoder's linears, by the linear's name."""

    def observe() -> Mapping[str, NDArray[np.float64]]:
        from .moments import observe_channels

        inputs = {linear.name: linear.input for linear in encoder_linears(request.model.architecture)}
        batches = request.needed_calibration().batches
        moments = observe_channels(request.model, batches, set(inputs.values()), request.progress)
        return {name: moments[source].square for name, source in inputs.items()}

    return _once(request, "importance", observe)


def observed_spreads(request: Request, names: Collection[str]) -> Mapping[str, Spread]:
    """The spread of the activations ``names``; see :func:`.moments.observe_spreads`."""

    def observe() -> Mapping[str, Spread]:
        from .moments import observe_spreads

        return observe_spreads(request.model, request.needed_calibration().batches, names, request.progress)

    return _once(request, f"spreads of {sorted(names)}", observe)


def _once(request: Request, what: str, observe: Callable[[], T]) -> T:
    """What was observed of this very model before, or is now."""
    observed: dict[str, tuple[Any, Any]] = request.needed_calibration().observed
    if what not in observed or observed[what][0] is not request.model:
        observed[what] = (request.model, observe())
    return observed[what][1]  # type: ignore[no-any-return]
