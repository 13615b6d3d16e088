"""Clocks: which CPUs count, and which file of a policy."""

from __future__ import annotations

from pathlib import Path

import pytest
from intbert.rpc.telemetry.clock import FINDERS, Limits, cpufreq, limits
from intbert.rpc.telemetry.source import first

from .trees import CPU, JETSON_ORIN, POLICY, RASPBERRY_PI_4, X86_LAPTOP, X86_SERVER, Odd, Tree, machine


@pytest.mark.parametrize(
    ("tree", "cpus", "clock"),
    [
        pytest.param(JETSON_ORIN, None, 728.0, id="all-clusters"),
        pytest.param(JETSON_ORIN, [1, 3], 1509.0, id="first-cluster"),
        pytest.param(JETSON_ORIN, [5], 728.0, id="second-cluster"),
        pytest.param(JETSON_ORIN, [0, 4], 728.0, id="one-of-each"),
        pytest.param(JETSON_ORIN, [12], None, id="no-such-cpu"),
        pytest.param(X86_LAPTOP, [0, 2], 2800.0, id="folders-of-cpus"),
        pytest.param(X86_SERVER, [0], 2100.5, id="cpuinfo-of-one"),
        pytest.param(X86_SERVER, None, 2099.25, id="cpuinfo-of-all"),
    ],
)
def test_the_lowest_clock_of_the_cpus(tmp_path: Path, tree: Tree, cpus: list[int] | None, clock: float | None) -> None:
    source = first(FINDERS, machine(tmp_path, tree, cpus))
    assert (None if source is None else source.read()) == clock


def test_the_hardwares_clock_is_preferred(tmp_path: Path) -> None:
    tree = {**RASPBERRY_PI_4, f"{POLICY}0/cpuinfo_cur_freq": "1000000"}
    source = cpufreq(machine(tmp_path, tree))
    assert source is not None
    assert (source.words, source.read()) == ("cpufreq: cpuinfo_cur_freq", 1000.0)


def test_a_policy_without_the_hardwares_clock(tmp_path: Path) -> None:
    tree = {**JETSON_ORIN, f"{POLICY}4/cpuinfo_cur_freq": Odd.FOLDER}
    source = cpufreq(machine(tmp_path, tree))
    assert source is not None
    assert (source.words, source.read()) == ("cpufreq: cpuinfo_cur_freq and scaling_cur_freq", 729.6)


def test_a_policy_that_lists_no_cpus_has_the_one_of_its_name(tmp_path: Path) -> None:
    tree = {f"{POLICY}4/scaling_cur_freq": "900000", f"{POLICY}0/scaling_cur_freq": "500000"}
    source = first(FINDERS, machine(tmp_path, tree, [4]))
    assert source is not None
    assert source.read() == 900.0


@pytest.mark.parametrize("text", ["<unknown>", "0", "-1000000", "100000000"])
def test_cpufreq_that_tells_nothing_leaves_it_to_cpuinfo(tmp_path: Path, text: str) -> None:
    tree = {**X86_SERVER, f"{CPU}/cpu0/cpufreq/scaling_cur_freq": text}
    source = first(FINDERS, machine(tmp_path, tree))
    assert source is not None
    assert source.read() == 2099.25


@pytest.mark.parametrize(
    ("cpus", "expected"),
    [
        pytest.param([0], Limits("schedutil", 115.2, 1510.4), id="first-cluster"),
        pytest.param(None, Limits("schedutil, performance", 115.2, 1984.0), id="all"),
        pytest.param([12], Limits(None, None, None), id="none"),
    ],
)
def test_limits(tmp_path: Path, cpus: list[int] | None, expected: Limits) -> None:
    assert limits(machine(tmp_path, JETSON_ORIN, cpus)) == expected
