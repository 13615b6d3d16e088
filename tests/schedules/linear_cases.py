"""What the tests of linear strategies share: CPUs that get them, layers with every epilogue, extreme values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import tvm
from intbert.compiler.kernels import Kernel, Shape, build_kernel, weight_operands
from intbert.compiler.operators.epilogues import Activated, Epilogue, Logits, Quantized, ResidualAdd
from intbert.compiler.operators.gelu import Gelu
from intbert.compiler.operators.linear import Linear
from intbert.compiler.operators.requantize import Narrow, Requantize, Rescale
from intbert.compiler.operators.value_range import NARROW, WIDE, Range
from intbert.schedules.intrinsics.lowering import lowering_for
from intbert.schedules.linear import activation_zero_point
from intbert.targets import get_target
from intbert.targets.target import Target
from numpy.typing import NDArray

Array = NDArray[Any]


def epilogues(channels: int) -> dict[str, Epilogue]:
    """One of every kind, with ratios of accumulator to output scale that differ between the channels."""
    random = np.random.default_rng(channels)
    ratio = 2.0 ** random.uniform(-16, -4, channels)

    def requantize(output: Range) -> Requantize:
        return Requantize.from_ratio("layer", ratio, output)

    wide = requantize(WIDE)
    gelu = Gelu.from_scale("layer", 2e-3)
    return {
        "narrow": Quantized(requantize(NARROW)),
        "relu": Quantized(requantize(NARROW.from_zero())),
        "wide": Quantized(wide),
        "gelu_narrow": Activated(wide, gelu, Narrow.from_ratio("layer", 0.02)),
        "gelu_wide": Activated(wide, gelu, Rescale.from_ratio("layer", 0.7)),
        "residual_add": ResidualAdd(wide, Rescale.from_ratio("layer", 0.7)),
        "logits": Logits(),
    }


EPILOGUES = tuple(epilogues(1))

VALUES: dict[str, Callable[[np.random.Generator, tuple[int, int]], Array]] = {
    "random": lambda random, shape: random.integers(-127, 128, shape),
    "largest": lambda _, shape: np.full(shape, 127),
    "smallest": lambda _, shape: np.full(shape, -127),
    "minimum": lambda _, shape: np.full(shape, -128),
    "signs": lambda random, shape: random.choice([-127, 127], shape),
    "alternating": lambda _, shape: np.where(np.indices(shape).sum(axis=0) % 2, 127, -127),
    "zero": lambda _, shape: np.zeros(shape, int),
}
"""Matrices of narrow integers, the extreme ones among them; -128 only on the left, where attention has it."""

PAIRS = [
    ("random", "random"),
    ("largest", "largest"),
    ("smallest", "largest"),
    ("largest", "smallest"),
    ("smallest", "smallest"),
    ("minimum", "largest"),
    ("minimum", "smallest"),
    ("signs", "signs"),
    ("alternating", "alternating"),
    ("random", "zero"),
    ("zero", "random"),
]
"""(activations, weights)."""


def layer(channels: int, inputs: int, epilogue: str, weights: str = "random") -> Linear:
    """A linear layer; its bias is what moves the sums of the extreme values around zero, and beyond."""
    random = np.random.default_rng(channels * inputs)
    weight = VALUES[weights](random, (channels, inputs)).astype(np.int8)
    bias = random.integers(-(2**20), 2**20, channels).astype(np.int32)
    return Linear("layer", weight, bias, epilogues(channels)[epilogue])


@dataclass(frozen=True)
class Compiled:
    """The layer's kernel for one CPU."""

    kernel: Kernel
    target: Target
    executable: Any

    @property
    def assembly(self) -> str:
        return self.executable.mod.inspect_source("asm")

    @property
    def llvm(self) -> str:
        return self.executable.mod.inspect_source("ll")

    def run(self, linear: Linear, x: Array, residual: Array | None) -> Array:
        """The output of a layer with the shape and the epilogue of the one it was compiled for, as integers."""
        memory = [tvm.runtime.tensor(array) for array in arguments(linear, x, residual, self.target)]
        self.executable["main"](*memory)
        return as_integers(linear, memory[-1].numpy(), self.target)


def arguments(linear: Linear, x: Array, residual: Array | None, target: Target) -> list[Array]:
    """What a kernel takes, as memory holds it; the last one is the output."""
    zero_point = activation_zero_point(target.features)
    operands = weight_operands(linear, target.features, zero_point)
    narrow = "uint8" if zero_point else "int8"
    dtype = narrow if linear.epilogue.output_dtype == "int8" else linear.epilogue.output_dtype
    return [
        (x + zero_point).astype(narrow),
        *linear.parameters(operands, zero_point),
        *([] if residual is None else [residual.astype(np.int16)]),
        # Every byte of the output must be written: what it held before may not show.
        np.full((len(x), linear.channels), 77, dtype),
    ]


def as_integers(linear: Linear, output: Array, target: Target) -> Array:
    """The integers that memory holds as ``output``."""
    offset = activation_zero_point(target.features) if linear.epilogue.output_dtype == "int8" else 0
    return output.astype(np.int64) - offset


def kernel_for(linear: Linear, rows: int, target: Target) -> Kernel:
    """The kernel of ``linear`` for ``rows`` rows, with the strategy that the compiler chooses for ``target``."""
    zero_point = activation_zero_point(target.features)
    return build_kernel(linear, Shape(1, rows, rows, linear.inputs, zero_point, zero_point, target.features))


def compile_functions(functions: dict[str, Any], target: Target) -> Any:
    """TVM's executable of scheduled PrimFuncs."""
    named = {name: function.with_attr("global_symbol", name) for name, function in functions.items()}
    with lowering_for(target.features):
        return tvm.compile(tvm.IRModule(named), target=target.tvm())


def compile_layer(linear: Linear, rows: int, target: Target) -> Compiled:
    """That kernel, compiled."""
    kernel = kernel_for(linear, rows, target)
    return Compiled(kernel, target, compile_functions({"main": kernel.function}, target))


def lesser_host(cpu: str, *features: str) -> Target:
    """This machine as if its CPU had only these features."""
    return replace(get_target("host"), cpu=cpu, features=frozenset(features))
