"""The instructions of the linear kernels' inner loops, for CPUs that need not be here: what was meant, and few.

The budgets are a little above what LLVM 22 gives, per 256 multiplications.
"""

from __future__ import annotations

import re
from functools import cache

import pytest
from intbert.targets import get_target
from intbert.targets.target import Target

from . import lookup_cases
from .assembly import count, hot_loop
from .linear_cases import compile_layer, layer

ROWS, CHANNELS, INPUTS = 32, 384, 384
X86_64 = "x86_64-unknown-linux-gnu"

TARGETS = {
    "i8mm": get_target("aarch64-i8mm"),
    "rpi5": get_target("rpi5"),
    "rpi4": get_target("rpi4"),
    "rpi3": get_target("rpi3"),
    "jetson-xavier": get_target("jetson-xavier-cpu"),
    "aarch64": get_target("aarch64"),
    "avx_vnni": Target("avx-vnni", "", "x86_64", X86_64, "x86-64-v3", frozenset({"avx_vnni"})),
    "avx2": get_target("x86-64-v3"),
    "avx512_vnni": Target("avx512-vnni", "", "x86_64", X86_64, "x86-64-v4", frozenset({"avx512_vnni"})),
}


@cache
def assembly(target: str) -> str:
    return compile_layer(layer(CHANNELS, INPUTS, "narrow"), ROWS, TARGETS[target]).assembly


@pytest.mark.parametrize(
    ("target", "instruction", "multiplications", "budget"),
    [
        pytest.param("i8mm", r"smmla\s+v\d+\.4s, v\d+\.16b, v\d+\.16b", 32, 11, id="smmla"),
        pytest.param("rpi5", r"sdot\s+v\d+\.4s, v\d+\.16b, v\d+\.4b\[", 16, 19, id="sdot"),
        pytest.param("rpi4", r"(smull|smlal2)\s+v\d+\.8h", 8, 55, id="smull-cortex-a72"),
        pytest.param("rpi3", r"(smull|smlal2)\s+v\d+\.8h", 8, 55, id="smull-cortex-a53"),
        pytest.param("jetson-xavier", r"(smull|smlal2)\s+v\d+\.8h", 8, 55, id="smull-carmel"),
        pytest.param("aarch64", r"(smull|smlal2)\s+v\d+\.8h", 8, 55, id="smull-generic"),
        pytest.param("avx512_vnni", r"vpdpbusd\s.*%zmm", 64, 7, id="vpdpbusd-zmm"),
        pytest.param("avx_vnni", r"\{vex\}\s+vpdpbusd\s.*%ymm", 32, 15, id="vpdpbusd-vex"),
        pytest.param("avx2", r"vpmaddubsw\s.*%ymm", 32, 45, id="vpmaddubsw"),
    ],
)
def test_inner_loop(target: str, instruction: str, multiplications: int, budget: int) -> None:
    loop = hot_loop(assembly(target), instruction)
    assert len(loop) * 256 / (count(loop, instruction) * multiplications) <= budget
    assert not [line for line in loop if re.search(r"\[sp|\(%r[sb]p", line)], "registers are spilled"


@pytest.mark.parametrize(
    ("target", "reach", "budget"),
    [
        pytest.param("rpi4", 7, 2.8, id="w1a4-cortex-a72"),
        pytest.param("rpi5", 7, 2.8, id="w1a4-cortex-a76"),
        pytest.param("aarch64", 7, 2.9, id="w1a4-generic"),
        pytest.param("rpi4", 127, 2.9, id="w1a8-cortex-a72"),
    ],
)
def test_look_ups(target: str, reach: int, budget: float) -> None:
    """Two instructions a look-up, and few for its operands: an index is inserted below the bit of its table by one."""
    of = lookup_cases.linear("binary", reach, CHANNELS, INPUTS, "narrow")
    loop = hot_loop(compile_layer(of, ROWS, TARGETS[target]).assembly, "sadalp")
    look_ups = count(loop, "tbl")
    assert len(loop) / look_ups <= budget
    assert count(loop, "sadalp") == look_ups
    assert count(loop, "bit|bif|bsl") == count(loop, "sri") == look_ups // 8
    assert not [line for line in loop if "[sp" in line], "registers are spilled"


@pytest.mark.parametrize("target", ["i8mm", "rpi5", "rpi4", "aarch64"])
def test_neon_accumulates_without_saturation(target: str) -> None:
    loop = hot_loop(assembly(target), "smmla|sdot|smull")
    assert not count(loop, "sq|uq|dup|ld1r")


def test_sums_of_smull_are_added_pairwise() -> None:
    loop = hot_loop(assembly("rpi4"), "smull")
    assert count(loop, "smull") == count(loop, "smlal2") == count(loop, "sadalp")


def test_vpmaddubsw_gets_magnitudes() -> None:
    """Its unsigned operand is an absolute value, its signed one carries both signs: no sum saturates."""
    loop = hot_loop(assembly("avx2"), "vpmaddubsw")
    assert count(loop, "vpsignb") == count(loop, "vpmaddubsw") == count(loop, "vpmaddwd")
    magnitudes = {register for line in loop for register in re.findall(r"^vpabsb\s.*(%ymm\d+)$", line)}
    assert magnitudes
    assert {re.split(r"[\s,]+", line)[2] for line in loop if line.startswith("vpmaddubsw")} <= magnitudes
