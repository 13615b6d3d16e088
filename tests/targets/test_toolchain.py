"""Linking: with every linker that this machine has, for both architectures, and when there is none."""

import ctypes
import os
import stat

import numpy as np
import pytest
from elftools.elf.dynamic import DynamicSection
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection
from intbert.errors import OutputError, ToolchainError
from intbert.targets import get_target, list_targets, toolchain
from intbert.targets.elf import data_object
from intbert.targets.features import host_arch

BLOB = bytes(range(256)) * 40
SYMBOL = "the_weights"
TARGET_OF = {"x86_64": "x86-64-v3", "aarch64": "aarch64"}
LINKERS = [
    pytest.param(candidate, id=f"{arch}-{candidate.name}")
    for arch, name in TARGET_OF.items()
    for candidate in toolchain.available_linkers(get_target(name))
]
ALIGNMENT_OF_WEIGHTS = 64


@pytest.fixture
def weights(tmp_path):
    """Write the data object for an architecture and return its path."""

    def write(arch):
        path = tmp_path / "weights.o"
        path.write_bytes(data_object(BLOB, SYMBOL, arch))
        return path

    return write


def build_kernel(target, folder):
    """Compile a kernel (three times the input, plus one) and export it with the data object beside it."""
    import tvm
    from tvm import te

    addon = folder / "weights.o"
    addon.write_bytes(data_object(BLOB, SYMBOL, target.arch))
    a = te.placeholder((1000,), dtype="int8", name="a")
    b = te.compute((1000,), lambda i: a[i].astype("int32") * 3 + 1, name="b")
    module = tvm.IRModule({"kernel": te.create_prim_func([a, b]).with_attr("global_symbol", "kernel")})
    executable = tvm.compile(module, target=target.tvm())
    output = folder / "kernel.so"
    executable.export_library(str(output), fcompile=toolchain.linker(target).fcompile, addons=[str(addon)])
    return output


def section(elf, name, kind):
    found = elf.get_section_by_name(name)
    assert isinstance(found, kind)
    return found


def check_library(path, machine):
    """Look into a linked library: right machine, the blob where its symbol says, nothing unsafe."""
    with path.open("rb") as file:
        elf = ELFFile(file)
        assert (elf["e_type"], elf["e_machine"]) == ("ET_DYN", machine)
        (symbol,) = section(elf, ".dynsym", SymbolTableSection).get_symbol_by_name(SYMBOL) or []
        assert (symbol["st_info"]["type"], symbol["st_size"]) == ("STT_OBJECT", len(BLOB))
        assert symbol["st_value"] % ALIGNMENT_OF_WEIGHTS == 0
        (home,) = [
            segment
            for segment in elf.iter_segments("PT_LOAD")
            if 0 <= symbol["st_value"] - segment["p_vaddr"] < segment["p_filesz"]
        ]
        assert home["p_flags"] & 2 == 0, "the weights have to be read-only"
        file.seek(symbol["st_value"] - home["p_vaddr"] + home["p_offset"])
        assert file.read(len(BLOB)) == BLOB
        assert all(segment["p_flags"] & 3 != 3 for segment in elf.iter_segments("PT_LOAD"))
        (stack,) = elf.iter_segments("PT_GNU_STACK")
        assert stack["p_flags"] & 1 == 0, "executable stack"
        tags = [tag.entry.d_tag for tag in section(elf, ".dynamic", DynamicSection).iter_tags()]
        assert "DT_TEXTREL" not in tags
        assert "DT_NEEDED" not in tags, "bound to a C library of the build machine"


MACHINES = {"x86_64": "EM_X86_64", "aarch64": "EM_AARCH64"}


@pytest.mark.parametrize("linker", LINKERS)
def test_every_linker_links_the_data(linker, weights, tmp_path):
    arch = linker.triple.partition("-")[0]
    output = tmp_path / "data.so"
    linker.link([weights(arch)], output)
    check_library(output, MACHINES[arch])


@pytest.mark.parametrize("name", [target.name for target in list_targets()])
def test_compiled_kernel_and_weights_for_every_target(name, tmp_path):
    target = get_target(name)
    check_library(build_kernel(target, tmp_path), MACHINES[target.arch])


