"""As nvcc, but what it makes for the driver names a library of the emulator: that of the same source.

The cubin and the PTX beside it are NVRTC's. Its arguments are those of a compilation.
"""

from __future__ import annotations

import hashlib
import os
import re
import struct
import sys
import tempfile
from pathlib import Path

FATBIN = 0xBA55ED50


def main(arguments: list[str]) -> None:
    from intbert.targets.cuda import Cuda
    from intbert.targets.cuda_compilers import Nvrtc, available_compilers

    nvrtc = next(each for each in available_compilers() if isinstance(each, Nvrtc))
    source, output = Path(arguments[-3]), Path(arguments[-1])
    folder = Path(arguments[arguments.index("--keep-dir") + 1])
    chip = re.search(r"compute_(\d+)", " ".join(arguments))
    assert chip is not None
    binary = nvrtc.compile(source.read_text(), Cuda(int(chip[1]), 1, 1, 1.0))
    (folder / "kernels.cubin").write_bytes(binary.cubin)
    (folder / "kernels.ptx").write_text(binary.ptx)
    output.write_bytes(struct.pack("<I", FATBIN) + os.fsencode(emulated(source)) + b"\0")


def emulated(source: Path) -> Path:
    from tests.cuda import emulation

    kept = Path(os.environ["FAKE_NVCC_FOLDER"])
    emulation._runtime = lambda: kept / "runtime.o"  # compiled once for all
    library = kept / f"{hashlib.sha256(source.read_bytes()).hexdigest()}.so"
    if not library.exists():  # the default and the best are measured in every round
        with tempfile.TemporaryDirectory(dir=kept) as folder:
            emulation.build(source.read_text(), Path(folder)).rename(library)
    return library


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[4]))
    main(sys.argv[1:])
