"""The arithmetic of attention, taken from the operator's unscheduled kernel an element at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import tvm_ffi
from tvm import ir, tirx
from tvm.s_tir import SBlock

from ..registers import Registers

_NOT_NEGATIVE_INT16 = (0, 2**15 - 1)


@dataclass(frozen=True)
class AttentionArithmetic:
    """What the blocks of the kernel compute, by the name of the buffer that each writes.

    Values are int32, whatever the operator's types are: they stay in registers. Those that are not negative, or less
    than 32 bits, must be loads of buffers with these names: ``distance``, ``exponential``, ``reciprocal``, ``bits``.
    """

    blocks: Mapping[str, SBlock]

    @classmethod
    def of(cls, function: Any) -> AttentionArithmetic:
        """Of the PrimFunc ``function``, whose blocks no schedule has moved."""
        return cls({block.name_hint: block for block in map(_block, function.body.block.body.seq)})

    def initial(self, name: str) -> Any:
        """The value that the reduction ``name`` begins with."""
        return self.blocks[name].init.value

    def limited_score(self, score: Any, mask: Any) -> Any:
        """What the mask makes of a score: the largest of a row that has no other."""
        return Registers({}).value(self._element("largest", largest=self.initial("largest"), scores=score, mask=mask))

    def exponential(self, distance: Any, mask: Any) -> Any:
        """Of the distance of a limited score from the largest one; only the difference of the two is used."""
        ranges = {"distance": (0, 2**31 - 1), "scalars": _NOT_NEGATIVE_INT16}
        zero = tirx.const(0, "int32")
        return Registers(ranges).value(self._element("exponential", largest=distance, scores=zero, mask=mask))

    def bits(self, total: Any) -> Any:
        """By which probabilities are shifted, of a row's sum."""
        return Registers({}).value(self._element("bits", total=total))

    def reciprocal(self, total: Any, bits: Any) -> Any:
        """Of a row's sum."""
        return Registers({}).value(self._element("reciprocal", total=total, bits=bits))

    def probability(self, exponential: Any, reciprocal: Any, bits: Any) -> Any:
        """Of a key; the sum of a row has 15 to 24 bits."""
        ranges = {"exponential": _NOT_NEGATIVE_INT16, "reciprocal": _NOT_NEGATIVE_INT16, "bits": (6, 15)}
        int16 = {"exponential": exponential.astype("int16"), "reciprocal": reciprocal.astype("int16")}
        return Registers(ranges).value(self._element("probabilities", **int16, bits=bits))

    def context(self, total: Any) -> Any:
        """Of the sum of a channel."""
        return Registers({}).value(self._element("context", context_accumulator=total))

    def _element(self, name: str, **loads: Any) -> Any:
        """The value that the block ``name`` stores, its loads of the buffers in ``loads`` replaced by those values.

        Other blocks are computed where they are read. Of a reduction it is the value after one more step.
        """

        def replaced(load: Any) -> Any:
            buffer = str(load.source.name)
            if buffer in loads:
                return loads[buffer]
            return self._element(buffer, **loads) if buffer in self.blocks else load

        return tvm_ffi.structural_map(self.blocks[name].body.value, (ir.expr.TensorLoad, replaced))


def _block(statement: Any) -> SBlock:
    while isinstance(statement, tirx.For):
        statement = statement.body
    return statement.block
