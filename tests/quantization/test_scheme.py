from __future__ import annotations

from dataclasses import FrozenInstanceError, replace
from typing import Any

import pytest
from intbert.errors import SchemeError
from intbert.quantization import SCHEMES, get_scheme
from intbert.quantization.pipeline import QUANTIZERS
from intbert.quantization.scheme import Operator


def test_every_registered_scheme_can_be_computed() -> None:
    assert set(QUANTIZERS) == set(SCHEMES)
    assert all(scheme.name == name for name, scheme in SCHEMES.items())


def test_ibert_is_integer_only_w8a8() -> None:
    scheme = get_scheme("ibert")
    assert (scheme.weight_bits, scheme.activation_bits, scheme.stream_bits) == (8, 8, 15)
    assert scheme.integer_only
    assert not replace(scheme, integer_operators=frozenset({Operator.LINEAR})).integer_only


@pytest.mark.parametrize(("name", "hint"), [("ibret", "did you mean ibert"), ("zzz", "there are: ibert")])
def test_unknown_scheme_names_what_there_is(name: str, hint: str) -> None:
    with pytest.raises(SchemeError, match=hint):
        get_scheme(name)


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
        replace(get_scheme("ibert"), **changes)


def test_schemes_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        get_scheme("ibert").weight_bits = 4  # type: ignore[misc]
    with pytest.raises(TypeError):
        SCHEMES["other"] = get_scheme("ibert")  # type: ignore[index]
