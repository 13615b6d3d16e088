"""The peers' side: their model files, and their wheels for the board."""

import re
import shutil
from collections.abc import Iterable
from pathlib import Path

from peer_bench.cache import cached_folder, digest
from peer_bench.contenders import Contender
from peer_bench.models import BenchmarkModel
from peer_bench.workspace import REQUIREMENTS, Workspace

from .contenders import PEERS
from .virtual_board import BUILD, Userland, unpack_wheels


def pinned(names: Iterable[str], requirements: str) -> list[str]:
    """The lines ``name==version`` of these packages.

    Raises:
        ValueError: one of them is not pinned.
    """
    found = {match[1].lower(): match[0] for match in re.finditer(r"^([\w.-]+)==\S+", requirements, re.MULTILINE)}
    if missing := [name for name in names if name.lower() not in found]:
        raise ValueError(f"not pinned in {REQUIREMENTS.name}: {', '.join(missing)}")
    return [found[name.lower()] for name in names]


def peers_site(board: Userland) -> Path:
    """A folder with the aarch64 packages of all peers; downloaded the first time (200 MB).

    Raises:
        BenchmarkError: a wheel cannot be had.
    """
    names = sorted({package for peer in PEERS for package in peer.packages})
    wanted = pinned(names, REQUIREMENTS.read_text(encoding="utf-8"))

    def make(folder: Path) -> None:
        work = folder / "work"
        work.mkdir()
        unpack_wheels(board, wanted, work, folder / "site")
        shutil.rmtree(work)

    return cached_folder(BUILD, "peers", digest([], *wanted), make) / "site"


def model_file(workspace: Workspace, model: BenchmarkModel, contender: Contender) -> Path:
    """What the contender loads, made in the peers' venv when it is not there."""
    return workspace.peer_folder(model, contender.runtime) / contender.model_file
