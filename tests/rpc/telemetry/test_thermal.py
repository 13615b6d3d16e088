"""Temperatures: which sensor is the processor's, and which numbers are none."""

from __future__ import annotations

from pathlib import Path

import pytest
from intbert.rpc.telemetry.source import first
from intbert.rpc.telemetry.thermal import FINDERS

from .trees import HWMON, THERMAL, Tree, machine


def zones(**temperatures: str) -> Tree:
    """Zones by type, _ for -, with what their file says."""
    tree: dict[str, str] = {}
    for number, (name, temperature) in enumerate(temperatures.items()):
        tree[f"{THERMAL}/thermal_zone{number}/type"] = name.replace("_", "-")
        tree[f"{THERMAL}/thermal_zone{number}/temp"] = temperature
    return tree


def monitor(name: str, *temperatures: str) -> Tree:
    inputs = {f"{HWMON}/hwmon0/temp{number}_input": text for number, text in enumerate(temperatures, 1)}
    return {f"{HWMON}/hwmon0/name": name, **inputs}


@pytest.mark.parametrize(
    ("tree", "celsius", "words"),
    [
        pytest.param(zones(cpu_thermal="48199"), 48.199, "thermal zones: cpu-thermal", id="raspberry-pi"),
        pytest.param(
            zones(AO_therm="60000", CPU_therm="44000", PMIC_Die="100000", thermal_fan_est="70000"),
            44.0,
            "thermal zones: CPU-therm",
            id="jetson-nano",
        ),
        pytest.param(
            zones(BCPU_therm="40000", MCPU_therm="41500"), 41.5, "thermal zones: BCPU-therm, MCPU-therm", id="tx2"
        ),
        pytest.param(zones(soc_thermal="50000", gpu_thermal="66000"), 50.0, "thermal zones: soc-thermal", id="soc"),
        pytest.param(zones(acpitz="27800", x86_pkg_temp="70000"), 70.0, "thermal zones: x86-pkg-temp", id="x86"),
        pytest.param(zones(acpitz="27800", iwlwifi="41000"), 41.0, "thermal zones: acpitz, iwlwifi", id="no-processor"),
        pytest.param({**zones(acpitz="99000"), **monitor("k10temp", "55125")}, 55.125, "hwmon: k10temp", id="amd"),
        pytest.param(monitor("coretemp", "50000", "53000", "51000"), 53.0, "hwmon: coretemp", id="coretemp"),
        pytest.param(monitor("nvme", "50000"), None, None, id="a-disk"),
        pytest.param(zones(PMIC_Die="100000", thermal_fan_est="40000"), None, None, id="no-places"),
        pytest.param(zones(tj_thermal="-5000"), -5.0, "thermal zones: tj-thermal", id="frost"),
        pytest.param(zones(cpu_thermal="-256000"), None, None, id="without-power"),
        pytest.param(zones(cpu_thermal="0"), None, None, id="zero"),
        pytest.param(zones(cpu_thermal="125000"), None, None, id="too-hot"),
        pytest.param(zones(cpu_thermal="48.199"), None, None, id="no-integer"),
        pytest.param(
            zones(cpu_thermal="hot", soc_thermal="45000"),
            45.0,
            "thermal zones: cpu-thermal, soc-thermal",
            id="one-broken",
        ),
    ],
)
def test_the_processors_temperature(tmp_path: Path, tree: Tree, celsius: float | None, words: str | None) -> None:
    source = first(FINDERS, machine(tmp_path, tree))
    assert (None if source is None else source.read()) == celsius
    assert (None if source is None else source.words) == words
