"""This machine as a board with an installed runtime, and a bundle that was deployed to it."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from intbert.rpc.board_runtime import Wheelhouse
from intbert.rpc.bundle.deploying import Deployed, deploy
from intbert.rpc.devices import installation
from intbert.rpc.devices.adding import choose, probe
from intbert.rpc.devices.address import Address
from intbert.rpc.devices.device import Device
from intbert.rpc.devices.inventory import Inventory
from intbert.rpc.probing.facts import Python
from intbert.rpc.sessions.board_session import Terms

from ...compiler.toy_artifact import build_toy
from ..board_double import wheelhouse
from ..local_connection import LocalBoard, LocalConnection

PACKAGES = ("numpy", "numpy.libs", "tokenizers", "tokenizers.libs", "tvm", "tvm_ffi", "typing_extensions.py")
DESCRIPTIONS = ("numpy-", "tokenizers-", "apache_tvm", "typing_extensions-")
REPOSITORY = Path(__file__).parents[3]


@dataclass(frozen=True)
class Site:
    """``board``: this machine, added as the device "here"; ``terms``: how to reach it; ``wheels``: its runtime."""

    board: LocalBoard
    terms: Terms
    wheels: Wheelhouse

    @property
    def home(self) -> Path:
        return self.board.home

    @property
    def programs(self) -> Path:
        """A folder of programs that the board finds before others."""
        return self.home.parent / "bin"

    def deploy(self, artifact: Path, to: str, *, service: str | None = None, force: bool = False) -> Deployed:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(installation, "prepare_wheels", lambda platform, tell: self.wheels)
            return deploy(artifact, "here", to, self.terms, service=service, force=force)


@pytest.fixture(scope="session")
def toy_here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_toy(tmp_path_factory.mktemp("toy") / "artifact")


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """A board with the runtime of this environment: its packages are links to those of the tests."""
    folder = tmp_path_factory.mktemp("board")
    for name in ("home", "bin", "run"):
        (folder / name).mkdir()
    wheels = wheelhouse(folder / "wheels")
    _install_runtime(folder / "home" / ".intbert" / "runtime" / wheels.digest)
    environment = {"PATH": f"{folder / 'bin'}:/usr/bin:/bin", "XDG_RUNTIME_DIR": str(folder / "run")}
    board = LocalBoard(folder / "home", environment)
    terms = Terms(Inventory(folder / "devices"), connect=board.connect)
    terms.inventory.keep(_device(board, wheels.digest))
    return Site(board, terms, wheels)


@pytest.fixture(scope="session")
def bundle(site: Site, toy_here: Path) -> Path:
    """A bundle with the toy and a service; its path needs quotes."""
    return Path(site.deploy(toy_here, "my 'toy' $(touch owned)", service="toy").folder)


def _install_runtime(folder: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    (packages,) = folder.glob("lib/python3*/site-packages")
    here = Path(pytest.__file__).parents[1]
    for path in here.iterdir():
        if path.name in PACKAGES or path.name.startswith(DESCRIPTIONS):
            (packages / path.name).symlink_to(path)
    (packages / "intbert").symlink_to(REPOSITORY)


def _device(board: LocalBoard, runtime: str) -> Device:
    address = Address("here")
    connection = LocalConnection(board.home, board.environment)
    facts = probe(connection)
    connection.close()
    # of the Pythons of this machine, the one that has the packages
    python = Python(sys.version_info[:3], sys.executable, 64, has_venv=True)
    facts = replace(facts, pythons=(python,))
    return Device("here", address, facts, choose(facts).target.name, "it is this machine", runtime)
