"""``probe.sh`` itself: on this machine, on made-up ones, and where half of what it asks for fails."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import intbert.rpc.probing
import pytest
from intbert.rpc.probing import BoardFacts, ClockPolicy, CudaFacts, best_python, parse_report
from intbert.targets.features import host_arch, host_features

SCRIPT = resources.files(intbert.rpc.probing).joinpath("probe.sh").read_text(encoding="utf-8")
SECONDS = 60
"""A script that waits for something is found out by this limit."""

SHELLS = {"sh": ["sh"], "dash": ["dash"], "busybox": ["busybox", "sh"], "bash-as-sh": ["bash", "--posix"]}


def run(*, shell: str = "sh", script: str = SCRIPT, environment: dict[str, str] | None = None) -> str:
    """What the script prints when it comes through the standard input of a shell."""
    if shutil.which(SHELLS[shell][0]) is None:
        pytest.skip(f"this machine has no {SHELLS[shell][0]}")
    done = subprocess.run(
        [*SHELLS[shell], "-s"],
        input=script,
        env={**os.environ, **(environment or {})},
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        timeout=SECONDS,
        check=True,
    )
    assert done.stderr == ""
    return done.stdout


@dataclass(frozen=True)
class MadeUp:
    """A machine of files and commands below ``folder``; what is not there is this machine's."""

    folder: Path

    def file(self, path: str, content: str | bytes) -> None:
        """Makes the file ``path``, absolute on the machine."""
        at = self.folder / "root" / path.lstrip("/")
        at.parent.mkdir(parents=True, exist_ok=True)
        at.write_bytes(content if isinstance(content, bytes) else content.encode())

    def command(self, name: str, body: str) -> None:
        """Makes a program that is found before this machine's."""
        at = self.folder / "bin" / name
        at.parent.mkdir(exist_ok=True)
        at.write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
        at.chmod(0o755)

    def report(self, shell: str = "sh") -> str:
        """What the script prints there."""
        home = self.folder / "home"
        home.mkdir(exist_ok=True)
        for name in ("self/auxv", "cpuinfo", "meminfo"):
            if not (self.folder / "root" / "proc" / name).exists():
                self.file(f"/proc/{name}", Path("/proc", name).read_bytes())
        path = f"{self.folder / 'bin'}:{os.environ['PATH']}"
        environment = {"INTBERT_PROBE_ROOT": str(self.folder / "root"), "PATH": path, "HOME": str(home)}
        return run(shell=shell, environment=environment)

    def facts(self, shell: str = "sh") -> BoardFacts:
        """What is read from that."""
        return parse_report(self.report(shell))


@pytest.fixture
def machine(tmp_path: Path) -> MadeUp:
    return MadeUp(tmp_path)


@pytest.mark.parametrize("shell", SHELLS)
def test_this_machine(shell):
    facts = parse_report(run(shell=shell))
    assert (facts.system, facts.kernel, facts.arch) == ("Linux", os.uname().release, host_arch())
    assert facts.features == host_features()
    assert facts.cores == len(os.sched_getaffinity(0))
    assert facts.memory_mb == os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20
    assert facts.home == os.environ["HOME"]
    assert facts.free_mb == pytest.approx(shutil.disk_usage(facts.home).free >> 20, abs=2000)
    assert facts.bits == (64 if sys.maxsize > 1 << 32 else 32)
    assert facts.libc is not None
    assert facts.boot_id == Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def test_pythons_of_this_machine():
    folder = Path(sys.base_prefix) / "bin"
    facts = parse_report(run(environment={"PATH": f"{folder}:{os.environ['PATH']}"}))
    python = best_python(facts)
    assert python is not None
    said = subprocess.run(
        [python.path, "-c", "import sys; print(*sys.version_info[:3])"], capture_output=True, text=True
    )
    assert tuple(map(int, said.stdout.split())) == python.version
    assert sys.version_info[:3] in [python.version for python in facts.pythons]


CALL = SCRIPT.rindex("\nprobe\n") + 1


