"""Throttling: flags, states and counters."""

from __future__ import annotations

from pathlib import Path

import pytest
from intbert.rpc.telemetry import raspberry_pi
from intbert.rpc.telemetry.conditions import Throttling
from intbert.rpc.telemetry.source import first
from intbert.rpc.telemetry.throttling import throttling, together

from .trees import (
    CPU,
    FIRMWARE,
    GET_THROTTLED,
    HWMON,
    JETSON_ORIN,
    RASPBERRY_PI_4,
    THERMAL,
    X86_LAPTOP,
    Answers,
    Odd,
    Tree,
    machine,
    plant,
)

VOLTAGE = {f"{HWMON}/hwmon1/name": "rpi_volt", f"{HWMON}/hwmon1/in0_lcrit_alarm": "1"}
COMMAND: Answers = {GET_THROTTLED: "throttled=0x4\n"}


def read(root: Path, tree: Tree, cpus: list[int] | None = None) -> Throttling | None:
    source = throttling(machine(root, tree, cpus))
    return None if source is None else source.read()


@pytest.mark.parametrize(
    ("word", "recent", "expected"),
    [
        pytest.param(0x0, False, Throttling((), 0), id="none"),
        pytest.param(0x1, False, Throttling(("under-voltage",), 0), id="bit-0"),
        pytest.param(0x2, False, Throttling(("frequency capped",), 0), id="bit-1"),
        pytest.param(0x4, False, Throttling(("throttled",), 0), id="bit-2"),
        pytest.param(0x8, False, Throttling(("soft temperature limit",), 0), id="bit-3"),
        pytest.param(0x50000, False, Throttling((), 2), id="long-ago"),
        pytest.param(0x50000, True, Throttling(("under-voltage", "throttled"), 2), id="just-now"),
        pytest.param(0xE0008, False, Throttling(("soft temperature limit",), 3), id="both"),
        pytest.param(0xFFF0FFF0, True, Throttling((), 0), id="other-bits"),
        pytest.param(1 << 32, False, None, id="too-long"),
        pytest.param(-1, False, None, id="negative"),
        pytest.param(None, False, None, id="nothing"),
    ],
)
def test_the_firmwares_word(word: int | None, recent: bool, expected: Throttling | None) -> None:
    assert raspberry_pi.decode(word, recent) == expected


@pytest.mark.parametrize(
    ("tree", "answers", "words", "reasons"),
    [
        pytest.param(
            {**VOLTAGE, FIRMWARE: "80000"}, COMMAND, "every two seconds", ("soft temperature limit",), id="polled"
        ),
        pytest.param({FIRMWARE: "80000"}, COMMAND, "vcgencmd", ("throttled",), id="not-polled-and-program"),
        pytest.param({FIRMWARE: "80001"}, {}, "get_throttled", ("under-voltage",), id="not-polled"),
        pytest.param({}, COMMAND, "vcgencmd", ("throttled",), id="program"),
        pytest.param({**VOLTAGE, FIRMWARE: "?"}, {}, "alarm", ("under-voltage",), id="damaged-file"),
        pytest.param(VOLTAGE, {}, "alarm", ("under-voltage",), id="alarm"),
        pytest.param({**VOLTAGE, f"{HWMON}/hwmon1/in0_lcrit_alarm": "0"}, {}, "alarm", (), id="no-alarm"),
        pytest.param(
            {**VOLTAGE, "sys/devices/platform/soc@107c000000/soc@107c000000:firmware/get_throttled": "0x2"},
            COMMAND,
            "every two seconds",
            ("frequency capped",),
            id="path-of-the-raspberry-pi-5",
        ),
    ],
)
def test_the_firmwares_sources(
    tmp_path: Path, tree: Tree, answers: Answers, words: str, reasons: tuple[str, ...]
) -> None:
    source = first(raspberry_pi.FINDERS, machine(tmp_path, tree, answers=answers))
    assert source is not None
    assert words in source.words
    reading = source.read()
    assert reading is not None
    assert reading.reasons == reasons


@pytest.mark.parametrize("answer", ["", "throttled=", "throttled=0xzz", "error=1 error_msg=..."])
def test_a_program_that_talks_nonsense(tmp_path: Path, answer: str) -> None:
    assert first(raspberry_pi.FINDERS, machine(tmp_path, {}, answers={GET_THROTTLED: answer})) is None


