"""Reports: what is read from them, and what cannot be read into them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from intbert.errors import RemoteError
from intbert.rpc.probing import BoardFacts, ClockPolicy, CoreKind, CudaFacts, Python, parse_report
from intbert.rpc.probing.report import one_line

from .reports import BOARDS, arm_cpuinfo, auxiliary_vector, linux, report_of, rpi4, rpi5, x86_server


def read(board: str) -> BoardFacts:
    return parse_report(report_of(BOARDS[board]()))


def test_every_fact_of_a_board():
    assert read("rpi4") == BoardFacts(
        system="Linux",
        kernel="6.6.20+rpt-rpi-v8",
        distribution="Debian GNU/Linux 12 (bookworm)",
        arch="aarch64",
        bits=64,
        libc="glibc",
        libc_version=(2, 36),
        model="Raspberry Pi 4 Model B Rev 1.4",
        core_kinds=(CoreKind(0x41, 0xD08, 4, "cortex-a72"),),
        features=frozenset({"neon"}),
        cores=4,
        memory_mb=3793,
        available_mb=3207,
        free_mb=21797,
        home="/home/pi",
        pythons=(Python((3, 11, 2), "/usr/bin/python3.11", 64, has_venv=True),),
        clock_policies=(ClockPolicy("ondemand", 600, 1800),),
        sensors=("temperature: cpu-thermal", "throttling: vcgencmd"),
        boot_id="0c3a2f80-37f5-4a53-9a0b-0d2c6a2f4c11",
        uptime_seconds=5121,
        time=1750000000,
        cuda=None,
    )


@pytest.mark.parametrize(
    ("board", "arch", "bits", "libc", "cpus", "features"),
    [
        ("rpi5", "aarch64", 64, ("glibc", (2, 36)), ("cortex-a76",), {"neon", "dotprod"}),
        ("rpi3-32-bit-programs", "aarch64", 32, ("glibc", (2, 36)), ("cortex-a53",), set()),
        ("rpi-zero", "armv6l", 32, ("glibc", (2, 36)), (), set()),
        ("jetson-nano", "aarch64", 64, ("glibc", (2, 27)), ("cortex-a57",), {"neon"}),
        ("jetson-xavier-nx", "aarch64", 64, ("glibc", (2, 31)), ("carmel",), {"neon"}),
        ("jetson-orin", "aarch64", 64, ("glibc", (2, 35)), ("cortex-a78ae",), {"neon", "dotprod"}),
        ("x86-server", "x86_64", 64, ("glibc", (2, 39)), (), {"avx2", "avx512", "avx512_vnni"}),
        ("alpine", "aarch64", 64, ("musl", (1, 2)), ("cortex-a72",), {"neon"}),
        ("graviton3", "aarch64", 64, ("glibc", (2, 34)), ("neoverse-v1",), {"neon", "dotprod", "i8mm", "sve"}),
    ],
)
def test_what_decides_on_code(board, arch, bits, libc, cpus, features):
    facts = read(board)
    assert (facts.arch, facts.bits) == (arch, bits)
    assert (facts.libc, facts.libc_version) == libc
    assert facts.cpu_names == cpus
    assert facts.features == features


@pytest.mark.parametrize(
    ("board", "cuda"),
    [
        ("rpi5", None),
        ("jetson-nano", CudaFacts(None, (5, 3), None, (10, 2), "32.7.1", None)),
        ("jetson-xavier-nx", CudaFacts(None, (7, 2), None, None, "35.1.0", None)),
        ("jetson-orin", CudaFacts("Orin (nvgpu)", (8, 7), "540.3.0", (12, 2), "36.3.0", "6.0+b106")),
        ("x86-server", CudaFacts("NVIDIA H100 80GB HBM3", (9, 0), "550.54.15", (12, 4), None, None)),
    ],
)
def test_gpu(board, cuda):
    assert read(board).cuda == cuda


@pytest.mark.parametrize(
    ("compatible", "model", "sm"),
    [
        ("nvidia,quill\nnvidia,tegra186", "quill", (6, 2)),
        ("nvidia,p3834-0008\nnvidia,tegra264", "NVIDIA Jetson AGX Thor Developer Kit", (11, 0)),
        ("", "NVIDIA Jetson Orin Nano Developer Kit", (8, 7)),
        ("", "NVIDIA Jetson Nano Developer Kit", (5, 3)),
    ],
    ids=["tx2", "thor", "orin-nano-by-name", "nano-by-name"],
)
def test_compute_capability_of_a_jetson(compatible, model, sm):
    cuda = parse_report(report_of({**rpi4(), "compatible": compatible, "model": model})).cuda
    assert cuda is not None
    assert cuda.sm == sm


def test_cuda_runtime_without_a_gpu_is_none():
    values = {**rpi4(), "cudart": "/usr/lib/aarch64-linux-gnu/libcudart.so.12.4.127", "model": "Nano Pi M4"}
    assert parse_report(report_of(values)).cuda is None


@pytest.mark.parametrize(
    ("board", "sensors"),
    [
        ("rpi5", ("throttling: vcgencmd", "power: vcgencmd")),
        ("jetson-orin", ("power: VDD_IN", "power: VDD_CPU_GPU_CV", "power: VDD_SOC")),
        ("graviton3", ()),
    ],
)
def test_sensors(board, sensors):
    assert read(board).sensors == sensors


def test_several_kinds_of_cores_and_clocks():
    values = linux(
        "aarch64",
        cpuinfo=arm_cpuinfo(*[(0x41, 0xD05)] * 4, *[(0x41, 0xD0B)] * 2, (0x99, 1)),
        policy="schedutil 408000 1800000\nperformance 408000 2400000\nschedutil 408000 2400000",
    )
    facts = parse_report(report_of(values))
    assert facts.core_kinds == (
        CoreKind(0x41, 0xD05, 4, "cortex-a55"),
        CoreKind(0x41, 0xD0B, 2, "cortex-a76"),
        CoreKind(0x99, 1, 1, None),
    )
    assert facts.cpu_names == ("cortex-a55", "cortex-a76")
    assert facts.governor == "schedutil, performance"


def test_under_emulation_cpuinfo_is_the_other_machines():
    values = {**rpi5(), "cpuinfo": x86_server()["cpuinfo"]}
    facts = parse_report(report_of(values))
    assert facts.features == {"neon", "dotprod"}
    assert facts.core_kinds == ()


@pytest.mark.parametrize(
    ("names", "features"),
    [("fp asimd asimddp sve i8mm", {"neon", "dotprod", "sve", "i8mm"}), ("fp asimd", {"neon"}), ("fp", set())],
)
def test_features_of_a_board_without_od(names, features):
    values = linux("aarch64", cpuinfo=arm_cpuinfo((0x41, 0xD40), features=names))
    assert parse_report(report_of(values)).features == features


@pytest.mark.parametrize(
    ("kernel", "has_tiles"),
    [("6.8.0-31-generic", True), ("5.16.0", True), ("5.15.0-105", False), ("six", False)],
)
def test_tiles_need_a_kernel_that_grants_them(kernel, has_tiles):
    cpuinfo = x86_server()["cpuinfo"].replace("avx512_vnni", "avx512_vnni amx_tile amx_int8")
    facts = parse_report(report_of({**x86_server(), "cpuinfo": cpuinfo, "kernel": kernel}))
    assert ("amx_int8" in facts.features) == has_tiles


@pytest.mark.parametrize(
    ("text", "libc"),
    [
        ("glibc 2.36", ("glibc", (2, 36))),
        ("ldd (Debian GLIBC 2.31-13+deb11u8) 2.31", ("glibc", (2, 31))),
        ("ldd (GNU libc) 2.38", ("glibc", (2, 38))),
        ("musl libc (x86_64)\nVersion 1.1.24", ("musl", (1, 1))),
        ("musl libc", ("musl", None)),
        ("", (None, None)),
        ("sh: getconf: not found", (None, None)),
    ],
)
def test_c_library(text, libc):
    facts = parse_report(report_of({**rpi4(), "libc": text}))
    assert (facts.libc, facts.libc_version) == libc


@pytest.mark.parametrize(
    ("changes", "cores"),
    [
        ({"nproc": "2"}, 2),
        ({"nproc": "", "process_status": "Name:\tcat\nCpus_allowed_list:\t0-1,5"}, 3),
        ({"nproc": ""}, 4),
    ],
    ids=["nproc", "affinity", "cpuinfo"],
)
def test_cores_that_may_be_used(changes, cores):
    assert parse_report(report_of({**rpi4(), **changes})).cores == cores


@pytest.mark.parametrize(
    ("changes", "bits"),
    [
        ({"long_bit": "32", "elf_class": " 02"}, 32),
        ({"long_bit": "", "elf_class": " 01"}, 32),
        ({"long_bit": "", "elf_class": " 02"}, 64),
        ({"long_bit": "", "elf_class": ""}, 64),
    ],
    ids=["getconf", "32-bit-shell", "64-bit-shell", "by-the-kernel"],
)
def test_bits(changes, bits):
    assert parse_report(report_of({**rpi4(), **changes})).bits == bits


@pytest.mark.parametrize(("raw", "canonical"), [("arm64", "aarch64"), ("amd64", "x86_64"), ("riscv64", "riscv64")])
def test_architecture_is_canonical(raw, canonical):
    assert parse_report(report_of(linux(raw))).arch == canonical


def test_disk_with_a_space_in_its_name():
    disk = "Filesystem 1024-blocks Used Available Capacity Mounted on\n//nas/my share 1000 488 512000 49% /my home"
    assert parse_report(report_of({**rpi4(), "df": disk})).free_mb == 500


def test_pythons_that_cannot_be_used_are_left_out():
    listed = (
        "pypy 3.10.14 64 1 /usr/bin/pypy3\ncpython 3.11.2 64 1 bin/python3\nTraceback (most recent call last):\n"
        "cpython 3.12.1 64 0 /opt/a b/python3\ncpython 3.11.2 64 1 /opt/\x1b[2J/python3"
    )
    assert parse_report(report_of({**rpi4(), "python": listed})).pythons == (
        Python((3, 12, 1), "/opt/a b/python3", 64, has_venv=False),
    )


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param("Welcome to pi!\n\x1b[32mUpdates: 3\x1b[0m", "\nlogout\n", id="banner"),
        pytest.param("model=An impostor\nend=1\n", "model=another\n", id="lines-of-a-report"),
        pytest.param("intbert-probe=1\nmodel=An impostor\n", "", id="a-beginning-of-one"),
    ],
)
def test_noise_around_a_report(before, after):
    assert parse_report(before + report_of(rpi4()) + after) == read("rpi4")


def test_noise_inside_a_report():
    text = report_of(rpi4()).replace("\nnproc=", "\n[1]+ Done   update-motd\n\x00\nnproc=")
    assert parse_report(text) == read("rpi4")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("", "did not run the probe and said nothing", id="nothing"),
        pytest.param("This account is \x1b[31mcurrently\nnot available.", "it said 'This account is", id="no-shell"),
        pytest.param("intbert-probe=1\nmachine=aarch64\n", "is cut off", id="cut"),
        pytest.param(report_of(rpi4()).replace("end=1", "end="), "is cut off", id="no-end"),
        pytest.param(report_of({}), "does not tell its machine", id="empty"),
        pytest.param(report_of({**rpi4(), "kernel": ""}), "does not tell its kernel", id="no-kernel"),
        pytest.param(report_of({**rpi4(), "meminfo": "MemTotal: lots"}), "0 MB of memory", id="no-memory"),
        pytest.param(report_of({**rpi4(), "home": ""}), "no printable text", id="no-home"),
        pytest.param(report_of({**rpi4(), "home": "home/pi"}), "no absolute path", id="relative-home"),
        pytest.param(report_of({**rpi4(), "home": "/home/\x1b[2Jpi"}), r"'/home/\\x1b\[2Jpi' is no", id="hostile-home"),
        pytest.param(report_of({**rpi4(), "home": "/home/pi\n/root"}), "no printable text", id="two-homes"),
    ],
)
def test_what_is_no_report(text, message):
    with pytest.raises(RemoteError, match=message) as raised:
        parse_report(text)
    assert str(raised.value).isprintable()


def test_every_beginning_of_a_report_is_refused():
    text = report_of(rpi4())
    for length in range(0, len(text) - len("\n"), 7):
        with pytest.raises(RemoteError):
            parse_report(text[:length])


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("Pi\nend=1", "Pi end=1"),
        ("Pi\nintbert-probe=1\nhome=/evil", "Pi intbert-probe=1 home=/evil"),
        ("a \"quoted\" 'one' `id` $(id)", "a \"quoted\" 'one' `id` $(id)"),
        ("\x1b[31mred\x1b[0m\x07", "[31mred [0m"),
        ("carriage\rreturn\x85and\u2028others", "carriage return and others"),
        ("right\u202eto left", "right to left"),
        ("x" * 300, "x" * 197 + "..."),
        ("\x1b\x00\x08", None),
    ],
    ids=["end", "begin", "quotes", "ansi", "line-ends", "direction", "long", "nothing-to-show"],
)
def test_hostile_model(raw, shown):
    facts = parse_report(report_of({**rpi4(), "model": raw}))
    assert facts.model == shown
    assert facts.home == "/home/pi"


@given(st.dictionaries(st.sampled_from(sorted({*rpi4(), *BOARDS["jetson-orin"]()})), st.text(max_size=60), max_size=8))
def test_any_values_give_printable_facts_or_a_typed_error(values):
    refusal = ""
    try:
        facts = parse_report(report_of({**rpi4(), **values}))
        assert BoardFacts.from_json(facts.to_json()) == facts
    except RemoteError as error:
        refusal = str(error)
    assert refusal.isprintable()


@given(st.text(max_size=400))
def test_one_line_is_printable(text):
    assert one_line(text).isprintable()
    assert one_line(one_line(text)) == one_line(text)


def test_auxiliary_vector_that_od_cut_off():
    values = {**rpi5(), "auxv": auxiliary_vector(0x119FFF).partition("\n")[0] + "\n 06 00 00"}
    assert parse_report(report_of(values)).features == {"neon", "dotprod"}
