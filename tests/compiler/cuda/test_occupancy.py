"""Occupancy: cases worked out by hand from the chips' limits."""

import pytest
from intbert.compiler.cuda.cubin import KernelResources
from intbert.compiler.cuda.occupancy import occupancy, resident_blocks
from intbert.targets.cuda import ARCHITECTURES


@pytest.mark.parametrize(
    ("sm", "threads", "registers", "shared", "blocks"),
    [
        pytest.param(87, 128, 32, 0, 12, id="48-warps-in-blocks-of-4"),
        pytest.param(87, 32, 16, 0, 16, id="no-more-than-16-blocks"),
        pytest.param(75, 256, 32, 0, 4, id="turing-has-32-warps"),
        pytest.param(80, 256, 64, 0, 4, id="64-registers-of-65536"),
        pytest.param(80, 256, 65, 0, 3, id="registers-come-in-pieces-of-8-a-thread"),
        pytest.param(80, 512, 128, 0, 1, id="a-block-of-all-registers"),
        pytest.param(80, 1024, 65, 0, 0, id="more-registers-than-there-are"),
        pytest.param(87, 128, 32, 40 * 1024, 4, id="shared-memory-and-a-kib-of-the-systems"),
        pytest.param(75, 128, 32, 32 * 1024, 2, id="turing-keeps-none"),
        pytest.param(87, 128, 32, 163 * 1024, 1, id="all-shared-memory"),
        pytest.param(87, 128, 32, 163 * 1024 + 1, 0, id="more-shared-memory-than-there-is"),
        pytest.param(53, 128, 255, 0, 2, id="a-quarter-of-the-registers-each"),
        pytest.param(53, 512, 72, 0, 0, id="half-the-registers-are-a-blocks"),
        pytest.param(110, 128, 32, 0, 12, id="thor"),
    ],
)
def test_resident_blocks(sm: int, threads: int, registers: int, shared: int, blocks: int):
    kernel = KernelResources("kernel", registers, 0, shared, threads)
    chip = ARCHITECTURES[sm]
    assert resident_blocks(kernel, chip) == blocks
    assert occupancy(kernel, chip) == blocks * threads / 32 / chip.warps


def test_shared_memory_of_the_launch_counts():
    kernel = KernelResources("kernel", 32, 0, 1024, 128)
    assert resident_blocks(kernel, ARCHITECTURES[87], 39 * 1024) == 4
