"""Products of fragments: 16 rows by 8 channels, their sums ``d`` and ``e``, the left operand ``a[i]``."""

from __future__ import annotations

from ..inline_ptx import mma

SUMS = ("d[0]", "d[1]", "e[0]", "e[1]")
LEFT = ("a[i][0]", "a[i][1]", "a[i][2]", "a[i][3]")


def of_eight_rows(shape: str, types: str, right: tuple[str, str]) -> str:
    """The products of 16 rows and two registers of the depth, by instructions that have 8 and one."""
    return "".join(
        mma(shape, types, SUMS[half * 2 : half * 2 + 2], (LEFT[half + 2 * depth],), (right[depth],))
        for depth in (0, 1)
        for half in (0, 1)
    )


INT8_K32 = mma("m16n8k32", "s8.s8", SUMS, LEFT, ("low", "high"))
"""32 inputs of int8, of the weight the first and the last 16 in ``low`` and ``high``: sm_80 and later."""
INT8_K16 = of_eight_rows("m8n8k16", "s8.s8", ("low", "high"))
"""The same: sm_75."""
