"""Linear strategies of NVIDIA GPUs for weights of 1 to 7 bits, which stay packed until they are in registers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ...linear.workload import LinearWorkload
from ...strategy import not_a_multiple
from ..copies import COPIED_BYTES
from ..linear.strategy import DeviceFunction, TileLinear
from ..linear.warp_tile import WarpTile
from .codes import DEPTH
from .tile import Operands, PackedMultiplication, function_name, function_source, most_stages


@dataclass(frozen=True)
class PackedTileLinear(TileLinear):
    """Products of int8 or narrower activations and packed codes."""

    multiplication: PackedMultiplication
    features: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.multiplication.name

    def device_function(self, tile: WarpTile, workload: LinearWorkload) -> DeviceFunction:
        of = (self.multiplication, tile, Operands.of(workload))
        # Left to itself, the compiler spills a register or two of some tiles to have one more block resident.
        return DeviceFunction(function_name(*of), function_source(*of), resident_blocks=1)

    def operands(self, workload: LinearWorkload) -> int:
        # Of what is added: the values, and which of them an input has.
        return 2 if workload.packed is None or workload.packed.added is None else 4

    def refuse_operands(self, workload: LinearWorkload) -> str | None:
        packed = workload.packed
        if packed is None:
            return f"the weight is int8, and {self.name} unpacks codes"
        if packed.added is not None and not packed.added.exact:
            return f"what is added to split channels leaves int8, and {self.name} multiplies it as int8"
        most = self.multiplication.most_weight_bits
        if packed.bits > most:
            return f"weights have {packed.bits} bits, and {self.name} is for at most {most}"
        bits = self.multiplication.activation_bits
        if workload.activation_bits not in bits:
            return f"activations have {workload.activation_bits} bits, and {self.name} is for {bits[0]} to {bits[-1]}"
        if not self.tiles(workload):
            return f"{packed.added} leaves no shared memory"
        return not_a_multiple("inputs", workload.inputs, COPIED_BYTES[-1])

    def depth(self, tile: WarpTile, workload: LinearWorkload) -> int:
        return DEPTH

    def tiles(self, workload: LinearWorkload) -> Sequence[WarpTile]:
        operands = Operands.of(workload)
        found: list[WarpTile] = []
        for tile in self.multiplication.tiles:
            accumulators = tile.registers * self.multiplication.accumulators(operands)
            stages = most_stages(tile, operands.packed)
            if stages >= 2 and accumulators <= self.multiplication.most_accumulators:
                found.append(replace(tile, stages=stages))
        return found
