"""CUDA compilers: nvcc where it is installed, and NVRTC from PyPI; neither needs a GPU.

What they make is a fatbin: machine code for the named chip, and PTX, which the driver compiles for later ones.

A driver loads the code of no later major release, and each release of compilers has dropped old chips and added new
ones. So several may be installed, and :func:`compiler_for` takes the one that suits the chip and its driver.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import re
import shutil
import subprocess
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ..errors import ToolchainError
from .cuda import Cuda, Release, loads_machine_code

INSTALL = "run `pip install 'intbert[cuda]'`, or install NVIDIA's CUDA toolkit (nvcc)"
INSTALL_CUDA_12 = "run `pip install nvidia-cuda-nvrtc-cu12 nvidia-nvfatbin`"
INSTALL_CUDA_13 = "run `pip install nvidia-cuda-nvrtc nvidia-nvfatbin`"
OLDEST_RELEASE: Release = (12, 0)
"""Earlier compilers are passed over: TVM's runtime calls cuTensorMapEncodeTiled, which drivers before this one lack."""
OLDEST_OF_CUDA_13 = 75
"""Compute capability: CUDA 13 dropped what is older."""

# A product and a sum must be rounded apart: the operators' floats are defined so.
_OPTIONS = ("--fmad=false", "--std=c++17", "--diag-suppress=177")  # 177: a variable that is not used
# What TVM's code includes when NVRTC compiles it lies in packages of 20 MB; this is all that it takes from there.
_HEADERS: Mapping[str, str] = MappingProxyType(
    {
        "sm_61_intrinsics.h": "",  # included for __dp4a, which NVRTC knows
        "cuda/std/cstdint": """
namespace cuda { namespace std {
typedef signed char int8_t; typedef short int16_t; typedef int int32_t; typedef long long int64_t;
typedef unsigned char uint8_t; typedef unsigned short uint16_t; typedef unsigned uint32_t;
typedef unsigned long long uint64_t;
} }
""",
        "cuda/std/type_traits": """
namespace cuda { namespace std {
template <class, class> struct is_same { static constexpr bool value = false; };
template <class A> struct is_same<A, A> { static constexpr bool value = true; };
template <class A, class B> inline constexpr bool is_same_v = is_same<A, B>::value;
template <class> struct is_integral;
template <class> struct is_signed;
template <class> struct is_unsigned;
template <class> struct is_floating_point;
template <bool, class A = void> struct enable_if {};
template <class A> struct enable_if<true, A> { typedef A type; };
template <bool, class A, class B> struct conditional { typedef A type; };
template <class A, class B> struct conditional<false, A, B> { typedef B type; };
} }
""",
    }
)
# Of PTX, machine code is not compressed. The library's own choice is Zstandard, which drivers before 550.54 (CUDA 12.4)
# do not read; "speed" is LZ4, as ever.
_PACKING = ("-compress-mode=speed",)
_CHIP = re.compile(r"sm_(\d+)")


@dataclass(frozen=True)
class CudaBinary:
    """What was compiled: ``fatbin`` is what the driver loads, ``cubin`` the machine code in it, an ELF file."""

    compiler: str
    fatbin: bytes
    cubin: bytes
    ptx: str


class CudaCompiler(ABC):
    """Compiles CUDA C++."""

    @property
    @abstractmethod
    def title(self) -> str:
        """What it is called."""

    @property
    @abstractmethod
    def release(self) -> Release:
        """The CUDA release that it belongs to: drivers of an older major version do not load what it makes."""

    @property
    def name(self) -> str:
        """With its release."""
        return "{} {}.{}".format(self.title, *self.release)

    @abstractmethod
    def chips(self) -> frozenset[int]:
        """The compute capabilities that it makes machine code for."""

    @abstractmethod
    def compile(self, source: str, gpu: Cuda) -> CudaBinary:
        """Raises ToolchainError with the compiler's own words where it fails."""