@pytest.mark.parametrize("length", [0, len(SCRIPT) // 3, len(SCRIPT) // 2, CALL - 20, CALL, CALL + len("prob")])
def test_a_script_that_arrives_cut_off_does_nothing(length: int):
    done = subprocess.run(
        ["sh", "-s"], input=SCRIPT[:length], capture_output=True, text=True, timeout=SECONDS, check=False
    )
    assert done.stdout == ""


def test_nothing_is_written(machine: MadeUp):
    def tree() -> dict[Path, tuple[int, int]]:
        return {path: (path.lstat().st_mtime_ns, path.lstat().st_size) for path in machine.folder.rglob("*")}

    machine.file("/etc/os-release", "NAME=Test")
    machine.report()
    before = tree()
    machine.report()
    assert tree() == before


@pytest.mark.parametrize("shell", ["sh", "busybox"])
def test_raspberry_pi_with_its_sensors(machine: MadeUp, shell: str):
    machine.command("uname", 'case "$1" in -m) echo aarch64 ;; -s) echo Linux ;; -r) echo 6.6.31+rpt-rpi-2712 ;; esac')
    machine.file("/sys/firmware/devicetree/base/model", b"Raspberry Pi 5 Model B Rev 1.0\0")
    machine.file("/etc/os-release", 'PRETTY_NAME="Raspbian"')
    for policy, governor in (("policy0", "ondemand"), ("policy4", "performance")):
        folder = f"/sys/devices/system/cpu/cpufreq/{policy}"
        machine.file(f"{folder}/scaling_governor", f"{governor}\n")
        machine.file(f"{folder}/scaling_min_freq", "1500000\n")
        machine.file(f"{folder}/scaling_max_freq", "2400000\n")
    machine.file("/sys/class/thermal/thermal_zone0/type", "cpu-thermal\n")
    machine.command("vcgencmd", '[ "$1" = get_throttled ] && echo throttled=0x0')
    facts = machine.facts(shell)
    assert (facts.arch, facts.kernel, facts.distribution) == ("aarch64", "6.6.31+rpt-rpi-2712", "Raspbian")
    assert facts.model == "Raspberry Pi 5 Model B Rev 1.0"
    assert facts.clock_policies == (ClockPolicy("ondemand", 1500, 2400), ClockPolicy("performance", 1500, 2400))
    assert facts.sensors == ("temperature: cpu-thermal", "throttling: vcgencmd")


@pytest.mark.parametrize("shell", ["sh", "busybox"])
def test_jetson(machine: MadeUp, shell: str):
    machine.file("/proc/device-tree/model", b"NVIDIA Jetson Nano Developer Kit\0")
    machine.file("/proc/device-tree/compatible", b"nvidia,p3450-0000\0nvidia,tegra210\0")
    machine.file("/etc/nv_tegra_release", "# R32 (release), REVISION: 7.1, GCID: 29818004, BOARD: t210ref\n")
    machine.file("/sys/bus/i2c/drivers/ina3221x/6-0040/iio:device0/rail_name_0", "POM_5V_IN\n")
    machine.file("/sys/class/hwmon/hwmon3/name", "ina3221\n")
    machine.file("/sys/class/hwmon/hwmon3/in1_label", "VDD_IN\n")
    machine.file("/sys/class/hwmon/hwmon4/name", "nct7802\n")
    machine.file("/sys/class/hwmon/hwmon4/in1_label", "no rail\n")
    machine.file("/usr/local/cuda-10.2/targets/aarch64-linux/lib/libcudart.so.10.2.300", "")
    machine.command("dpkg-query", '[ "$4" = nvidia-jetpack ] && printf 4.6.1-b110')
    machine.command("nvidia-smi", "echo no devices were found; exit 6")
    machine.command("python3", 'case "$*" in *libcuda.so.1*cuDriverGetVersion*) echo 10020 ;; esac')
    facts = machine.facts(shell)
    assert facts.cuda == CudaFacts(None, (5, 3), None, (10, 2), "32.7.1", "4.6.1-b110", (10, 2))
    assert facts.sensors == ("power: VDD_IN", "power: POM_5V_IN")


def test_gpu_of_an_old_driver(machine: MadeUp):
    machine.command("nvidia-smi", 'case "$1" in *=name) echo T4 ;; *=driver_version) echo 470.1 ;; *) exit 2 ;; esac')
    cuda = machine.facts().cuda
    assert cuda is not None
    assert (cuda.gpu, cuda.driver, cuda.sm) == ("T4", "470.1", None)


def test_a_command_that_never_ends(machine: MadeUp):
    machine.command("nvidia-smi", "trap '' TERM; sleep 1000")
    assert machine.facts().cuda is None


def test_commands_that_read_find_nothing_to_read(machine: MadeUp):
    machine.command("nvidia-smi", "cat; echo GPU")
    for python in ("python3", "python3.10"):
        machine.command(python, "cat; echo cpython 3.10.0 64 1")
    facts = machine.facts()
    assert facts.cuda is not None
    assert facts.cuda.gpu == "GPU"
    assert str(machine.folder / "bin" / "python3.10") in [python.path for python in facts.pythons]


def test_python_that_uv_installed_off_the_path(machine: MadeUp):
    path = machine.folder / "home/.local/share/uv/python/cpython-3.14.0-linux-aarch64-gnu/bin/python3"
    path.parent.mkdir(parents=True)
    path.write_text("#!/bin/sh\necho cpython 3.14.99 64 1\n")
    path.chmod(0o755)
    python = best_python(machine.facts())
    assert python is not None
    assert python.path == str(path)


@pytest.mark.parametrize(
    "missing",
    [
        ["od"],
        ["nproc"],
        ["getconf", "ldd"],
        ["readlink"],
        ["timeout"],
        ["df"],
        ["date"],
        ["python3", *(f"python3.{minor}" for minor in range(10, 15))],
        ["od", "nproc", "getconf", "ldd", "readlink", "timeout", "df", "date", "cat", "head", "tail"],
    ],
    ids="+".join,
)
def test_without_some_of_the_commands(machine: MadeUp, missing: list[str]):
    for name in missing:
        machine.command(name, "echo not found >&2; exit 127")
    facts = machine.facts()
    assert facts.arch == host_arch()
    assert facts.memory_mb == os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20
    assert (facts.free_mb is None) == ("df" in missing)


@pytest.mark.parametrize("shell", ["sh", "busybox"])
def test_hostile_files(machine: MadeUp, shell: str):
    hostile = (
        b"Pi\nend=1\n\nintbert-probe=1\nhome=/evil\n'; touch evil; $(touch evil) `touch evil` %s %n \\n \x1b[2J\xff\0"
    )
    for path in ("/proc/device-tree/model", "/etc/os-release", "/sys/class/thermal/thermal_zone0/type"):
        machine.file(path, hostile)
    facts = machine.facts(shell)
    assert facts.home == str(machine.folder / "home")
    assert facts.model is not None
    assert facts.model.startswith(
        "Pi end=1 intbert-probe=1 home=/evil '; touch evil; $(touch evil) `touch evil` %s %n \\n"
    )
    assert facts.model.isprintable()
    assert not list(machine.folder.rglob("evil"))
