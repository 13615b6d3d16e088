"""Linear strategies of NVIDIA GPUs for weights of 1 to 7 bits, which stay packed until they are in registers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ....targets.cuda import STATIC_SHARED_BYTES
from ...linear.workload import LinearWorkload
from ...strategy import not_a_multiple
from ..linear.strategy import DeviceFunction, TileLinear
from ..linear.warp_tile import WarpTile
from .codes import DEPTH
from .tile import Operands, PackedMultiplication, function_name, function_source, stage_bytes


@dataclass(frozen=True)
class PackedTileLinear(TileLinear):
    """Products of int8 or narrower activations and packed codes."""

    multiplication: PackedMultiplication
    features: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.multiplication.name

    def device_function(self, tile: WarpTile, workload: LinearWorkload) -> DeviceFunction:
        of = (self.multiplication, tile, _operands(workload))
        return DeviceFunction(function_name(*of), function_source(*of))

    def refuse_operands(self, workload: LinearWorkload) -> str | None:
        packed = workload.packed
        if packed is None:
            return f"the weight is int8, and {self.name} unpacks codes"
        if packed.added:
            return f"split channels are added to the packed weight, and {self.name} multiplies codes alone"
        most = self.multiplication.most_weight_bits
        if packed.bits > most:
            return f"weights have {packed.bits} bits, and {self.name} is for at most {most}"
        bits = self.multiplication.activation_bits
        if workload.activation_bits not in bits:
            return f"activations have {workload.activation_bits} bits, and {self.name} is for {bits[0]} to {bits[-1]}"
        return not_a_multiple("inputs", workload.inputs, DEPTH)

    def tiles(self, workload: LinearWorkload) -> Sequence[WarpTile]:
        operands = _operands(workload)
        found: list[WarpTile] = []
        for tile in self.multiplication.tiles:
            stages = min(tile.stages, STATIC_SHARED_BYTES // stage_bytes(tile, operands.packed.bits))
            accumulators = tile.registers * self.multiplication.accumulators(operands)
            if stages >= 2 and accumulators <= self.multiplication.most_accumulators:
                found.append(replace(tile, stages=stages))
        return found


def _operands(workload: LinearWorkload) -> Operands:
    assert workload.packed is not None
    return Operands(workload.packed, workload.activation_bits)