def test_host_library_runs_and_its_weights_are_mapped(tmp_path):
    path = build_kernel(get_target("host"), tmp_path)
    import tvm

    module = tvm.runtime.load_module(str(path))
    a = np.arange(1000).astype("int8")
    b = tvm.runtime.tensor(np.zeros(1000, "int32"))
    module["kernel"](tvm.runtime.tensor(a), b)
    np.testing.assert_array_equal(b.numpy(), a.astype("int32") * 3 + 1)

    symbol = ctypes.c_char.in_dll(ctypes.CDLL(str(path)), SYMBOL)
    address = ctypes.addressof(symbol)
    assert address % ALIGNMENT_OF_WEIGHTS == 0
    assert ctypes.string_at(address, len(BLOB)) == BLOB


@pytest.mark.parametrize("linker", LINKERS)
def test_equal_objects_give_equal_libraries(linker, weights, tmp_path):
    objects = [weights(linker.triple.partition("-")[0])]
    for name in ("first.so", "second.so"):
        linker.link(objects, tmp_path / name)
    assert (tmp_path / "first.so").read_bytes() == (tmp_path / "second.so").read_bytes()


@pytest.mark.parametrize("linker", LINKERS)
def test_a_failed_link_leaves_nothing_and_quotes_the_linker(linker, tmp_path):
    garbage = tmp_path / "garbage.o"
    garbage.write_bytes(b"\x7fELF garbage")
    output = tmp_path / "out.so"
    with pytest.raises(ToolchainError, match=r"could not link out\.so for .*garbage\.o") as raised:
        linker.link([garbage], output)
    assert "\n" not in str(raised.value)
    assert not output.exists()


def program(folder, name, script):
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def test_a_full_disk_is_told_from_a_bad_object(tmp_path, weights):
    """/dev/full fails every write as a full disk does."""
    if not os.access("/dev/full", os.W_OK):
        pytest.skip("this system has no /dev/full")
    copy = program(tmp_path, "ld", 'cat "$3" > /dev/full')
    linker = toolchain.Linker("ld", "aarch64-linux-gnu", (str(copy),))
    with pytest.raises(OutputError, match=r"out\.so: no space left on the device"):
        linker.link([weights("aarch64")], tmp_path / "out.so")


def test_a_linker_that_went_away(tmp_path):
    linker = toolchain.Linker("ld", "aarch64-linux-gnu", (str(tmp_path / "gone"),))
    with pytest.raises(ToolchainError, match=r"cannot run ld .*intbert doctor"):
        linker.link([], tmp_path / "out.so")


def test_the_callers_options_are_refused(tmp_path):
    fcompile = toolchain.linker(get_target("x86-64-v3")).fcompile
    with pytest.raises(ToolchainError, match="takes no options"):
        fcompile(str(tmp_path / "out.so"), [], options=["-I/x"])


def names(target):
    return [candidate.name for candidate in toolchain.available_linkers(target)]


@pytest.fixture
def empty_path(monkeypatch, tmp_path):
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def test_an_installed_cross_compiler_comes_first(empty_path):
    target = get_target("rpi4")
    for name in ("ld.lld", "aarch64-linux-gnu-g++", "aarch64-linux-gnu-clang", "gcc"):
        program(empty_path, name, "exit 0")
    found = names(target)
    native = ["gcc"] if host_arch() == "aarch64" else []
    expected = ["aarch64-linux-gnu-g++", "aarch64-linux-gnu-clang", *native, "ld.lld"]
    assert found[: len(expected)] == expected
    assert toolchain.linker(target).name == "aarch64-linux-gnu-g++"


def test_without_an_installed_one_ziglang_links(empty_path):
    assert names(get_target("rpi4")) == ["ld.lld (ziglang)"]


@pytest.mark.parametrize(
    ("name", "package"), [("rpi4", "gcc-aarch64-linux-gnu"), ("x86-64-v3", "gcc-x86-64-linux-gnu")]
)
def test_without_any_linker_the_error_says_how_to_get_one(empty_path, monkeypatch, name, package):
    monkeypatch.setattr(toolchain.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ToolchainError, match=rf"pip install 'intbert\[cross\]'.*apt install {package}`"):
        toolchain.linker(get_target(name))
