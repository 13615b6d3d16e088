"""Reports of boards, as ``probe.sh`` prints them there; what a test does not care about is left out."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping

Values = Mapping[str, str]
"""Key -> value; the lines of the value become lines of the report."""

BOOKWORM = 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nNAME="Debian GNU/Linux"\nID=debian'
X86_V4 = "fpu avx avx2 fma bmi1 bmi2 f16c abm movbe xsave avx512f avx512bw avx512cd avx512dq avx512vl"


def report_of(values: Values) -> str:
    """The text that ``probe.sh`` would print; a value of several lines has its key on each."""
    lines = [f"{key}={line}" for key, value in values.items() for line in value.split("\n")]
    return "\n".join(["", "intbert-probe=1", *lines, "end=1", ""])


def arm_cpuinfo(*cores: tuple[int, int], features: str = "fp asimd evtstrm crc32 cpuid") -> str:
    """``/proc/cpuinfo`` of cores by (implementer, part)."""
    return "\n".join(
        f"processor\t: {number}\nBogoMIPS\t: 108.00\nFeatures\t: {features}\nCPU implementer\t: {implementer:#04x}\n"
        f"CPU architecture: 8\nCPU variant\t: 0x0\nCPU part\t: {part:#05x}\nCPU revision\t: 3\n"
        for number, (implementer, part) in enumerate(cores)
    )


def auxiliary_vector(hwcap: int, hwcap2: int = 0) -> str:
    """How od shows that of a 64-bit program: AT_HWCAP, AT_PAGESZ, AT_HWCAP2, AT_NULL."""
    data = struct.pack("<8Q", 16, hwcap, 6, 4096, 26, hwcap2, 0, 0)
    return "\n".join("".join(f" {byte:02x}" for byte in data[at : at + 16]) for at in range(0, len(data), 16))


def linux(machine: str, **values: str) -> dict[str, str]:
    """A 64-bit Debian 12 with 20 GB free, one gigabyte of memory, and its own Python."""
    return {
        "machine": machine,
        "system": "Linux",
        "kernel": "6.1.0-18",
        "long_bit": "64",
        "elf_class": " 02",
        "libc": "glibc 2.36",
        "os_release": BOOKWORM,
        "boot_id": "0c3a2f80-37f5-4a53-9a0b-0d2c6a2f4c11",
        "uptime": "5121.42 18213.90",
        "time": "1750000000",
        "nproc": "4",
        "meminfo": "MemTotal:         946432 kB\nMemFree:          114264 kB\nMemAvailable:     601228 kB",
        "home": "/home/pi",
        "df": "Filesystem     1024-blocks    Used Available Capacity Mounted on\n"
        "/dev/root         30473604 6894964  22320704      24% /",
        "python": "cpython 3.11.2 64 1 /usr/bin/python3.11",
        **values,
    }


def rpi4() -> dict[str, str]:
    return linux(
        "aarch64",
        kernel="6.6.20+rpt-rpi-v8",
        model="Raspberry Pi 4 Model B Rev 1.4",
        compatible="raspberrypi,4-model-b\nbrcm,bcm2711",
        cpuinfo=arm_cpuinfo(*[(0x41, 0xD08)] * 4),
        auxv=auxiliary_vector(0x887),
        meminfo="MemTotal:        3884320 kB\nMemAvailable:    3284720 kB",
        policy="ondemand 600000 1800000",
        thermal="cpu-thermal",
        vcgencmd="throttled",
    )


def rpi5() -> dict[str, str]:
    return linux(
        "aarch64",
        kernel="6.6.31+rpt-rpi-2712",
        model="Raspberry Pi 5 Model B Rev 1.0",
        cpuinfo=arm_cpuinfo(*[(0x41, 0xD0B)] * 4, features="fp asimd asimddp"),
        auxv=auxiliary_vector(0x119FFF),
        meminfo="MemTotal:        8245856 kB\nMemAvailable:    7000000 kB",
        vcgencmd="throttled\npmic",
    )


def rpi3_with_32_bit_programs() -> dict[str, str]:
    """Raspberry Pi OS (32-bit) starts a 64-bit kernel wherever the processor can."""
    return linux(
        "aarch64",
        model="Raspberry Pi 3 Model B Plus Rev 1.3",
        long_bit="32",
        elf_class=" 01",
        cpuinfo=arm_cpuinfo(*[(0x41, 0xD03)] * 4, features="half thumb fastmult vfp edsp neon vfpv3"),
        auxv=" 10 00 00 00 d6 b0 3f 00 06 00 00 00 00 10 00 00\n 00 00 00 00 00 00 00 00",
        python="cpython 3.11.2 32 1 /usr/bin/python3.11",
    )


def rpi_zero() -> dict[str, str]:
    return linux(
        "armv6l",
        model="Raspberry Pi Zero W Rev 1.1",
        long_bit="32",
        elf_class=" 01",
        cpuinfo="processor\t: 0\nmodel name\t: ARMv6-compatible processor rev 7 (v6l)\nCPU implementer\t: 0x41\n"
        "CPU part\t: 0xb76",
        nproc="1",
        meminfo="MemTotal:         440068 kB",
        python="cpython 3.11.2 32 1 /usr/bin/python3.11",
    )


def jetson_nano() -> dict[str, str]:
    """JetPack 4.6: Ubuntu 18.04, no nvidia-smi."""
    return linux(
        "aarch64",
        kernel="4.9.253-tegra",
        os_release='NAME="Ubuntu"\nPRETTY_NAME="Ubuntu 18.04.6 LTS"',
        libc="glibc 2.27",
        model="NVIDIA Jetson Nano Developer Kit",
        compatible="nvidia,p3450-0000\nnvidia,jetson-nano\nnvidia,tegra210",
        cpuinfo=arm_cpuinfo(*[(0x41, 0xD07)] * 4),
        auxv=auxiliary_vector(0x887),
        meminfo="MemTotal:        4059292 kB\nMemAvailable:    2812340 kB",
        python="cpython 3.6.9 64 1 /usr/bin/python3",
        policy="schedutil 102000 1479000",
        thermal="AO-therm\nCPU-therm\nGPU-therm",
        rail="POM_5V_IN\nPOM_5V_GPU\nPOM_5V_CPU",
        l4t="# R32 (release), REVISION: 7.1, GCID: 29818004, BOARD: t210ref, EABI: aarch64, DATE: Sat Feb 19 2022",
        nvidia_l4t_core="32.7.1-20220219090432",
        cudart="/usr/local/cuda-10.2/targets/aarch64-linux/lib/libcudart.so.10.2\n"
        "/usr/local/cuda-10.2/targets/aarch64-linux/lib/libcudart.so.10.2.300",
    )


def jetson_xavier_nx() -> dict[str, str]:
    """JetPack 5: Ubuntu 20.04 with a Python of the user's."""
    return linux(
        "aarch64",
        kernel="5.10.104-tegra",
        libc="glibc 2.31",
        model="NVIDIA Jetson Xavier NX Developer Kit",
        compatible="nvidia,p3509-0000+p3668-0000\nnvidia,tegra194",
        cpuinfo=arm_cpuinfo(*[(0x4E, 0x004)] * 6),
        auxv=auxiliary_vector(0x9FF),
        nproc="6",
        meminfo="MemTotal:        7016840 kB",
        python="cpython 3.8.10 64 0 /usr/bin/python3\ncpython 3.12.3 64 1 /home/pi/.local/bin/python3.12",
        l4t="# R35 (release), REVISION: 1.0, GCID: 31346300, BOARD: t186ref, EABI: aarch64",
    )


