"""What benchmarks/arm.py makes of a counter's file, a memory map and a library; no emulator runs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import arm
import pytest
from arm_bench.artifacts import symbols_kept
from arm_bench.blocks import Block, parse_blocks, total
from arm_bench.contenders import PEERS, RUNTIMES, ours
from arm_bench.count import Count, spread
from arm_bench.cpus import CPUS
from arm_bench.cycles import assembly, hot_blocks
from arm_bench.mappings import parse_maps
from arm_bench.operators import operators_of
from arm_bench.peers import pinned
from arm_bench.report import instruction_table, kernel_table
from arm_bench.root import cpuinfo, root_of
from arm_bench.rows import KernelRow, Row, merged, read_rows
from arm_bench.symbols import kernel_of
from intbert.targets import get_target, toolchain
from peer_bench.errors import BenchmarkError
from peer_bench.precisions import PRECISIONS
from peer_bench.rows import write_rows
from peer_bench.workspace import REQUIREMENTS
from rich.console import Console

MAPS = """\
00400000-00500000 r-xp 00000000 fe:00 1   /board/usr/bin/python3.11
00500000-00600000 r--p 00100000 fe:00 1   /board/usr/bin/python3.11
5500000000-5500001000 rw-p 00000000 00:00 0    [stack]
5500800000-5500900000 r-xp 00030000 fe:00 2   /art/model.so
5500a00000-5500a01000 r-xp 00000000 00:00 0
"""


def row(runtime: str, precision: str, instructions: int, cpu: str = "cortex-a76", **more: object) -> Row:
    fields = {"model": "minilm", "length": 128, "spread": 0.001, "cosine": 0.99, **more}
    return Row(runtime=runtime, precision=precision, cpu=cpu, instructions=instructions, **fields)  # pyright: ignore[reportArgumentType]


def test_blocks_are_counted_by_instructions_and_executions():
    blocks = parse_blocks("4000 8 2 10\nffff0 4 1 3\n")
    assert blocks == [Block(0x4000, 8, 2, 10), Block(0xFFFF0, 4, 1, 3)]
    assert total(blocks) == 23


@pytest.mark.parametrize("text", ["4000 8 2\n", "4000 8 x 1\n", ""], ids=["short", "no-number", "empty"])
def test_a_damaged_count_is_refused(text: str):
    with pytest.raises(BenchmarkError, match="run again"):
        parse_blocks(text)


def test_addresses_belong_to_executable_files():
    space = parse_maps(MAPS)
    assert space.locate(0x400010) == ("/board/usr/bin/python3.11", 0x10)
    assert space.locate(0x5500800004) == ("/art/model.so", 0x30004)
    for nowhere in (0x10, 0x500000, 0x5500000000, 0x5500900000, 0x5500A00000):
        assert space.locate(nowhere) is None


def test_counts_are_of_one_inference_and_by_library():
    blocks = [Block(0x400000, 8, 2, 3), Block(0x5500800000, 16, 4, 10), Block(0x5500A00000, 4, 1, 2)]
    found = Count(blocks, parse_maps(MAPS), 0.99, {})
    assert found.instructions == 24
    assert found.libraries() == {"model.so": 20, "python3.11": 3, "(no file)": 1}
    assert spread([found, Count(blocks[1:], parse_maps(MAPS), 0.99, {})]) == pytest.approx(24 / 21 - 1, abs=1e-5)
    assert spread([found]) is None


@pytest.mark.parametrize(
    ("symbol", "kernel"),
    [("__tvm_ffi_linear1", "linear1"), ("linear1_compute_", "linear1"), ("__tvm_set_raised_6", "__tvm_set_raised_6")],
)
def test_an_entry_and_a_body_are_one_kernel(symbol: str, kernel: str):
    assert kernel_of(symbol) == kernel


@pytest.mark.parametrize(
    ("disassembled", "assembled"),
    [
        ("b.lt\t0x15e1704 <linear_compute_+0x604>", "b.lt\t."),
        ("cbz\tx1, 0x15e1754", "cbz\tx1, ."),
        ("mov\tw8, #0x10", "mov\tw8, #0x10"),
        ("bic\tv0.4h, #0x10", "bic\tv0.4h, #0x10"),
        ("tbz\tw8, #0x3, 0x15e1704", "tbz\tw8, #0x3, ."),
        ("mov\tw8, #5 // =0x5", "mov\tw8, #5"),
    ],
)
def test_a_block_by_itself_names_no_address(disassembled: str, assembled: str):
    assert assembly(disassembled) == assembled


def test_hot_blocks_are_nearly_all_instructions():
    blocks = [Block(0, 4, 1, 1), Block(4, 8, 2, 500), Block(12, 4, 1, 8000)]
    assert hot_blocks(blocks) == [blocks[2], blocks[1]]


def test_the_board_says_which_core_it_is(tmp_path: Path):
    board = tmp_path / "userland"
    for name in ("usr", "proc"):
        (board / name).mkdir(parents=True)
    root = root_of(CPUS["cortex-a76"], board, tmp_path)
    assert (root / "usr").resolve() == board / "usr"
    text = (root / "proc" / "cpuinfo").read_text()
    assert "0xd0b" in text
    assert "asimddp" in text
    assert "asimddp" not in cpuinfo(CPUS["cortex-a72"], 1)
    assert list((board / "proc").iterdir()) == []


def test_operators_of_kernels_are_joined_across_layers(tmp_path: Path):
    names = ["embeddings", "layers.0.output", "layers.0.norm", "layers.1.output", "layers.1.norm"]
    strategies = [{"operator": f"main_b1_t128/{name}", "strategy": "plain"} for name in names]
    strategies += [{"operator": "main_b1_t32/embeddings", "strategy": "plain"}]
    manifest = tmp_path / "manifest.json"
    manifest.write_text(json.dumps({"strategies": strategies}))
    calls = ["embedding", "linear", "norm", "linear", "norm"]
    assert operators_of(calls, manifest, 128) == {
        "embedding": "embeddings (plain)",
        "linear": "layers.*.output (plain)",
        "norm": "layers.*.norm (plain)",
    }
    assert operators_of(calls[1:], manifest, 128) == {}


def test_symbols_are_kept_only_inside_the_block():
    before = toolchain._LD_OPTIONS
    assert "--strip-all" in before
    with symbols_kept():
        assert "--strip-all" not in toolchain._LD_OPTIONS
    assert before == toolchain._LD_OPTIONS


def test_targets_of_the_emulated_cpus():
    assert {name: sorted(get_target(cpu.target).features) for name, cpu in CPUS.items()} == {
        "cortex-a72": ["neon"],
        "cortex-a76": ["dotprod", "neon"],
        "i8mm": ["dotprod", "i8mm", "neon"],
    }


def test_every_peer_is_pinned():
    requirements = REQUIREMENTS.read_text(encoding="utf-8")
    for peer in PEERS:
        assert len(pinned(peer.packages, requirements)) == len(peer.packages)
    assert pinned(["numpy"], requirements)[0].startswith("numpy==")
    with pytest.raises(ValueError, match="tflite"):
        pinned(["tflite"], requirements)


def test_our_contenders_are_named_by_their_precision():
    assert [ours(name).precision for name in PRECISIONS] == list(PRECISIONS)
    assert "W1A4" in PRECISIONS


def test_rows_have_the_fields_that_others_read(tmp_path: Path):
    write_rows([row("intbert", "W8A8", 10)], tmp_path / "arm.json")
    (read,) = json.loads((tmp_path / "arm.json").read_text())
    assert {"model", "runtime", "precision", "cpu", "length", "instructions"} <= set(read)
    with pytest.raises(ValueError, match="impossible"):
        row("intbert", "W8A8", 0)


def test_new_rows_replace_old_ones_of_the_same_job(tmp_path: Path):
    path = tmp_path / "arm.json"
    assert read_rows(path) == []
    old = [row("intbert", "W8A8", 10, kernels=(KernelRow("linear", "", 1, 5),)), row("openvino", "int8", 20)]
    write_rows(old, path)
    assert read_rows(path) == old
    assert [each.instructions for each in merged(old, [row("intbert", "W8A8", 9)])] == [9, 20]


def printed(table: object) -> str:
    console = Console(width=200)
    with console.capture() as capture:
        console.print(table)
    return capture.get()


def test_the_table_compares_each_job_with_ours():
    rows = [row("intbert", "W8A8", 100_000_000), row("onnxruntime", "int8", 222_000_000)]
    text = printed(instruction_table([*rows, row("onnxruntime", "int8", 430_000_000, cpu="cortex-a72")]))
    assert "2.22" in text
    assert "430.0" in text


def test_the_kernels_of_a_row_with_what_is_outside():
    kernels = [KernelRow("linear", "layers.*.output (plain)", 6, 75_000_000, 30e6)]
    text = printed(kernel_table(row("intbert", "W8A8", 100_000_000, kernels=kernels)))
    for expected in ("layers.*.output (plain)", "75.0%", "30.00 M", "25.00 M"):
        assert expected in text


def test_the_command_line():
    options = arm.parse(["--only", "intbert", "--cpus", "cortex-a76", "--lengths", "128", "--precisions", "W8A8,W1A4"])
    assert (options.only, options.cpus, options.lengths) == (["intbert"], ["cortex-a76"], [128])
    assert options.precisions == ["W8A8", "W1A4"]
    assert arm.parse([]).only == list(RUNTIMES)


@pytest.mark.parametrize("arguments", [("--cpus", "z80"), ("--lengths", "2"), ("--repeats", "0")], ids=" ".join)
def test_usage_errors(arguments: tuple[str, str]):
    script = Path(arm.__file__)
    done = subprocess.run([sys.executable, script, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "error:" in done.stderr
