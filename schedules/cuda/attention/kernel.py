"""The kernel of fused attention: the operator's arithmetic on what a lane holds in its registers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tvm import tirx
from tvm.script import tirx as T

from ....targets.cuda import WARP
from ...attention.workload import AttentionWorkload
from .arithmetic import AttentionArithmetic
from .device import DeviceFunctions
from .tile import ROWS

_AS_LOOP = {"pragma_unroll_explicit": False}
"""The source has a loop, which the CUDA compiler unrolls: it is as fast, and shorter."""


@dataclass(frozen=True)
class FusedAttention:
    """Writes ``function``, whose blocks no schedule has moved, as one kernel that calls ``device``'s functions.

    A block of threads has a tile of queries (x) of a head (y) of a sentence (z). Scores are numbered as a lane holds
    them: four to 16 queries by 8 keys, two keys of the first of its rows, then two of the second.
    """

    function: Any
    workload: AttentionWorkload
    device: DeviceFunctions

    def prim_func(self) -> Any:
        """The kernel."""
        arithmetic, tile, row_tiles = AttentionArithmetic.of(self.function), self.device.tile, self._row_tiles
        length, head_dim, contexts = self.workload.length, self.workload.head_dim, self._contexts
        context, score_words = self.function.params[-1], tile.scores // 4

        @T.prim_func(s_tir=True, private=True, check_well_formed=False)
        def kernel() -> None:
            for sentence in T.thread_binding(self.workload.batch, thread="blockIdx.z"):
                for head in T.thread_binding(self.workload.heads, thread="blockIdx.y"):
                    for row_tile in T.thread_binding(row_tiles, thread="blockIdx.x"):
                        for warp in T.thread_binding(tile.warps, thread="threadIdx.y"):
                            for lane in T.thread_binding(WARP, thread="threadIdx.x"):
                                scores = T.alloc_buffer((tile.scores,), "int32", scope="local")
                                kept = T.alloc_buffer((tile.keys // WARP,), "int32", scope="local")
                                largest = T.alloc_buffer((2,), "int32", scope="local")
                                distance = T.alloc_buffer((tile.scores,), "int32", scope="local")
                                exponential = T.alloc_buffer((tile.scores,), "int32", scope="local")
                                total = T.alloc_buffer((2,), "int32", scope="local")
                                bits = T.alloc_buffer((2,), "int32", scope="local")
                                reciprocal = T.alloc_buffer((2,), "int32", scope="local")
                                probabilities = T.alloc_buffer((score_words,), "uint32", scope="local")
                                sums = T.alloc_buffer((contexts,), "int32", scope="local")
                                narrow = T.alloc_buffer((4,), context.dtype, scope="local")

                                T.evaluate(self._scores(scores, sentence, head, row_tile))
                                T.evaluate(self._kept(kept, sentence))
                                for half in T.unroll(2, annotations=_AS_LOOP):
                                    largest[half] = arithmetic.initial("largest")
                                    total[half] = arithmetic.initial("total")
                                for i in T.unroll(tile.scores, annotations=_AS_LOOP):
                                    scores[i] = arithmetic.limited_score(scores[i], _bit(kept, i))
                                    largest[i // 2 % 2] = T.max(largest[i // 2 % 2], scores[i])
                                T.evaluate(self._call("largest", largest.access_ptr("rw")))
                                T.evaluate(self._values(sentence, head))
                                for i in T.unroll(tile.scores, annotations=_AS_LOOP):
                                    distance[i] = largest[i // 2 % 2] - scores[i]
                                    exponential[i] = arithmetic.exponential(distance[i], _bit(kept, i))
                                    total[i // 2 % 2] = total[i // 2 % 2] + exponential[i]
                                T.evaluate(self._call("total", total.access_ptr("rw")))
                                for half in T.unroll(2, annotations=_AS_LOOP):
                                    bits[half] = arithmetic.bits(total[half])
                                    reciprocal[half] = arithmetic.reciprocal(total[half], bits[half])
                                for i in T.unroll(score_words, annotations=_AS_LOOP):
                                    probabilities[i] = _four_probabilities(arithmetic, exponential, reciprocal, bits, i)
                                T.evaluate(self._call("context", sums.access_ptr("w"), probabilities.access_ptr("r")))
                                for i in T.unroll(contexts // 4, annotations=_AS_LOOP):
                                    for j in T.unroll(4, annotations=_AS_LOOP):
                                        narrow[j] = T.cast(arithmetic.context(sums[i * 4 + j]), context.dtype)
                                    if self._row(row_tile, warp, lane, i) < length:
                                        for j in T.vectorized(4):
                                            context[
                                                sentence * length + self._row(row_tile, warp, lane, i),
                                                head * head_dim + self._channel(warp, lane, i) + j,
                                            ] = narrow[j]

        return self.function.with_body(kernel.body)

    @property
    def _row_tiles(self) -> int:
        return -(-self.workload.length // self.device.tile.rows)

    @property
    def _contexts(self) -> int:
        """That a lane finishes."""
        return self.device.tile.sums(self.workload.head_dim) // self.device.tile.key_warps

    @property
    def _hidden(self) -> int:
        return self.workload.heads * self.workload.head_dim

    def _scores(self, scores: Any, sentence: Any, head: Any, row_tile: Any) -> Any:
        first_row = row_tile * self.device.tile.rows
        rows = self._rows_of_head(sentence, head)
        return self._call("scores", scores.access_ptr("w"), *rows, first_row, self.workload.length)

    def _values(self, sentence: Any, head: Any) -> Any:
        return self._call("values", *self._rows_of_head(sentence, head), self.workload.length)

    def _kept(self, kept: Any, sentence: Any) -> Any:
        mask = self.function.params[1].access_ptr("r", offset=sentence * self.workload.length)
        return self._call("kept", kept.access_ptr("w"), mask, self.workload.length)

    def _rows_of_head(self, sentence: Any, head: Any) -> tuple[Any, int, int]:
        """Its queries, the bytes from one row to the next, and those from queries to keys, from keys to values."""
        stride = 3 * self._hidden
        first = sentence * self.workload.length * stride + head * self.workload.head_dim
        return self.function.params[0].access_ptr("r", offset=first), stride, self._hidden

    def _call(self, name: str, *arguments: Any) -> Any:
        # The kernel's first call brings the source of all functions.
        source = self.device.source() if name == "scores" else ""
        return tirx.call_intrin("", "tirx.cuda.func_call", self.device.name(name), *arguments, source)

    def _row(self, row_tile: Any, warp: Any, lane: Any, group: Any) -> Any:
        """The query of four of a lane's contexts."""
        row_warp = warp // self.device.tile.key_warps
        return row_tile * self.device.tile.rows + row_warp * ROWS + self._group(warp, group) % 2 * 8 + lane // 4

    def _channel(self, warp: Any, lane: Any, group: Any) -> Any:
        """The first channel of the four."""
        return self._group(warp, group) // 2 * 16 + lane % 4 * 4

    def _group(self, warp: Any, group: Any) -> Any:
        """Their number among those of all warps that share the row."""
        return warp % self.device.tile.key_warps * (self._contexts // 4) + group


def _bit(kept: Any, score: Any) -> Any:
    """Whether the mask keeps the key of a score."""
    return kept[score // 16] >> (score // 4 % 4 * 8 + score % 2) & 1


def _four_probabilities(
    arithmetic: AttentionArithmetic, exponential: Any, reciprocal: Any, bits: Any, register: Any
) -> Any:
    """A register of the operand on the left: of one row, two keys of a step of the scores and two of the next one."""
    step, half = register // 2 * 2, register % 2
    word = T.uint32(0)
    for key in range(4):
        score = (step + key // 2) * 4 + half * 2 + key % 2
        probability = arithmetic.probability(exponential[score], reciprocal[half], bits[half])
        word = word | T.cast(probability, "uint32") << T.uint32(8 * key)
    return word
