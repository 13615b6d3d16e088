"""Boards as data: the files of /sys and /proc that the readers look at, and what the boards' programs print.

The layouts follow the kernel's and the makers' documentation; the numbers are made up.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from enum import Enum, auto
from pathlib import Path

from intbert.rpc.telemetry import nvml
from intbert.rpc.telemetry.commands import Run
from intbert.rpc.telemetry.source import Ask, Machine


class Odd(Enum):
    """What can be in a file's place; tests may run as root, whom no permissions keep out."""

    FOLDER = auto()
    PIPE = auto()
    LOOP = auto()


Tree = Mapping[str, "str | Odd"]
"""Path below the root -> content."""
Answers = Mapping["tuple[str, ...]", str]
"""Program and arguments -> output."""
Card = Mapping["tuple[str | int, ...]", int]
"""A function of NVML and its arguments -> result."""

CPU = "sys/devices/system/cpu"
POLICY = f"{CPU}/cpufreq/policy"
THERMAL = "sys/class/thermal"
HWMON = "sys/class/hwmon"
DEVFREQ = "sys/class/devfreq"
I2C = "sys/bus/i2c/drivers"
FIRMWARE = "sys/devices/platform/soc/soc:firmware/get_throttled"

RASPBERRY_PI_4: Tree = {
    f"{POLICY}0/related_cpus": "0 1 2 3",
    f"{POLICY}0/scaling_governor": "ondemand",
    f"{POLICY}0/scaling_cur_freq": "1500000",
    f"{POLICY}0/cpuinfo_min_freq": "600000",
    f"{POLICY}0/cpuinfo_max_freq": "1800000",
    f"{THERMAL}/thermal_zone0/type": "cpu-thermal",
    f"{THERMAL}/thermal_zone0/temp": "48199",
    f"{HWMON}/hwmon0/name": "cpu_thermal",
    f"{HWMON}/hwmon0/temp1_input": "48199",
    f"{HWMON}/hwmon1/name": "rpi_volt",
    f"{HWMON}/hwmon1/in0_lcrit_alarm": "0",
    FIRMWARE: "0",
}

RASPBERRY_PI_3_UNDER_VOLTAGE: Tree = {
    **RASPBERRY_PI_4,
    f"{POLICY}0/scaling_cur_freq": "600000",
    f"{POLICY}0/cpuinfo_max_freq": "1200000",
    f"{HWMON}/hwmon1/in0_lcrit_alarm": "1",
    FIRMWARE: "50005",
}

RASPBERRY_PI_5: Tree = {
    f"{POLICY}0/related_cpus": "0 1 2 3",
    f"{POLICY}0/scaling_governor": "ondemand",
    f"{POLICY}0/scaling_cur_freq": "2400000",
    f"{POLICY}0/cpuinfo_min_freq": "1500000",
    f"{POLICY}0/cpuinfo_max_freq": "2400000",
    f"{THERMAL}/thermal_zone0/type": "cpu-thermal",
    f"{THERMAL}/thermal_zone0/temp": "61700",
    f"{THERMAL}/cooling_device0/type": "pwm-fan",
    f"{THERMAL}/cooling_device0/cur_state": "2",
}
GET_THROTTLED: tuple[str, ...] = ("vcgencmd", "get_throttled")
READ_ADC: tuple[str, ...] = ("vcgencmd", "pmic_read_adc")
RASPBERRY_PI_5_ANSWERS: Answers = {
    GET_THROTTLED: "throttled=0xe0008\n",
    READ_ADC: (
        " 3V7_WL_SW_A current(0)=0.10000000A\n"
        "   3V3_SYS_A current(1)=0.20000000A\n"
        "  VDD_CORE_A current(7)=2.50000000A\n"
        " 3V7_WL_SW_V volt(8)=3.70000000V\n"
        "   3V3_SYS_V volt(9)=3.30000000V\n"
        "  VDD_CORE_V volt(15)=0.80000000V\n"
        "     EXT5V_V volt(24)=5.10000000V\n"
        "      BATT_V volt(25)=0.00000000V\n"
    ),
}