@pytest.mark.parametrize(
    ("kind", "capped"),
    [
        ("cpufreq-cpu0", True),
        ("thermal-cpufreq-0", True),
        ("cpu-throttle-alert", True),
        ("gpu-throttle-alert", True),
        ("devfreq-17000000.gpu", True),
        ("devfreq-17000000.ga10b", True),
        ("thermal-devfreq-0", True),
        ("devfreq-1d84000.ufshc", None),
        ("cpu-balanced", True),
        ("tegra-heavy", True),
        ("Processor", True),
        ("pwm-fan", None),
        ("hot-surface-alert", None),
        ("intel_powerclamp", None),
        ("", None),
    ],
)
def test_cooling_devices(tmp_path: Path, kind: str, capped: bool | None) -> None:
    device = f"{THERMAL}/cooling_device0"
    tree = {f"{device}/type": kind, f"{device}/cur_state": "2"}
    assert read(tmp_path, tree) == (Throttling(("thermal cap",), None) if capped else None)
    tree[f"{device}/cur_state"] = "0"
    assert read(tmp_path, tree) == (Throttling((), None) if capped else None)


def test_a_cap_beside_a_lost_device(tmp_path: Path) -> None:
    one, two = f"{THERMAL}/cooling_device0", f"{THERMAL}/cooling_device1"
    tree = {f"{one}/type": "cpufreq-cpu0", f"{one}/cur_state": "0", f"{two}/type": "cpufreq-cpu4"}
    source = throttling(machine(tmp_path, {**tree, f"{two}/cur_state": "0"}))
    assert source is not None
    (tmp_path / two / "cur_state").unlink()
    assert source.read() == Throttling(None, None)
    plant(tmp_path, {f"{one}/cur_state": "1"})
    assert source.read() == Throttling(("thermal cap",), None)


def test_alarms_that_throttle_nothing_do_not_count(tmp_path: Path) -> None:
    assert read(tmp_path, JETSON_ORIN) == Throttling((), 37)
    plant(tmp_path, {f"{HWMON}/hwmon3/oc2_throt_en": "1"})
    assert read(tmp_path, {}) == Throttling((), 46)


def test_alarms_of_a_kernel_that_does_not_say_what_they_throttle(tmp_path: Path) -> None:
    tree = {f"{HWMON}/hwmon3/oc1_event_cnt": "2", f"{HWMON}/hwmon3/oc3_event_cnt": "5"}
    assert read(tmp_path, tree) == Throttling(None, 7)


@pytest.mark.parametrize(
    ("cpus", "events"),
    [
        pytest.param(None, 3 + 4 + 20, id="every-core-and-package-once"),
        pytest.param([1], 4 + 20, id="one-core"),
        pytest.param([0, 2], 3 + 20, id="two-threads-of-a-core"),
    ],
)
def test_counters_of_x86(tmp_path: Path, cpus: list[int] | None, events: int) -> None:
    assert read(tmp_path, X86_LAPTOP, cpus) == Throttling(None, events)


def test_counters_of_x86_without_topology(tmp_path: Path) -> None:
    tree = {f"{CPU}/cpu{cpu}/thermal_throttle/core_throttle_count": "2" for cpu in range(3)}
    assert read(tmp_path, tree) == Throttling(None, 6)


def test_a_sum_without_one_of_its_counters_is_none(tmp_path: Path) -> None:
    source = throttling(machine(tmp_path, X86_LAPTOP))
    assert source is not None
    (tmp_path / CPU / "cpu1/thermal_throttle/core_throttle_count").unlink()
    assert source.read() == Throttling(None, None)


def test_all_sources_add_up(tmp_path: Path) -> None:
    device = f"{THERMAL}/cooling_device0"
    tree = {**RASPBERRY_PI_4, FIRMWARE: "20002", f"{device}/type": "cpufreq-cpu0", f"{device}/cur_state": "1"}
    assert read(tmp_path, tree) == Throttling(("frequency capped", "thermal cap"), 1)


def test_an_unreadable_source_is_none_at_all(tmp_path: Path) -> None:
    assert read(tmp_path, {FIRMWARE: Odd.FOLDER, f"{HWMON}/hwmon3/oc1_event_cnt": Odd.PIPE}) is None


@pytest.mark.parametrize(
    ("readings", "expected"),
    [
        pytest.param([Throttling((), 1), Throttling(("a",), 2)], Throttling(("a",), 3), id="sum"),
        pytest.param([Throttling(("a", "b"), None), Throttling(("b",), None)], Throttling(("a", "b"), None), id="once"),
        pytest.param([Throttling((), None), Throttling(None, 4)], Throttling((), 4), id="complementary"),
        pytest.param([Throttling((), 5), None], Throttling(None, None), id="one-failed"),
        pytest.param([Throttling(("a",), 5), None], Throttling(("a",), None), id="one-failed-and-a-reason"),
        pytest.param([None], Throttling(None, None), id="all-failed"),
    ],
)
def test_together(readings: list[Throttling | None], expected: Throttling) -> None:
    assert together(readings) == expected
