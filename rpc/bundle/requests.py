"""What a client asks the server, a JSON line, and the JSON line that it gets.

A request is ``{"texts": ["some text", ["one", "of a pair"]]}``, with ``"truncate": true`` to cut texts that are too
long, and ``"integers": true`` for the integers themselves. The answer is ``{"outputs": [...]}``, in the order of the
texts, or ``{"error": "..."}``.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...errors import InputError, IntbertError

if TYPE_CHECKING:
    from ...compiler.runtime import Model
    from ...compiler.runtime.text import Text

MOST_TEXTS = 64
"""In one request: other clients wait no longer than these take."""

_KEYS = frozenset({"texts", "truncate", "integers"})

log = logging.getLogger("serve")


@dataclass(frozen=True)
class Request:
    """``texts`` whose outputs are wanted, as floats or as the integers themselves."""

    texts: tuple[Text, ...]
    truncate: bool = False
    integers: bool = False

    def __post_init__(self) -> None:
        if not 0 < len(self.texts) <= MOST_TEXTS:
            raise InputError(f"{len(self.texts)} texts; send 1 to {MOST_TEXTS} in a request")

    @classmethod
    def parse(cls, line: bytes) -> Request:
        """The request in ``line``; InputError for what is none. What the texts hold, the model checks."""
        try:
            document = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise InputError(f"no JSON ({error}); send one request a line") from None
        if not isinstance(document, dict) or not isinstance(document.get("texts"), list):
            raise InputError('no request; send a line such as {"texts": ["some text"]}')
        unknown = sorted(document.keys() - _KEYS)
        if unknown:
            raise InputError(f"{unknown[0]!r} is unknown; a request has {', '.join(sorted(_KEYS))}")
        texts = tuple(tuple(text) if isinstance(text, list) else text for text in document["texts"])
        return cls(texts, _flag(document, "truncate"), _flag(document, "integers"))


def answer(model: Model, line: bytes) -> bytes:
    """The answer to the request in ``line``, whatever that is."""
    try:
        request = Request.parse(line)
        outputs = model.run_texts(request.texts, truncate=request.truncate)
        if not request.integers:
            outputs = model.to_float(outputs)
        return _line({"outputs": outputs.tolist()})
    except IntbertError as error:
        return refusal(error)
    except Exception as error:  # a fault of ours costs one request, not the server
        log.exception("a request failed")
        return _line({"error": f"the server failed ({type(error).__name__}); its log says more"})


def refusal(error: IntbertError) -> bytes:
    """The answer that tells of ``error``."""
    return _line({"error": str(error)})


def _flag(document: dict[str, Any], name: str) -> bool:
    value = document.get(name, False)
    if not isinstance(value, bool):
        raise InputError(f"{name} is {value!r}; it must be true or false")
    return value


def _line(document: dict[str, Any]) -> bytes:
    return json.dumps(document, allow_nan=False).encode() + b"\n"