JETSON_NANO: Tree = {
    f"{POLICY}0/related_cpus": "0 1 2 3",
    f"{POLICY}0/scaling_governor": "schedutil",
    f"{POLICY}0/scaling_cur_freq": "1479000",
    f"{POLICY}0/cpuinfo_min_freq": "102000",
    f"{POLICY}0/cpuinfo_max_freq": "1479000",
    f"{THERMAL}/thermal_zone0/type": "AO-therm",
    f"{THERMAL}/thermal_zone0/temp": "52500",
    f"{THERMAL}/thermal_zone1/type": "CPU-therm",
    f"{THERMAL}/thermal_zone1/temp": "44000",
    f"{THERMAL}/thermal_zone2/type": "GPU-therm",
    f"{THERMAL}/thermal_zone2/temp": "43500",
    f"{THERMAL}/thermal_zone4/type": "PMIC-Die",
    f"{THERMAL}/thermal_zone4/temp": "100000",
    f"{THERMAL}/thermal_zone5/type": "thermal-fan-est",
    f"{THERMAL}/thermal_zone5/temp": "49000",
    f"{THERMAL}/cooling_device0/type": "pwm-fan",
    f"{THERMAL}/cooling_device0/cur_state": "3",
    f"{THERMAL}/cooling_device1/type": "thermal-cpufreq-0",
    f"{THERMAL}/cooling_device1/cur_state": "0",
    f"{THERMAL}/cooling_device2/type": "gpu-balanced",
    f"{THERMAL}/cooling_device2/cur_state": "0",
    f"{DEVFREQ}/57000000.gpu/cur_freq": "768000000",
    f"{DEVFREQ}/57000000.gpu/min_freq": "76800000",
    f"{DEVFREQ}/57000000.gpu/max_freq": "921600000",
    f"{DEVFREQ}/57000000.gpu/governor": "nvhost_podgov",
    f"{I2C}/ina3221x/6-0040/iio:device0/rail_name_0": "POM_5V_IN",
    f"{I2C}/ina3221x/6-0040/iio:device0/in_power0_input": "4321",
    f"{I2C}/ina3221x/6-0040/iio:device0/rail_name_1": "POM_5V_GPU",
    f"{I2C}/ina3221x/6-0040/iio:device0/in_power1_input": "80",
    f"{I2C}/ina3221x/6-0040/iio:device0/rail_name_2": "POM_5V_CPU",
    f"{I2C}/ina3221x/6-0040/iio:device0/in_power2_input": "1600",
}

JETSON_ORIN: Tree = {
    f"{POLICY}0/related_cpus": "0 1 2 3",
    f"{POLICY}0/scaling_governor": "schedutil",
    f"{POLICY}0/scaling_cur_freq": "1510400",
    f"{POLICY}0/cpuinfo_cur_freq": "1509000",
    f"{POLICY}0/cpuinfo_min_freq": "115200",
    f"{POLICY}0/cpuinfo_max_freq": "1510400",
    f"{POLICY}4/related_cpus": "4 5",
    f"{POLICY}4/scaling_governor": "performance",
    f"{POLICY}4/scaling_cur_freq": "729600",
    f"{POLICY}4/cpuinfo_cur_freq": "728000",
    f"{POLICY}4/cpuinfo_min_freq": "115200",
    f"{POLICY}4/cpuinfo_max_freq": "1984000",
    f"{THERMAL}/thermal_zone0/type": "cpu-thermal",
    f"{THERMAL}/thermal_zone0/temp": "51187",
    f"{THERMAL}/thermal_zone1/type": "gpu-thermal",
    f"{THERMAL}/thermal_zone1/temp": "50218",
    f"{THERMAL}/thermal_zone2/type": "cv0-thermal",
    f"{THERMAL}/thermal_zone2/temp": "-256000",
    f"{THERMAL}/thermal_zone8/type": "tj-thermal",
    f"{THERMAL}/thermal_zone8/temp": "52031",
    f"{THERMAL}/cooling_device0/type": "cpufreq-cpu0",
    f"{THERMAL}/cooling_device0/cur_state": "0",
    f"{THERMAL}/cooling_device1/type": "cpufreq-cpu4",
    f"{THERMAL}/cooling_device1/cur_state": "0",
    f"{THERMAL}/cooling_device2/type": "cpu-throttle-alert",
    f"{THERMAL}/cooling_device2/cur_state": "0",
    f"{THERMAL}/cooling_device3/type": "devfreq-17000000.gpu",
    f"{THERMAL}/cooling_device3/cur_state": "0",
    f"{DEVFREQ}/17000000.gpu/cur_freq": "612000000",
    f"{DEVFREQ}/17000000.gpu/min_freq": "306000000",
    f"{DEVFREQ}/17000000.gpu/max_freq": "918000000",
    f"{DEVFREQ}/17000000.gpu/governor": "performance",
    f"{DEVFREQ}/bwmgr/cur_freq": "3199000000",
    f"{DEVFREQ}/15340000.vic/cur_freq": "729600000",
    f"{THERMAL}/cooling_device10/type": "hot-surface-alert",
    f"{THERMAL}/cooling_device10/cur_state": "1",
    f"{HWMON}/hwmon3/name": "soctherm_oc",
    f"{HWMON}/hwmon3/oc1_event_cnt": "0",
    f"{HWMON}/hwmon3/oc1_throt_en": "1",
    f"{HWMON}/hwmon3/oc2_event_cnt": "9",
    f"{HWMON}/hwmon3/oc2_throt_en": "0",
    f"{HWMON}/hwmon3/oc3_event_cnt": "37",
    f"{HWMON}/hwmon3/oc3_throt_en": "1",
    f"{I2C}/ina3221/1-0040/hwmon/hwmon1/in1_label": "VDD_IN",
    f"{I2C}/ina3221/1-0040/hwmon/hwmon1/in1_input": "5000",
    f"{I2C}/ina3221/1-0040/hwmon/hwmon1/curr1_input": "1856",
    f"{I2C}/ina3221/1-0040/hwmon/hwmon1/in2_label": "VDD_CPU_GPU_CV",
    f"{I2C}/ina3221/1-0040/hwmon/hwmon1/in2_input": "5000",
    f"{I2C}/ina3221/1-0040/hwmon/hwmon1/curr2_input": "400",
    f"{I2C}/ina3221/1-0040/hwmon/hwmon1/in3_label": "VDD_SOC",
    f"{I2C}/ina3221/1-0040/hwmon/hwmon1/in3_input": "5000",
    f"{I2C}/ina3221/1-0040/hwmon/hwmon1/curr3_input": "300",
    # Of the newer driver: the shunts' voltages, and the sum of the currents.
    f"{I2C}/ina3221/1-0040/hwmon/hwmon1/in4_input": "9280",
    f"{I2C}/ina3221/1-0040/hwmon/hwmon1/curr4_input": "2556",
    f"{I2C}/ina3221/1-0040/hwmon/hwmon1/in7_label": "sum of shunt voltages",
    f"{I2C}/ina3221/1-0040/hwmon/hwmon1/in7_input": "12780",
}

