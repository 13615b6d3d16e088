"""The kernels inside an artifact's library, which was linked with its local symbols."""

from bisect import bisect_right
from pathlib import Path

from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection
from peer_bench.errors import BenchmarkError

ENTRY, BODY = "__tvm_ffi_", "_compute_"


def kernel_of(symbol: str) -> str:
    """TVM compiles a kernel ``linear`` to an entry ``__tvm_ffi_linear`` and a body ``linear_compute_``."""
    return symbol.removeprefix(ENTRY).partition(BODY)[0]


class Kernels:
    """Finds the kernel at an offset in the file.

    Raises:
        BenchmarkError: the library has no local symbols.
    """

    def __init__(self, library: Path) -> None:
        with library.open("rb") as file:
            elf = ELFFile(file)
            self._segments = [
                (segment["p_offset"], segment["p_filesz"], segment["p_vaddr"])
                for segment in elf.iter_segments("PT_LOAD")
            ]
            table = elf.get_section_by_name(".symtab")
            if not isinstance(table, SymbolTableSection):
                raise BenchmarkError(f"{library.name} has no local symbols: kernels cannot be told apart")
            functions = sorted(
                (symbol["st_value"], symbol.name)
                for symbol in table.iter_symbols()
                if symbol["st_info"]["type"] == "STT_FUNC" and symbol["st_value"]
            )
        self._addresses = [address for address, _ in functions]
        self._names = [kernel_of(name) for _, name in functions]

    def address(self, offset: int) -> int:
        """The address that the linker gave to what lies at ``offset`` in the file; -1 when it is not loaded."""
        for start, size, address in self._segments:
            if start <= offset < start + size:
                return offset - start + address
        return -1

    def name(self, address: int) -> str:
        """The kernel at such an address."""
        index = bisect_right(self._addresses, address) - 1
        return self._names[index] if index >= 0 else "?"
