"""What Linux says about itself on two boards: ``/proc/cpuinfo`` and the parts of ``/sys`` that name the hardware."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class BoardKind:
    """A board of four equal cores. The numbers are those that its kernel prints."""

    cpu: str
    """QEMU's name of the CPU. QEMU's Cortex-A72 can do AES and SHA, which ``features`` rightly lacks: Broadcom left
    them out. Programs that ask the auxiliary vector see QEMU's."""
    model: str
    compatible: tuple[str, ...]
    features: str
    variant: int
    part: int
    revision: int
    board_revision: str

    @property
    def identification(self) -> int:
        """The register MIDR_EL1."""
        return 0x41 << 24 | self.variant << 20 | 0xF << 16 | self.part << 4 | self.revision

    def cpuinfo(self) -> str:
        """The text of ``/proc/cpuinfo``."""
        cores = [
            f"processor\t: {core}\nBogoMIPS\t: 108.00\nFeatures\t: {self.features}\nCPU implementer\t: 0x41\n"
            f"CPU architecture: 8\nCPU variant\t: {self.variant:#x}\nCPU part\t: {self.part:#x}\n"
            f"CPU revision\t: {self.revision}\n\n"
            for core in range(CORES)
        ]
        return (
            "".join(cores)
            + f"Revision\t: {self.board_revision}\nSerial\t\t: 10000000c0ffee42\nModel\t\t: {self.model}\n"
        )

    def write_sys(self, folder: Path) -> None:
        """Fills ``folder``, a board's ``/sys``, where it is empty: the device tree's names and the cores."""
        cpus = folder / "devices" / "system" / "cpu"
        tree = folder / "firmware" / "devicetree" / "base"
        files = {cpus / name: f"0-{CORES - 1}\n" for name in ("online", "possible", "present")}
        for core in range(CORES):
            files[cpus / f"cpu{core}" / "regs" / "identification" / "midr_el1"] = f"0x{self.identification:016x}\n"
        files[tree / "model"] = self.model + "\0"
        files[tree / "compatible"] = "".join(name + "\0" for name in self.compatible)
        for path, text in files.items():
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")


CORES = 4

KINDS = {
    kind.cpu: kind
    for kind in (
        BoardKind(
            cpu="cortex-a72",
            model="Raspberry Pi 4 Model B Rev 1.4",
            compatible=("raspberrypi,4-model-b", "brcm,bcm2711"),
            features="fp asimd evtstrm crc32 cpuid",
            variant=0,
            part=0xD08,
            revision=3,
            board_revision="c03114",
        ),
        BoardKind(
            cpu="cortex-a76",
            model="Raspberry Pi 5 Model B Rev 1.0",
            compatible=("raspberrypi,5-model-b", "brcm,bcm2712"),
            features="fp asimd evtstrm aes pmull sha1 sha2 crc32 "
            "atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp",
            variant=4,
            part=0xD0B,
            revision=1,
            board_revision="d04170",
        ),
    )
}
"""By QEMU's name of the CPU."""
