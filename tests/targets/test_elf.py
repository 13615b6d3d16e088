"""Data objects: what other tools read from them."""

import io

import pytest
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection
from hypothesis import given
from hypothesis import strategies as st
from intbert.errors import TargetError
from intbert.targets.elf import ALIGNMENT, data_object

MACHINES = {"x86_64": "EM_X86_64", "aarch64": "EM_AARCH64"}


@given(blob=st.binary(max_size=200), arch=st.sampled_from(sorted(MACHINES)))
def test_object_holds_the_blob_under_its_symbol(blob, arch):
    elf = ELFFile(io.BytesIO(data_object(blob, "the_weights", arch)))
    assert (elf["e_type"], elf["e_machine"], elf.elfclass, elf.little_endian) == (
        "ET_REL",
        MACHINES[arch],
        64,
        True,
    )
    rodata, note = (elf.get_section_by_name(name) for name in (".rodata", ".note.GNU-stack"))
    symbols = elf.get_section_by_name(".symtab")
    assert rodata is not None
    assert note is not None
    assert isinstance(symbols, SymbolTableSection)
    assert rodata.data() == blob
    assert rodata["sh_addralign"] == ALIGNMENT
    assert rodata["sh_offset"] % ALIGNMENT == 0
    assert rodata["sh_flags"] == 2  # SHF_ALLOC alone: neither writable nor executable
    (symbol,) = symbols.get_symbol_by_name("the_weights") or []
    assert (symbol["st_info"]["bind"], symbol["st_info"]["type"]) == ("STB_GLOBAL", "STT_OBJECT")
    assert (symbol["st_value"], symbol["st_size"]) == (0, len(blob))
    assert elf.get_section(symbol["st_shndx"]).name == ".rodata"
    assert note["sh_flags"] == 0


def test_blob_from_a_file(tmp_path):
    path = tmp_path / "blob"
    path.write_bytes(b"\x01\x02\x03")
    assert data_object(path, "s", "x86_64") == data_object(b"\x01\x02\x03", "s", "x86_64")


def test_unknown_architecture():
    with pytest.raises(TargetError, match="data objects for 'mips'; supported: aarch64, x86_64"):
        data_object(b"", "s", "mips")
