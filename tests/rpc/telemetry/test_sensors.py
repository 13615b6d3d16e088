"""Whole boards: every number of a reading, and where it comes from."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from intbert.rpc.telemetry import GPU, Conditions, Inventory, Sensors, was_throttled

from . import trees
from .trees import Answers, Card, Tree, answering, asking, plant

NOTHING = Conditions(None, None, None, None, None)
SENSORLESS = Inventory(None, None, None, None, None, None, None, ())

POLLED = "firmware: get_throttled, every two seconds"
BOARDS = [
    pytest.param(
        trees.RASPBERRY_PI_4,
        {},
        Conditions(1500.0, 48.199, (), 0, None),
        Inventory(
            governor="ondemand",
            lowest_mhz=600.0,
            highest_mhz=1800.0,
            clock="cpufreq: scaling_cur_freq",
            temperature="thermal zones: cpu-thermal",
            throttled=POLLED,
            power=None,
            rails=(),
        ),
        id="raspberry-pi-4",
    ),
    pytest.param(
        trees.RASPBERRY_PI_3_UNDER_VOLTAGE,
        {},
        Conditions(600.0, 48.199, ("under-voltage", "throttled"), 2, None),
        Inventory(
            governor="ondemand",
            lowest_mhz=600.0,
            highest_mhz=1200.0,
            clock="cpufreq: scaling_cur_freq",
            temperature="thermal zones: cpu-thermal",
            throttled=POLLED,
            power=None,
            rails=(),
        ),
        id="raspberry-pi-3-under-voltage",
    ),
    pytest.param(
        trees.RASPBERRY_PI_5,
        trees.RASPBERRY_PI_5_ANSWERS,
        Conditions(2400.0, 61.7, ("soft temperature limit",), 3, 3.03),
        Inventory(
            governor="ondemand",
            lowest_mhz=1500.0,
            highest_mhz=2400.0,
            clock="cpufreq: scaling_cur_freq",
            temperature="thermal zones: cpu-thermal",
            throttled="firmware: vcgencmd get_throttled",
            power="vcgencmd pmic_read_adc: sum of the outputs",
            rails=("3V7_WL_SW", "3V3_SYS", "VDD_CORE"),
        ),
        id="raspberry-pi-5",
    ),
    pytest.param(
        trees.JETSON_NANO,
        {},
        Conditions(1479.0, 44.0, (), None, 4.321),
        Inventory(
            governor="schedutil",
            lowest_mhz=102.0,
            highest_mhz=1479.0,
            clock="cpufreq: scaling_cur_freq",
            temperature="thermal zones: CPU-therm",
            throttled="cooling devices: thermal-cpufreq-0, gpu-balanced",
            power="INA: POM_5V_IN",
            rails=("POM_5V_IN", "POM_5V_GPU", "POM_5V_CPU"),
        ),
        id="jetson-nano",
    ),
    pytest.param(
        trees.JETSON_ORIN,
        {},
        Conditions(728.0, 52.031, (), 37, 9.28, 3199.0),
        Inventory(
            governor="schedutil, performance",
            lowest_mhz=115.2,
            highest_mhz=1984.0,
            clock="cpufreq: cpuinfo_cur_freq",
            temperature="thermal zones: cpu-thermal, tj-thermal",
            throttled=(
                "over-current events of soctherm; cooling devices: "
                "cpufreq-cpu0, cpufreq-cpu4, cpu-throttle-alert, devfreq-17000000.gpu"
            ),
            power="INA: VDD_IN",
            rails=("VDD_IN", "VDD_CPU_GPU_CV", "VDD_SOC"),
            memory_clock="devfreq: bwmgr",
        ),
        id="jetson-orin",
    ),
    pytest.param(
        trees.X86_SERVER,
        {},
        Conditions(2099.25, None, None, None, None),
        Inventory(None, None, None, "/proc/cpuinfo: cpu MHz", None, None, None, ()),
        id="x86-server",
    ),
    pytest.param(
        trees.X86_LAPTOP,
        {},
        Conditions(2700.0, 71.0, None, 3 + 4 + 20, None),
        Inventory(
            governor="powersave",
            lowest_mhz=None,
            highest_mhz=None,
            clock="cpufreq: scaling_cur_freq",
            temperature="thermal zones: x86_pkg_temp",
            throttled="thermal_throttle counters",
            power=None,
            rails=(),
        ),
        id="x86-laptop",
    ),
    pytest.param(trees.EMPTY, {}, NOTHING, SENSORLESS, id="nothing"),
    pytest.param(trees.GARBAGE, trees.GARBAGE_ANSWERS, NOTHING, SENSORLESS, id="garbage"),
]


GPUS = [
    pytest.param(
        trees.JETSON_NANO,
        {},
        Conditions(768.0, 43.5, (), None, 4.321),
        Inventory(
            governor="nvhost_podgov",
            lowest_mhz=76.8,
            highest_mhz=921.6,
            clock="devfreq: 57000000.gpu",
            temperature="thermal zones: GPU-therm",
            throttled="cooling devices: thermal-cpufreq-0, gpu-balanced",
            power="INA: POM_5V_IN",
            rails=("POM_5V_IN", "POM_5V_GPU", "POM_5V_CPU"),
        ),
        id="jetson-nano",
    ),
    pytest.param(
        trees.JETSON_ORIN,
        {},
        Conditions(612.0, 52.031, (), 37, 9.28, 3199.0),
        Inventory(
            governor="performance",
            lowest_mhz=306.0,
            highest_mhz=918.0,
            clock="devfreq: 17000000.gpu",
            temperature="thermal zones: gpu-thermal, tj-thermal",
            throttled=(
                "over-current events of soctherm; cooling devices: "
                "cpufreq-cpu0, cpufreq-cpu4, cpu-throttle-alert, devfreq-17000000.gpu"
            ),
            power="INA: VDD_IN",
            rails=("VDD_IN", "VDD_CPU_GPU_CV", "VDD_SOC"),
            memory_clock="devfreq: bwmgr",
        ),
        id="jetson-orin",
    ),
    pytest.param(
        trees.JETSON_THOR,
        {(trees.nvml.REASONS,): 0x40, (trees.nvml.CLOCK, trees.nvml.MULTIPROCESSORS): 1},
        Conditions(1386.0, 58.5, ("hardware thermal slowdown",), None, None, 4266.0),
        Inventory(
            governor="nvhost_podgov",
            lowest_mhz=None,
            highest_mhz=1575.0,
            clock="devfreq: gpu-gpc-0, gpu-gpc-1",
            temperature="thermal zones: gpu-thermal",
            throttled="NVML: reasons for a lower clock",
            power=None,
            rails=(),
            memory_clock="devfreq: bwmgr",
        ),
        id="jetson-thor",
    ),
    pytest.param(
        trees.X86_WORKSTATION,
        trees.WORKSTATION_CARD,
        Conditions(1695.0, 67.0, ("power cap",), None, 349.5, 9501.0),
        Inventory(
            governor=None,
            lowest_mhz=None,
            highest_mhz=2100.0,
            clock="NVML: clock",
            temperature="NVML: temperature",
            throttled="NVML: reasons for a lower clock",
            power="NVML: the card",
            rails=(),
            memory_clock="NVML: clock",
        ),
        id="workstation",
    ),
    # What the processor's sensors say is nothing about a GPU.
    pytest.param(trees.X86_WORKSTATION, {}, NOTHING, SENSORLESS, id="no-driver"),
    pytest.param(trees.GARBAGE, trees.GARBAGE_CARD, NOTHING, SENSORLESS, id="garbage"),
]


def rounded(reading: Conditions) -> Conditions:
    return replace(reading, power_w=None if reading.power_w is None else round(reading.power_w, 6))


@pytest.mark.parametrize(("tree", "answers", "conditions", "inventory"), BOARDS)
def test_boards(tmp_path: Path, tree: Tree, answers: Answers, conditions: Conditions, inventory: Inventory) -> None:
    sensors = Sensors(plant(tmp_path, tree), run=answering(answers))
    assert rounded(sensors.read()) == conditions
    assert sensors.describe() == inventory


@pytest.mark.parametrize(("tree", "card", "conditions", "inventory"), GPUS)
def test_gpus(tmp_path: Path, tree: Tree, card: Card, conditions: Conditions, inventory: Inventory) -> None:
    sensors = Sensors(plant(tmp_path, tree), run=answering({}), processor=GPU, ask=asking(card))
    assert rounded(sensors.read()) == conditions
    assert sensors.describe() == inventory


def test_a_gpu_that_is_held_back(tmp_path: Path) -> None:
    sensors = Sensors(plant(tmp_path, trees.JETSON_ORIN), run=answering({}), processor=GPU, ask=asking({}))
    before = sensors.read()
    plant(
        tmp_path,
        {
            f"{trees.DEVFREQ}/17000000.gpu/cur_freq": "306000000",
            f"{trees.THERMAL}/cooling_device3/cur_state": "4",
            f"{trees.HWMON}/hwmon3/oc3_event_cnt": "38",
        },
    )
    after = sensors.read()
    assert after.clock_mhz == 306.0
    assert was_throttled(before, before) == ()
    assert was_throttled(before, after) == ("thermal cap", "throttle event")


def test_a_reading_is_json(tmp_path: Path) -> None:
    sensors = Sensors(plant(tmp_path, trees.RASPBERRY_PI_3_UNDER_VOLTAGE), run=answering({}))
    assert json.loads(json.dumps(asdict(sensors.read()))) == {
        "clock_mhz": 600.0,
        "temperature_c": 48.199,
        "throttled": ["under-voltage", "throttled"],
        "throttle_events": 2,
        "power_w": None,
        "memory_clock_mhz": None,
    }
    assert json.loads(json.dumps(asdict(sensors.describe())))["rails"] == []


def test_the_second_reading_sees_a_change(tmp_path: Path) -> None:
    sensors = Sensors(plant(tmp_path, trees.JETSON_ORIN), run=answering({}))
    before = sensors.read()
    plant(
        tmp_path,
        {
            f"{trees.POLICY}4/cpuinfo_cur_freq": "403000",
            f"{trees.THERMAL}/thermal_zone0/temp": "97500",
            f"{trees.THERMAL}/cooling_device1/cur_state": "3",
            f"{trees.HWMON}/hwmon3/oc3_event_cnt": "38",
            f"{trees.I2C}/ina3221/1-0040/hwmon/hwmon1/curr1_input": "3000",
        },
    )
    after = sensors.read()
    assert after == Conditions(403.0, 97.5, ("thermal cap",), 38, 15.0, 3199.0)
    assert was_throttled(before, before) == ()
    assert was_throttled(before, after) == ("thermal cap", "throttle event")


@pytest.mark.parametrize("tree", [trees.RASPBERRY_PI_4, trees.JETSON_ORIN, trees.X86_LAPTOP])
def test_a_sensor_that_vanishes_is_none(tmp_path: Path, tree: Tree) -> None:
    sensors = Sensors(plant(tmp_path, tree), run=answering({}))
    for name in tree:
        (tmp_path / name).unlink()
    assert sensors.read() == NOTHING


def test_programs_that_stop_answering_are_none(tmp_path: Path) -> None:
    answers = dict(trees.RASPBERRY_PI_5_ANSWERS)
    sensors = Sensors(plant(tmp_path, trees.RASPBERRY_PI_5), run=answering(answers))
    answers.clear()
    assert sensors.read() == Conditions(2400.0, 61.7, None, None, None)


def test_reading_looks_for_no_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sensors = Sensors(plant(tmp_path, trees.JETSON_ORIN), run=answering({}))

    def search(*arguments: object) -> None:
        raise AssertionError("a search for files")

    monkeypatch.setattr("glob.iglob", search)
    assert sensors.read().clock_mhz == 728.0


def test_no_program_runs_where_files_tell_everything(tmp_path: Path) -> None:
    calls: list[object] = []
    sensors = Sensors(plant(tmp_path, trees.JETSON_ORIN), run=lambda arguments: calls.append(arguments))
    calls.clear()  # looking for programs at construction is allowed
    sensors.read()
    assert calls == []


def test_this_machine() -> None:
    sensors = Sensors()
    reading = sensors.read()
    known = {name for name, value in asdict(reading).items() if value is not None}
    inventory = sensors.describe()
    if reading.temperature_c is not None:
        assert -40 < reading.temperature_c < 125
    assert inventory.clock is not None or "clock_mhz" not in known
    assert inventory.power is not None or "power_w" not in known
    assert inventory.throttled is not None or known.isdisjoint({"throttled", "throttle_events"})


def test_the_import_needs_nothing_of_a_host(tmp_path: Path) -> None:
    code = (
        "import sys, intbert.rpc.telemetry; "
        "print(*sorted({name.partition('.')[0] for name in sys.modules} - set(sys.stdlib_module_names)))"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", code], capture_output=True, text=True, timeout=60, check=True, cwd=tmp_path
    )
    allowed = subprocess.run(
        [sys.executable, "-I", "-c", code.replace("intbert.rpc.telemetry", "intbert.rpc")],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        cwd=tmp_path,
    )
    assert done.stdout == allowed.stdout
