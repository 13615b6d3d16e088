"""A tiny artifact that TVM builds in a second: sums of embedding rows, so that every answer is known."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from pathlib import Path

import numpy as np
from intbert.compiler.artifact import (
    LIBRARY_FILE,
    WEIGHTS_SYMBOL,
    ArtifactTarget,
    Bucket,
    Manifest,
    Output,
    WeightRecord,
    write_manifest,
)
from intbert.compiler.model import Activation, Architecture, Family, Head, HeadKind
from intbert.targets import Target, get_target
from intbert.targets.elf import data_object
from intbert.targets.toolchain import linker
from numpy.typing import NDArray
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing

WORDS = ("[PAD]", "[CLS]", "[SEP]", "one", "two", "three", "four", "five")
HIDDEN = 4
BUCKETS = (Bucket(8, 1), Bucket(8, 4), Bucket(16, 1))

table = np.arange(len(WORDS) * HIDDEN, dtype=np.int8).reshape(len(WORDS), HIDDEN)
factor = np.array([1, -2, 300, 4], dtype=np.int16)


def expected(
    ids: NDArray[np.int32], mask: NDArray[np.int32], types: NDArray[np.int32], per_token: bool
) -> NDArray[np.int32]:
    """What the toy computes: factor * row + token type for each token; their masked sum unless per token."""
    rows = table[ids].astype(np.int32) * factor + types[..., None]
    return rows if per_token else (rows * mask[..., None]).sum(axis=1, dtype=np.int32)


class Fault(Enum):
    """What the kernels of a toy do instead of computing."""

    ENDLESS = "endless"
    CRASH = "crash"


def build_toy(
    folder: Path,
    kind: HeadKind = HeadKind.MEAN_POOLING,
    tokenizer: bool = True,
    target_name: str = "host",
    fault: Fault | None = None,
    **output: object,
) -> Path:
    """Writes the artifact into ``folder`` (made here). A toy needs no instruction that a machine may lack."""
    folder.mkdir()
    target = get_target(target_name)
    architecture = Architecture(
        family=Family.BERT,
        hidden=HIDDEN,
        layers=1,
        heads=1,
        intermediate=HIDDEN,
        vocabulary=len(WORDS),
        positions=16,
        position_offset=0,
        token_types=2,
        pad_token_id=0,
        activation=Activation.GELU,
        head=Head(kind),
    )
    manifest = Manifest(
        target=ArtifactTarget(target_name, target.arch, target.triple, ()),
        scheme="ibert",
        architecture=architecture,
        buckets=BUCKETS,
        weights=(
            WeightRecord("table", "int8", table.shape, 0),
            WeightRecord("factor", "int16", factor.shape, 64),
        ),
        output=Output(kind=kind, dtype="int32", **{"scale": 0.5, **output}),  # pyright: ignore[reportArgumentType]
        tvm_version="toy",
        ffi_version="toy",
    )
    _link(_compile(manifest.output.per_token, target, fault), target, folder)
    if tokenizer:
        _tokenizer().save(str(folder / "tokenizer.json"))
    write_manifest(manifest, folder)
    return folder


def _compile(per_token: bool, target: Target, fault: Fault | None) -> object:
    import tvm
    from tvm import relax, te
    from tvm import tirx as tir

    builder = relax.BlockBuilder()
    for bucket in BUCKETS:
        shape = (bucket.batch, bucket.length)
        inputs = [relax.Var(name, relax.TensorType(shape, "int32")) for name in ("ids", "mask", "types")]
        weights = relax.Var(
            "weights",
            relax.TupleType([relax.TensorType(table.shape, "int8"), relax.TensorType(factor.shape, "int16")]),
        )

        def tokens(ids, mask, types, rows, scale, shape=shape):
            return te.compute(
                (*shape, HIDDEN),
                lambda b, t, h: rows[ids[b, t], h].astype("int32") * scale[h].astype("int32") + types[b, t],
            )

        def crashing(ids, mask, types, rows, scale, shape=shape):
            far = 1 << 28  # rows beyond the table
            return te.compute((shape[0], HIDDEN), lambda b, h: rows[ids[b, 0] + far, h].astype("int32") + mask[b, 0])

        def endless(ids, mask, types, rows, scale, shape=shape):
            # no closed form, so that no compiler can leave the loop out
            step = te.comm_reducer(lambda a, b: a * a + b, lambda dtype: tir.const(1, dtype), name="step")
            t, u = te.reduce_axis((0, 1 << 20)), te.reduce_axis((0, 1 << 20))
            return te.compute(
                (shape[0], HIDDEN), lambda b, h: step(ids[b, h] + mask[b, h] + types[b, h] + t, axis=[t, u])
            )

        def pooled(ids, mask, types, rows, scale, shape=shape):
            each = tokens(ids, mask, types, rows, scale, shape)
            t = te.reduce_axis((0, shape[1]))
            return te.compute((shape[0], HIDDEN), lambda b, h: te.sum(each[b, t, h] * mask[b, t], axis=t))

        with builder.function(bucket.function, [*inputs, weights]):
            with builder.dataflow():
                parts = [builder.emit(relax.TupleGetItem(weights, index)) for index in range(2)]
                computing = tokens if per_token else pooled
                kernel = {None: computing, Fault.CRASH: crashing, Fault.ENDLESS: endless}[fault]
                result = builder.emit_output(builder.emit_te(kernel, *inputs, *parts))
            builder.emit_func_output(result)
    return tvm.compile(builder.get(), target=target.tvm())


def _link(executable: object, target: Target, folder: Path) -> None:
    blob = table.tobytes().ljust(64, b"\0") + factor.tobytes()
    data = folder / "weights.o"
    data.write_bytes(data_object(blob, WEIGHTS_SYMBOL, target.arch))

    class Compile:
        output_format = "so"

        def __call__(self, output: str, objects: Sequence[str], options: object = None) -> None:
            linker(target).link([*map(Path, objects), data], Path(output))

        def get_target_triple(self) -> str:
            return target.triple

    executable.export_library(str(folder / LIBRARY_FILE), fcompile=Compile())  # type: ignore[attr-defined]
    data.unlink()


def _tokenizer() -> Tokenizer:
    tokenizer = Tokenizer(WordLevel({word: index for index, word in enumerate(WORDS)}, unk_token="[PAD]"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 1), ("[SEP]", 2)],
    )
    # Settings that the runtime has to leave aside.
    tokenizer.enable_truncation(4)
    tokenizer.enable_padding(length=12)
    return tokenizer
