from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import Any

import pytest
from intbert.errors import SchemeError
from intbert.quantization.methods import METHODS, Method, _resolve, get_method
from intbert.quantization.scheme import Granularity


@pytest.mark.parametrize("name", METHODS)
def test_every_registered_method_is_there(name: str) -> None:
    method = METHODS[name]
    assert method.name == name
    assert callable(_resolve(method.function))
    assert method.when.endswith(".")
    for bits, supported in (
        (method.scheme.weight_bits, method.weight_bits),
        (method.scheme.activation_bits, method.activation_bits),
        (method.scheme.embedding_bits, method.embedding_bits),
    ):
        assert bits in supported
    if method.options is not None:
        options: Any = _resolve(method.options)
        assert is_dataclass(options)
        assert method.parse_options({}) == _resolve(method.options)()
        assert all(isinstance(field.default, bool | int | float | str) for field in fields(options))


@pytest.mark.parametrize(("name", "hint"), [("ibret", "did you mean ibert"), ("zzz", "there are: .*ibert")])
def test_unknown_method_names_what_there_is(name: str, hint: str) -> None:
    with pytest.raises(SchemeError, match=hint):
        get_method(name)


def test_the_registry_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        METHODS["other"] = METHODS["ibert"]  # type: ignore[index]


def test_bits_and_granularity_are_customized() -> None:
    scheme = METHODS["lq"].customized(weight_bits=4, activation_bits=6, granularity=Granularity.TENSOR)
    assert (scheme.weight_bits, scheme.activation_bits, scheme.embedding_bits) == (4, 6, 8)
    assert scheme.weight_granularity is Granularity.TENSOR


@pytest.mark.parametrize(
    ("method", "bits", "message"),
    [
        ("ibert", {"weight_bits": 4}, "ibert supports 8 weight bits, not 4"),
        ("lq", {"activation_bits": 1}, "lq supports 2 to 8 activation bits, not 1"),
    ],
)
def test_unsupported_bits_are_refused(method: str, bits: dict[str, Any], message: str) -> None:
    with pytest.raises(SchemeError, match=message):
        METHODS[method].customized(**bits)


@pytest.mark.parametrize(
    ("given", "message"),
    [({"steps": 3}, "lq has no options; 'steps' was given")],
)
def test_options_that_a_method_lacks_are_refused(given: dict[str, Any], message: str) -> None:
    method: Method = METHODS["lq"]
    with pytest.raises(SchemeError, match=message):
        method.parse_options(given)