def jetson_orin() -> dict[str, str]:
    """JetPack 6: nvidia-smi is there, and tells no compute capability."""
    return linux(
        "aarch64",
        kernel="5.15.136-tegra",
        libc="glibc 2.35",
        model="NVIDIA Jetson Orin Nano Developer Kit",
        compatible="nvidia,p3768-0000+p3767-0005\nnvidia,p3767-0005\nnvidia,tegra234",
        cpuinfo=arm_cpuinfo(*[(0x41, 0xD42)] * 6, features="fp asimd asimddp"),
        auxv=auxiliary_vector(0x1119FFF),
        nproc="6",
        meminfo="MemTotal:        7802024 kB",
        python="cpython 3.10.12 64 1 /usr/bin/python3.10",
        rail="VDD_IN\nVDD_CPU_GPU_CV\nVDD_SOC",
        l4t="# R36 (release), REVISION: 3.0, GCID: 36191598, BOARD: generic, EABI: aarch64",
        nvidia_jetpack="6.0+b106",
        gpu_name="Orin (nvgpu)",
        gpu_driver_version="540.3.0",
        gpu_compute_cap="[N/A]",
        cuda_version='{\n   "cuda" : {\n      "name" : "CUDA SDK",\n      "version" : "12.2.2"\n   },\n'
        '   "cuda_cudart" : {\n      "name" : "CUDA Runtime (cudart)",\n      "version" : "12.2.140"\n   }\n}',
    )


def x86_server() -> dict[str, str]:
    core = f"processor\t: 0\nmodel name\t: Intel(R) Xeon(R) Platinum 8480+\nflags\t\t: {X86_V4} avx512_vnni"
    return linux(
        "x86_64",
        kernel="6.8.0-31-generic",
        libc="glibc 2.39",
        cpuinfo=f"{core}\n\n{core}",
        auxv=auxiliary_vector(0x1F8BFBFF),
        nproc="112",
        meminfo="MemTotal:       527983256 kB",
        home="/root",
        gpu_name="NVIDIA H100 80GB HBM3",
        gpu_driver_version="550.54.15",
        gpu_compute_cap="9.0",
        cudart="/usr/local/cuda-12.4/lib64/libcudart.so.12\n/usr/local/cuda-12.4/lib64/libcudart.so.12.4.127",
    )


def alpine() -> dict[str, str]:
    return linux(
        "aarch64",
        os_release='NAME="Alpine Linux"\nPRETTY_NAME="Alpine Linux v3.20"',
        libc="undefined\nmusl libc (aarch64)\nVersion 1.2.5\nDynamic Program Loader",
        cpuinfo=arm_cpuinfo(*[(0x41, 0xD08)] * 4),
        auxv=auxiliary_vector(0x887),
    )


def graviton3() -> dict[str, str]:
    return linux(
        "aarch64",
        libc="glibc 2.34",
        cpuinfo=arm_cpuinfo(*[(0x41, 0xD40)] * 8),
        auxv=auxiliary_vector(0x119FFF | 1 << 22, 1 << 13),
        nproc="8",
        meminfo="MemTotal:       15953188 kB",
    )


BOARDS: Mapping[str, Callable[[], dict[str, str]]] = {
    "rpi4": rpi4,
    "rpi5": rpi5,
    "rpi3-32-bit-programs": rpi3_with_32_bit_programs,
    "rpi-zero": rpi_zero,
    "jetson-nano": jetson_nano,
    "jetson-xavier-nx": jetson_xavier_nx,
    "jetson-orin": jetson_orin,
    "x86-server": x86_server,
    "alpine": alpine,
    "graviton3": graviton3,
}
"""Name -> the values of its report, freshly made."""
