"""Power: units of the layouts, the rail that is the total, and sums."""

from __future__ import annotations

from pathlib import Path

import pytest
from intbert.rpc.telemetry.power import FINDERS, Meter
from intbert.rpc.telemetry.source import first

from .trees import I2C, JETSON_NANO, JETSON_ORIN, READ_ADC, Answers, Odd, Tree, machine

IIO = f"{I2C}/ina3221x/1-0040/iio:device0"
MONITOR = f"{I2C}/ina3221/1-0040/hwmon/hwmon1"


def meter(root: Path, tree: Tree, answers: Answers | None = None) -> Meter | None:
    return first(FINDERS, machine(root, tree, answers=answers))


def older(**milliwatts: str) -> dict[str, str]:
    tree: dict[str, str] = {}
    for channel, (name, power) in enumerate(milliwatts.items()):
        tree[f"{IIO}/rail_name_{channel}"] = name
        tree[f"{IIO}/in_power{channel}_input"] = power
    return tree


def newer(**values: tuple[str, str]) -> dict[str, str]:
    tree: dict[str, str] = {}
    for channel, (name, (millivolts, milliamperes)) in enumerate(values.items(), 1):
        tree[f"{MONITOR}/in{channel}_label"] = name
        tree[f"{MONITOR}/in{channel}_input"] = millivolts
        tree[f"{MONITOR}/curr{channel}_input"] = milliamperes
    return tree


@pytest.mark.parametrize(
    ("tree", "watts", "rails"),
    [
        pytest.param(JETSON_NANO, 4.321, ("POM_5V_IN", "POM_5V_GPU", "POM_5V_CPU"), id="nano"),
        pytest.param(JETSON_ORIN, 9.28, ("VDD_IN", "VDD_CPU_GPU_CV", "VDD_SOC"), id="orin"),
        pytest.param(older(GPU="1000", CPU="2500", SOC="30"), 3.53, ("GPU", "CPU", "SOC"), id="older-sum"),
        pytest.param(
            newer(VDD_GPU_SOC=("12000", "500"), VDD_CPU_CV=("12000", "250"), VIN_SYS_5V0=("5000", "800")),
            13.0,
            ("VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0"),
            id="newer-sum",
        ),
        pytest.param(newer(NC=("0", "0"), VDD_SOC=("5000", "100")), 0.5, ("VDD_SOC",), id="not-connected"),
        pytest.param(
            {**newer(VDD_SOC=("5000", "100")), f"{MONITOR}/curr1_input": "-4"}, -0.02, ("VDD_SOC",), id="offset"
        ),
        pytest.param(
            {
                f"{I2C}/ina219/3-0045/hwmon/hwmon2/in0_input": "12",
                f"{I2C}/ina219/3-0045/hwmon/hwmon2/in1_input": "5100",
                f"{I2C}/ina219/3-0045/hwmon/hwmon2/curr1_input": "1000",
            },
            5.1,
            ("3-0045 channel 1",),
            id="ina219",
        ),
        pytest.param(
            {**older(CPU="100"), f"{I2C}/ina3221x/1-0041/iio_device/in_power0_input": "50"},
            0.15,
            ("CPU", "1-0041 channel 0"),
            id="two-chips",
        ),
        pytest.param(
            {
                **older(CPU="100"),
                f"{I2C}/ina3221x/1-0040/iio_device/rail_name_0": "CPU",
                f"{I2C}/ina3221x/1-0040/iio_device/in_power0_input": "100",
            },
            0.1,
            ("CPU",),
            id="one-chip-with-a-link",
        ),
        pytest.param({**older(CPU="100"), f"{IIO}/in_power1_input": Odd.FOLDER}, 0.1, ("CPU",), id="unreadable-rail"),
        pytest.param(older(CPU="much"), None, None, id="garbage"),
        pytest.param(older(CPU="1000000"), None, None, id="a-kilowatt"),
        pytest.param(newer(CPU=("5000", "-200000")), None, None, id="minus-a-kilowatt"),
        pytest.param({f"{MONITOR}/in1_label": "VDD_IN", f"{MONITOR}/in1_input": "5000"}, None, None, id="no-current"),
    ],
)
def test_rails(tmp_path: Path, tree: Tree, watts: float | None, rails: tuple[str, ...] | None) -> None:
    found = meter(tmp_path, tree)
    assert (None if found is None else found.read()) == (None if watts is None else pytest.approx(watts))
    assert (None if found is None else found.rails) == rails


def test_a_sum_without_one_of_its_rails_is_none(tmp_path: Path) -> None:
    found = meter(tmp_path, older(GPU="1000", CPU="2500"))
    assert found is not None
    (tmp_path / IIO / "in_power0_input").unlink()
    assert found.read() is None


@pytest.mark.parametrize(
    ("answer", "watts"),
    [
        pytest.param("X_A current(0)=2.0A\nX_V volt(8)=1.5V\n", 3.0, id="one"),
        pytest.param(
            "X_A current(0)=2A\nX_V volt(8)=1.5V\nY_A current(1)=9.0A\nBATT_V volt(9)=3.0V\n", 3.0, id="pairs"
        ),
        pytest.param("X_A current(0)=2.0V\nX_V volt(8)=1.5V\n", None, id="current-in-volts"),
        pytest.param("EXT5V_V volt(24)=5.1V\n", None, id="voltage-only"),
        pytest.param('error=1 error_msg="Command not registered"\n', None, id="raspberry-pi-4"),
        pytest.param("", None, id="nothing"),
    ],
)
def test_the_raspberry_pi_5s_outputs(tmp_path: Path, answer: str, watts: float | None) -> None:
    found = meter(tmp_path, {}, {READ_ADC: answer})
    assert (None if found is None else found.read()) == watts


def test_an_output_that_vanishes(tmp_path: Path) -> None:
    answers: dict[tuple[str, ...], str] = {
        READ_ADC: "X_A current(0)=2.0A\nX_V volt(8)=1.5V\nY_A current(1)=1.0A\nY_V volt(9)=1.0V\n"
    }
    found = meter(tmp_path, {}, answers)
    assert found is not None
    assert found.read() == 4.0
    answers[READ_ADC] = "X_A current(0)=2.0A\nX_V volt(8)=1.5V\n"
    assert found.read() is None
