"""The embedding tables of a graph, told apart by the rows that it asks them for, and how their sums are rounded."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...compiler.model import Architecture, Quantization, WeightTensor
from ...errors import GraphError
from .. import structure
from .constants import ONE, float_tensor, rounded_table, table_tensor
from .probe import Probe
from .values import Grids, IntegerConstant, Known, Rows, Sum, Value, constant_floats, unrounded

PARTIAL_SUMS = {
    frozenset({"embeddings.word", "embeddings.position"}): "embeddings.word_position",
    frozenset({"embeddings.word", "embeddings.token_type"}): "embeddings.word_token_type",
}


@dataclass
class EmbeddingTables:
    """Fills in the tables, and the rounding of the sum of the first two."""

    architecture: Architecture
    probe: Probe
    weights: dict[str, WeightTensor]
    activations: dict[str, Quantization]

    def take(self, total: Value) -> None:
        """The tables whose sum is ``total``; GraphError where it is no sum of the model's embeddings."""
        if not isinstance(total, Sum):
            raise GraphError(f"{total.origin}: the sum of the embeddings was expected here; export the model anew")
        parts: list[tuple[Value, Grids]] = [unrounded(part) for part in total.parts]
        nested = [(part, grids) for part, grids in parts if isinstance(part, Sum)]
        # A constant that a zero point adds to a row is lost in the normalization, but not in a rounding before it.
        exact = bool(nested) or "embeddings.sum" in self.activations
        for part, grids in parts:
            if not isinstance(part, Sum):
                self._take_table(part, grids, exact)
        for part, grids in nested:
            self._take_partial(part, grids)
        tables = structure.embeddings(self.architecture)
        missing = [name for name in tables if f"{name}.weight" not in self.weights]
        if missing:
            raise GraphError(f"{total.origin}: '{missing[0]}' is not among the embeddings that are added here")

    def _take_partial(self, partial: Sum, grids: Grids) -> None:
        names = [self._take_table(*unrounded(part), exact=True) for part in partial.parts]
        activation = PARTIAL_SUMS.get(frozenset(names))
        if activation is None or len(names) != 2 or len(grids) != 1:
            raise GraphError(
                f"{partial.origin}: rounds the sum of {' and '.join(names)}; add the words first, as transformers does"
            )
        self.activations[activation] = grids[0].quantization()

    def _take_table(self, value: Value, grids: Grids, exact: bool) -> str:
        """The table's name."""
        if not isinstance(value, Rows):
            raise GraphError(f"{value.origin}: an embedding was expected here; export the model anew")
        name, tables = self._name_of(value), structure.embeddings(self.architecture)
        if f"{name}.weight" in self.weights:
            raise GraphError(f"{value.origin}: a second table that is read like '{name}'; export the model anew")
        if value.table.shape != tables[name]:
            raise GraphError(
                f"{value.origin}: a table of shape {list(value.table.shape)} where config.json implies "
                f"{list(tables[name])} for '{name}'; give the config.json of this graph"
            )
        table = value.table
        for grid in grids:
            table = rounded_table(table, grid)
        self._add(name, table, value.origin, exact)
        return name

    def _add(self, name: str, table: Known | IntegerConstant, origin: str, exact: bool) -> None:
        shift = table.zero_point if isinstance(table, IntegerConstant) and exact else np.zeros((), np.int8)
        if shift.size > 1:
            floats = constant_floats(table)
            assert floats is not None
            self.weights[f"{name}.weight"] = float_tensor(floats)
            return
        self.weights[f"{name}.weight"] = table_tensor(table, origin)
        zero_point = int(shift.reshape(())) - 128 * (shift.dtype == np.uint8)
        if zero_point:
            self.weights[f"{name}.zero_point"] = WeightTensor(np.array([zero_point], np.int8), ONE)

    def _name_of(self, rows: Rows) -> str:
        """Which table this is: told by the rows that it is asked for."""
        probe, architecture = self.probe, self.architecture
        indices = np.broadcast_to(rows.indices, probe.ids.shape) if rows.indices.ndim == 2 else rows.indices
        kept = probe.mask == 1
        if np.array_equal(indices, probe.ids):
            return "embeddings.word"
        positions = probe.positions(architecture.position_offset)
        if indices.shape == positions.shape and np.array_equal(indices[kept], positions[kept]):
            return "embeddings.position"
        # A graph without token types as an input reads those of single sentences.
        if architecture.token_types and (np.array_equal(indices, probe.types) or not indices.any()):
            return "embeddings.token_type"
        raise GraphError(f"{rows.origin}: reads rows that are neither token ids nor positions nor token types")
