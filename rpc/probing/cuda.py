"""The NVIDIA GPU of a board, from its report."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

from ...targets.cuda import Release
from .facts import CudaFacts
from .report import Report

# Words of the device tree's `compatible` (the chip) -> compute capability (NVIDIA's table of CUDA GPUs).
_CHIPS: Mapping[str, tuple[int, int]] = MappingProxyType(
    {"tegra210": (5, 3), "tegra186": (6, 2), "tegra194": (7, 2), "tegra234": (8, 7), "tegra264": (11, 0)}
)
# The same by the board's name, for a report without `compatible`. "Orin Nano" is no Nano, so that one comes last.
_BOARDS: Mapping[str, tuple[int, int]] = MappingProxyType(
    {"Thor": (11, 0), "Orin": (8, 7), "Xavier": (7, 2), "TX2": (6, 2), "TX1": (5, 3), "Nano": (5, 3)}
)

_L4T = re.compile(r"#\s*R(\d+)\b.*?REVISION:\s*(\d+(?:\.\d+)*)")
_VERSION = re.compile(r"(\d{1,3})\.(\d{1,3})")


def cuda_facts(report: Report, model: str | None) -> CudaFacts | None:
    """What the report says of an NVIDIA GPU; None when there is neither a working driver nor a Jetson."""
    sm_of_jetson = _sm_of_jetson(report, model)
    l4t = _l4t(report)
    gpu = next(report.shown("gpu_name"), None)
    if sm_of_jetson is None and l4t is None and gpu is None:
        return None
    sm = _version(next(report.shown("gpu_compute_cap"), ""))
    driver = next(report.shown("gpu_driver_version"), None)
    return CudaFacts(
        gpu=gpu,
        sm=sm_of_jetson or sm,
        driver=driver,
        runtime=_runtime(report),
        l4t=l4t,
        jetpack=report.line("nvidia_jetpack"),
        driver_release=_driver_release(report),
    )


def _sm_of_jetson(report: Report, model: str | None) -> tuple[int, int] | None:
    compatible = report.text("compatible")
    for chip, sm in _CHIPS.items():
        if f"nvidia,{chip}" in compatible:
            return sm
    if model is not None and ("nvidia" in model.lower() or "jetson" in model.lower()):
        return next((sm for word, sm in _BOARDS.items() if word.lower() in model.lower()), None)
    return None


def _l4t(report: Report) -> str | None:
    """``32.7.1``: by the release file, else by the version of the package, ``32.7.1-20220219090432``."""
    found = _L4T.search(report.text("l4t"))
    if found is not None:
        return f"{found[1]}.{found[2]}"
    package = re.match(r"\d+(?:\.\d+)+", report.text("nvidia_l4t_core"))
    return package[0] if package else None


def _driver_release(report: Report) -> Release | None:
    """From what cuDriverGetVersion sets: 1000 times the major version and 10 times the minor one."""
    version = report.integer("cuda_driver")
    return None if version is None or not 1000 <= version < 100_000 else (version // 1000, version % 1000 // 10)


def _runtime(report: Report) -> Release | None:
    """By ``version.json``, else the newest of the libraries whose names tell more than the major version."""
    found = re.search(r'"cuda_cudart"[^}]*?"version"\s*:\s*"(\d+)\.(\d+)', report.text("cuda_version"))
    if found is not None:
        return int(found[1]), int(found[2])
    versions = [_version(path.rpartition("libcudart.so.")[2]) for path in report.lines("cudart")]
    return max((version for version in versions if version is not None), default=None)


def _version(text: str) -> tuple[int, int] | None:
    found = _VERSION.match(text)
    return (int(found[1]), int(found[2])) if found else None