@dataclass(frozen=True)
class Nvcc(CudaCompiler):
    """The compiler of NVIDIA's toolkit, as a command."""

    command: str

    @property
    def title(self) -> str:
        return "nvcc"

    @property
    def release(self) -> Release:
        found = re.search(r"release (\d+)\.(\d+)", _run([self.command, "--version"]))
        if found is None:
            raise ToolchainError(f"{self.command} does not say which release it is; {INSTALL}")
        return int(found[1]), int(found[2])

    def chips(self) -> frozenset[int]:
        return frozenset(int(chip) for chip in _CHIP.findall(_run([self.command, "--list-gpu-code"])))

    def compile(self, source: str, gpu: Cuda) -> CudaBinary:
        with tempfile.TemporaryDirectory(prefix="intbert-cuda-") as name:
            folder = Path(name)
            file, fatbin = folder / "kernels.cu", folder / "kernels.fatbin"
            file.write_text(source, encoding="utf-8")
            code = f"arch=compute_{gpu.sm},code=[sm_{gpu.sm},compute_{gpu.sm}]"
            keep = ["--keep", "--keep-dir", name]
            _run(
                [
                    self.command,
                    "--fatbin",
                    "--std=c++17",
                    *_OPTIONS,
                    "-gencode",
                    code,
                    *keep,
                    str(file),
                    "-o",
                    str(fatbin),
                ]
            )
            (cubin,), (ptx,) = folder.glob("*.cubin"), folder.glob("*.ptx")
            return CudaBinary(self.name, fatbin.read_bytes(), cubin.read_bytes(), ptx.read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Nvrtc(CudaCompiler):
    """The compiler as a library, of PyPI's nvidia-cuda-nvrtc."""

    path: Path
    fatbin_path: Path
    """nvFatbin: puts machine code and PTX into one file."""

    @property
    def title(self) -> str:
        return "NVRTC"

    @property
    def release(self) -> Release:
        major, minor = ctypes.c_int(), ctypes.c_int()
        _check(self._library.nvrtcVersion(ctypes.byref(major), ctypes.byref(minor)), "nvrtcVersion")
        return major.value, minor.value

    @property
    def _library(self) -> Any:
        # It opens this one by its name, which the loader does not find unless it is loaded already.
        for builtins in self.path.parent.glob("libnvrtc-builtins.so.*"):
            _loaded(builtins)
        return _loaded(self.path)

    def chips(self) -> frozenset[int]:
        count = ctypes.c_int()
        _check(self._library.nvrtcGetNumSupportedArchs(ctypes.byref(count)), "nvrtcGetNumSupportedArchs")
        found = (ctypes.c_int * count.value)()
        _check(self._library.nvrtcGetSupportedArchs(found), "nvrtcGetSupportedArchs")
        return frozenset(found)

    def compile(self, source: str, gpu: Cuda) -> CudaBinary:
        library = self._library
        program = ctypes.c_void_p()
        contents, names = _strings(_HEADERS.values()), _strings(_HEADERS)
        arguments = (source.encode(), b"kernels.cu", len(_HEADERS), contents, names)
        _check(library.nvrtcCreateProgram(ctypes.byref(program), *arguments), "nvrtcCreateProgram")
        try:
            options = (f"--gpu-architecture={gpu.name}", *_OPTIONS)
            if library.nvrtcCompileProgram(program, len(options), _strings(options)):
                log = self._get(program, "ProgramLog").rstrip(b"\0").decode(errors="replace")
                raise ToolchainError(
                    f"{self.name} could not compile the kernels for {gpu.name}: {' '.join(log.split())}"
                )
            cubin, ptx = self._get(program, "CUBIN"), self._get(program, "PTX")
        finally:
            library.nvrtcDestroyProgram(ctypes.byref(program))
        return CudaBinary(self.name, self._fatbin(cubin, ptx, gpu), cubin, ptx.rstrip(b"\0").decode())

    def _get(self, program: ctypes.c_void_p, what: str) -> bytes:
        size = ctypes.c_size_t()
        _check(getattr(self._library, f"nvrtcGet{what}Size")(program, ctypes.byref(size)), f"nvrtcGet{what}Size")
        buffer = ctypes.create_string_buffer(size.value)
        _check(getattr(self._library, f"nvrtcGet{what}")(program, buffer), f"nvrtcGet{what}")
        return buffer.raw

    def _fatbin(self, cubin: bytes, ptx: bytes, gpu: Cuda) -> bytes:
        library = _loaded(self.fatbin_path)
        handle, size, chip = ctypes.c_void_p(), ctypes.c_size_t(), str(gpu.sm).encode()
        options = _strings(_PACKING), ctypes.c_size_t(len(_PACKING))
        _check(library.nvFatbinCreate(ctypes.byref(handle), *options), "nvFatbinCreate")
        try:
            length = ctypes.c_size_t(len(cubin))
            _check(library.nvFatbinAddCubin(handle, cubin, length, chip, b"kernels.cubin"), "nvFatbinAddCubin")
            length = ctypes.c_size_t(len(ptx))
            _check(library.nvFatbinAddPTX(handle, ptx, length, chip, b"kernels.ptx", None), "nvFatbinAddPTX")
            _check(library.nvFatbinSize(handle, ctypes.byref(size)), "nvFatbinSize")
            buffer = ctypes.create_string_buffer(size.value)
            _check(library.nvFatbinGet(handle, buffer), "nvFatbinGet")
        finally:
            library.nvFatbinDestroy(ctypes.byref(handle))
        return buffer.raw


def available_compilers() -> Iterator[CudaCompiler]:
    """Yield every CUDA compiler that this machine has: nvcc, then NVRTC, the newest release first."""
    command = shutil.which("nvcc")
    if command is not None:
        yield Nvcc(command)
    fatbin = next(_libraries("libnvfatbin.so.*"), None)
    if fatbin is not None:
        for path in _libraries("libnvrtc.so.*"):
            yield Nvrtc(path, fatbin)


def compiler_for(gpu: Cuda) -> CudaCompiler:
    """Return a compiler that knows ``gpu`` and whose code the driver there loads, as far as that one is known.

    Of several it is one of the oldest major release, since the most drivers load its code; of these the first of
    :func:`available_compilers`.

    Raises ToolchainError, saying what to install, when there is none, with what is wrong with those that are there.
    """
    suitable: list[tuple[int, CudaCompiler]] = []
    refused: list[str] = []
    for compiler in available_compilers():
        try:
            problem = _problem(compiler, gpu)
            if problem is None:
                suitable.append((compiler.release[0], compiler))
            else:
                refused.append(f"{compiler.name} {problem}")
        except ToolchainError as error:
            refused.append(str(error))
    if suitable:
        return min(suitable, key=lambda each: each[0])[1]
    wanted = gpu.name if gpu.driver is None else "{} with a driver of CUDA {}.{}".format(gpu.name, *gpu.driver)
    if not refused:
        raise ToolchainError(f"no CUDA compiler for {wanted}: neither nvcc nor NVRTC is installed; {INSTALL}")
    raise ToolchainError(f"no installed CUDA compiler suits {wanted}: {'; '.join(refused)}. {_mend(gpu)}")


def _problem(compiler: CudaCompiler, gpu: Cuda) -> str | None:
    """Why ``compiler`` is not for ``gpu``; None where it is."""
    if compiler.release < OLDEST_RELEASE:
        return "is older than CUDA {}.{}".format(*OLDEST_RELEASE)
    if gpu.driver is not None and not loads_machine_code(gpu.driver, compiler.release):
        return "compiles for later drivers"
    chips = compiler.chips()
    return None if gpu.sm in chips else f"knows {', '.join(f'sm_{chip}' for chip in sorted(chips))}"


def _mend(gpu: Cuda) -> str:
    if gpu.driver is not None and not loads_machine_code(gpu.driver, OLDEST_RELEASE):
        return "Update the driver (on a Jetson: JetPack, or NVIDIA's cuda-compat packages; docs/jetson.md)"
    if gpu.sm < OLDEST_OF_CUDA_13:
        return f"CUDA 13 has dropped it, CUDA 12 knows it: {INSTALL_CUDA_12}"
    if gpu.driver is not None and not loads_machine_code(gpu.driver, (13, 0)):
        return f"For this driver: {INSTALL_CUDA_12}; or update the driver"
    return f"A later release may know it: {INSTALL_CUDA_13}, or install NVIDIA's CUDA toolkit (nvcc)"


def _libraries(pattern: str) -> Iterator[Path]:
    """The libraries of PyPI's nvidia packages whose names match, the newest CUDA release first."""
    specification = importlib.util.find_spec("nvidia")
    if specification is not None:
        yield from libraries_in(specification.submodule_search_locations or [], pattern)


def libraries_in(folders: Sequence[str], pattern: str) -> Iterator[Path]:
    """The same of the packages below ``folders``."""
    found = [path for folder in folders for path in Path(folder).glob(f"*/lib/{pattern}")]
    yield from sorted(found, key=lambda path: (-int(path.name.rpartition(".")[2]), path))


@cache
def _loaded(path: Path) -> Any:
    try:
        return ctypes.CDLL(str(path))
    except OSError as error:
        raise ToolchainError(f"{path} cannot be loaded ({error}); {INSTALL}") from error


def _strings(values: Any) -> Any:
    encoded = [value.encode() for value in values]
    return (ctypes.c_char_p * len(encoded))(*encoded)


def _check(status: int, call: str) -> None:
    if status:
        raise ToolchainError(f"{call} failed with status {status}; {INSTALL}")


def _run(command: Sequence[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "LC_ALL": "C"}, check=False)
    except OSError as error:
        raise ToolchainError(f"cannot run {command[0]} ({error}); {INSTALL}") from error
    if done.returncode:
        words = " ".join((done.stderr or done.stdout).split()) or f"exit status {done.returncode}"
        raise ToolchainError(f"{command[0]} failed: {words}")
    return done.stdout
