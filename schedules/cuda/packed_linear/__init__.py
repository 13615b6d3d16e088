"""Linear layers of weights of 1 to 7 bits, which stay packed until they are in registers."""

from .bit_planes import FEW_PLANES_M8, FEW_PLANES_M16, MANY_PLANES_M8, MANY_PLANES_M16
from .dot_products import UNPACK_DP4A
from .fragments import INT4_K32, INT4_K64, UNPACK_K16, UNPACK_K32
from .strategy import PackedTileLinear
from .wmma import UNPACK_WMMA, UnpackedTileLinear

__all__ = [
    "FEW_PLANES_M8",
    "FEW_PLANES_M16",
    "INT4_K32",
    "INT4_K64",
    "MANY_PLANES_M8",
    "MANY_PLANES_M16",
    "UNPACK_DP4A",
    "UNPACK_K16",
    "UNPACK_K32",
    "UNPACK_WMMA",
    "PackedTileLinear",
    "UnpackedTileLinear",
]
