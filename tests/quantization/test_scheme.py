from __future__ import annotations

from dataclasses import FrozenInstanceError, replace
from typing import Any

import pytest
from intbert.errors import SchemeError
from intbert.quantization.methods import METHODS
from intbert.quantization.scheme import Operator


def test_ibert_is_integer_only_w8a8() -> None:
    scheme = METHODS["ibert"].scheme
    assert (scheme.weight_bits, scheme.activation_bits, scheme.stream_bits) == (8, 8, 15)
    assert scheme.integer_only
    assert not replace(scheme, integer_operators=frozenset({Operator.LINEAR})).integer_only


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"weight_bits": 0}, "weight_bits"),
        ({"activation_bits": 9}, "activation_bits"),
        ({"embedding_bits": -1}, "embedding_bits"),
        ({"stream_bits": 7}, "stream_bits"),
        ({"stream_bits": 17}, "stream_bits"),
        ({"integer_operators": frozenset({Operator.SOFTMAX})}, "linear"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_scheme_refuses_contradictions(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(SchemeError, match=field):
        replace(METHODS["ibert"].scheme, **changes)


def test_schemes_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        METHODS["ibert"].scheme.weight_bits = 4  # type: ignore[misc]
