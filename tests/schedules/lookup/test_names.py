"""Tensor intrinsics of table look-up: what computes something else has another name, by which traces know it."""

from __future__ import annotations

from intbert.schedules.intrinsics import tbl, tbl_tables, vpermb, vpermw, vpshufb
from intbert.schedules.intrinsics.lookup_tile import LookupTile
from intbert.schedules.lookup.format import WeightLevels
from intbert.schedules.lookup.kernels import LOOKUP_KERNELS
from tvm.s_tir import TensorIntrin

VPSHUFB = "avx2_vpshufb", "avx2_vpshufb_digits"
BINARY, QUATERNARY = WeightLevels(2, 2, -1), WeightLevels(4, 2, -3)
FORMATS = {
    (kernel.name, levels.count): layout
    for kernel in LOOKUP_KERNELS
    for levels in (BINARY, QUATERNARY)
    if (layout := kernel.format(levels, 96, 64, 7)) is not None
}


def test_tables_of_other_activations_have_other_names() -> None:
    names = [vpermb.register_tables(FORMATS["avx512_vpermb", 2], zero, reach) for zero in (0, 128) for reach in (3, 7)]
    names += [vpermb.register_tables(FORMATS["avx512_vpermb", 4], 128, 7)]
    names += [vpermw.register_tables(FORMATS["avx512_vpermw", 2], zero) for zero in (0, 128)]
    names += [tbl_tables.register_tables(FORMATS[name, 2]) for name in ("neon_tbl", "neon_tbl_nibbles")]
    names += [
        vpshufb.register_tables(FORMATS[name, 2], zero, reach)
        for name in VPSHUFB
        for zero in (0, 128)
        for reach in (3, 7)
    ]
    names += [vpshufb.register_tables(FORMATS[name, 4], 0, 7) for name in VPSHUFB]
    assert len(set(names)) == len(names)


def test_tiles_that_keep_other_sums_have_other_names() -> None:
    tile = LookupTile(rows=4, blocks=1, groups=2, vectors=4)
    names = [vpermw.register_tile(FORMATS["avx512_vpermw", 2], tile, reach) for reach in (7, 127)]
    names += [tbl.register_tile(FORMATS[name, 2], tile, 7) for name in ("neon_tbl", "neon_tbl_nibbles")]
    names += [vpermb.register_tile(FORMATS["avx512_vpermb", 2], tile, reach) for reach in (7, 31)]
    names += [vpshufb.register_tile(FORMATS[name, 2], tile, reach) for name in VPSHUFB for reach in (3, 7)]
    names += [vpshufb.register_tile(FORMATS[name, 4], tile, 7) for name in VPSHUFB]
    assert len(set(names)) == len(names)
    for name in names:
        assert TensorIntrin.get(name) is not None