JETSON_THOR: Tree = {
    f"{THERMAL}/thermal_zone0/type": "cpu-thermal",
    f"{THERMAL}/thermal_zone0/temp": "61000",
    f"{THERMAL}/thermal_zone1/type": "gpu-thermal",
    f"{THERMAL}/thermal_zone1/temp": "58500",
    f"{DEVFREQ}/gpu-gpc-0/cur_freq": "1575000000",
    f"{DEVFREQ}/gpu-gpc-0/max_freq": "1575000000",
    f"{DEVFREQ}/gpu-gpc-0/governor": "nvhost_podgov",
    f"{DEVFREQ}/gpu-gpc-1/cur_freq": "1386000000",
    f"{DEVFREQ}/gpu-gpc-1/max_freq": "1575000000",
    f"{DEVFREQ}/gpu-gpc-1/governor": "nvhost_podgov",
    f"{DEVFREQ}/gpu-nvd-0/cur_freq": "900000000",
    f"{DEVFREQ}/bwmgr/cur_freq": "4266000000",
}

X86_SERVER: Tree = {
    "proc/cpuinfo": (
        "processor\t: 0\nmodel name\t: Some CPU @ 2.10GHz\ncpu MHz\t\t: 2100.500\n\n"
        "processor\t: 1\nmodel name\t: Some CPU @ 2.10GHz\ncpu MHz\t\t: 2099.250\n\n"
    ),
}

X86_LAPTOP: Tree = {
    **{f"{CPU}/cpu{cpu}/topology/core_cpus_list": f"{cpu % 2},{cpu % 2 + 2}" for cpu in range(4)},
    **{f"{CPU}/cpu{cpu}/topology/package_cpus_list": "0-3" for cpu in range(4)},
    **{f"{CPU}/cpu{cpu}/thermal_throttle/core_throttle_count": str(3 + cpu % 2) for cpu in range(4)},
    **{f"{CPU}/cpu{cpu}/thermal_throttle/package_throttle_count": "20" for cpu in range(4)},
    **{f"{CPU}/cpu{cpu}/cpufreq/scaling_cur_freq": str(3000000 - 100000 * cpu) for cpu in range(4)},
    **{f"{CPU}/cpu{cpu}/cpufreq/scaling_governor": "powersave" for cpu in range(4)},
    f"{THERMAL}/thermal_zone0/type": "acpitz",
    f"{THERMAL}/thermal_zone0/temp": "97000",
    f"{THERMAL}/thermal_zone1/type": "x86_pkg_temp",
    f"{THERMAL}/thermal_zone1/temp": "71000",
    f"{HWMON}/hwmon0/name": "coretemp",
    f"{HWMON}/hwmon0/temp1_input": "72000",
}

X86_WORKSTATION: Tree = {
    **X86_SERVER,
    f"{THERMAL}/thermal_zone0/type": "x86_pkg_temp",
    f"{THERMAL}/thermal_zone0/temp": "71000",
    f"{THERMAL}/cooling_device0/type": "Processor",
    f"{THERMAL}/cooling_device0/cur_state": "1",
}
WORKSTATION_CARD: Card = {
    (nvml.CLOCK, nvml.MULTIPROCESSORS): 1695,
    (nvml.CLOCK, nvml.MEMORY): 9501,
    (nvml.MOST_CLOCK, nvml.MULTIPROCESSORS): 2100,
    (nvml.TEMPERATURE, nvml.ON_CHIP): 67,
    (nvml.POWER,): 349_500,
    (nvml.REASONS,): 0x4 | 0x1,
}

EMPTY: Tree = {}

GARBAGE: Tree = {
    f"{POLICY}0/related_cpus": "all of them",
    f"{POLICY}0/scaling_governor": Odd.FOLDER,
    f"{POLICY}0/scaling_cur_freq": "<unknown>",
    f"{POLICY}0/cpuinfo_cur_freq": Odd.PIPE,
    f"{POLICY}0/cpuinfo_min_freq": "",
    f"{POLICY}0/cpuinfo_max_freq": "-1",
    f"{POLICY}1/scaling_cur_freq": "0",
    "proc/cpuinfo": "cpu MHz : fast\nprocessor : x\ncpu MHz : 1.2.3\ncpu MHz : " + "9" * 400 + "\n",
    f"{THERMAL}/thermal_zone0/type": "cpu-thermal",
    f"{THERMAL}/thermal_zone0/temp": "warm",
    f"{THERMAL}/thermal_zone1/type": Odd.LOOP,
    f"{THERMAL}/thermal_zone1/temp": "900000",
    f"{THERMAL}/thermal_zone2/type": "soc-thermal",
    f"{THERMAL}/thermal_zone2/temp": Odd.PIPE,
    f"{THERMAL}/cooling_device0/type": "cpufreq-cpu0",
    f"{THERMAL}/cooling_device0/cur_state": "\0\xff",
    f"{THERMAL}/cooling_device1/type": Odd.FOLDER,
    f"{HWMON}/hwmon0": "a file in a folder's place",
    f"{HWMON}/hwmon1/name": "coretemp",
    f"{HWMON}/hwmon1/temp1_input": Odd.LOOP,
    f"{HWMON}/hwmon2/name": "rpi_volt",
    f"{HWMON}/hwmon2/in0_lcrit_alarm": "no",
    f"{HWMON}/hwmon3/oc1_event_cnt": "4 or 5",
    f"{HWMON}/hwmon3/oc2_event_cnt": "-3",
    f"{CPU}/cpu0/thermal_throttle/core_throttle_count": "9" * 5000,
    FIRMWARE: "fffffffff",
    f"{DEVFREQ}/17000000.gpu/cur_freq": "fast",
    f"{DEVFREQ}/17000000.gpu/max_freq": Odd.FOLDER,
    f"{DEVFREQ}/bwmgr/cur_freq": "0",
    f"{I2C}/ina3221x/6-0040/iio:device0/rail_name_0": "POM_5V_IN",
    f"{I2C}/ina3221x/6-0040/iio:device0/in_power0_input": "9" * 400,
    f"{I2C}/ina3221/1-0040/hwmon/hwmon1/in1_label": "VDD_IN",
    f"{I2C}/ina3221/1-0040/hwmon/hwmon1/in1_input": Odd.FOLDER,
    f"{I2C}/ina3221/1-0040/hwmon/hwmon1/curr1_input": "1856",
}
GARBAGE_CARD: Card = {
    (nvml.CLOCK, nvml.MULTIPROCESSORS): 0,
    (nvml.CLOCK, nvml.MEMORY): 1 << 32,
    (nvml.MOST_CLOCK, nvml.MULTIPROCESSORS): 1 << 32,
    (nvml.TEMPERATURE, nvml.ON_CHIP): 255,
    (nvml.POWER,): 1 << 32,
}
GARBAGE_ANSWERS: Answers = {
    GET_THROTTLED: "throttled=0xhello\n",
    READ_ADC: "VDD_CORE_A current(7)=" + "9" * 400 + "A\nVDD_CORE_V volt(15)=much\n",
}


def plant(root: Path, tree: Tree) -> Path:
    """Writes the tree, over what is there."""
    for name, content in tree.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if content is Odd.FOLDER:
            path.mkdir()
        elif content is Odd.PIPE:
            os.mkfifo(path)
        elif content is Odd.LOOP:
            path.symlink_to(path.name)
        else:
            path.write_text(f"{content}\n")
    return root


def answering(answers: Answers) -> Run:
    """Programs that print what is in the table; there are no others."""
    return lambda arguments: answers.get(tuple(arguments))


def asking(card: Card) -> Ask:
    """A card that knows what is in the table."""
    return lambda function, *arguments: card.get((function, *arguments))


def machine(root: Path, tree: Tree, cpus: Sequence[int] | None = None, answers: Answers | None = None) -> Machine:
    """The tree, as the finders of sources want it."""
    chosen = None if cpus is None else frozenset(cpus)
    return Machine(str(plant(root, tree)), chosen, answering(answers or {}), asking({}))
