"""Prepares everything that the workers load, each part once."""

import importlib.metadata
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

from .cache import cached_folder, digest
from .commands import run_logged
from .environment import peers_python, worker_environment
from .models import BenchmarkModel, checkpoint_folder
from .repository import BENCHMARKS, ROOT, SENTENCES

QUANTIZERS = ("quantization", "compiler/model.py", "compiler/model_files.py", "compiler/packing.py")
REQUIREMENTS = ROOT / "requirements" / "peers.txt"


@dataclass(frozen=True)
class Workspace:
    """Prepared models under ``build`` and the peers' venv; asking for one makes it when needed."""

    build: Path
    venv: Path

    @property
    def cache(self) -> Path:
        """Where prepared models lie."""
        return self.build / "cache"

    def _log(self, name: str) -> Path:
        return self.build / "logs" / f"{name}.log"

    @cached_property
    def peers_python(self) -> Path:
        """The interpreter of the peers' venv."""
        return peers_python(self.venv, REQUIREMENTS, self._log("peers-venv"))

    def _run_in_peers(self, module: str, log: str, *arguments: object) -> None:
        command = [self.peers_python, "-m", f"peer_bench.prepare.{module}", *map(str, arguments)]
        run_logged(command, self._log(log), worker_environment(BENCHMARKS, threads=os.cpu_count() or 1))

    def _prepare_key(self, module: str, checkpoint: Path | None = None, *more: str) -> str:
        prepare = Path(__file__).parent / "prepare"
        files = [prepare / f"{name}.py" for name in (module, "float_model", "sentences")]
        identity = checkpoint_key(checkpoint) if checkpoint else ""
        return digest([*files, SENTENCES, REQUIREMENTS], identity, *more)

    def checkpoint(self, model: BenchmarkModel) -> Path:
        """The float checkpoint."""

        def make(tokenizer: Path) -> Path:
            assert model.shape is not None  # else nobody asks for random weights
            sizes = [str(size) for size in (asdict(model.shape).values())]
            return cached_folder(
                self.cache, f"{model.name}-float", self._prepare_key("make_random_bert", None, *sizes),
                lambda folder: self._run_in_peers(
                    "make_random_bert", f"{model.name}-float", tokenizer, *sizes, folder
                ),
            )  # fmt: skip

        return checkpoint_folder(model, make)

    def inputs_made_here(self, model: BenchmarkModel, length: int) -> Path:
        """As :meth:`inputs`, but of one length, and made by this project's own venv: no peer is needed."""
        checkpoint, name = self.checkpoint(model), f"{model.name}-inputs-of-{length}"
        command = [sys.executable, "-m", "peer_bench.prepare.make_inputs", checkpoint, str(model.pooling), SENTENCES]
        folder = cached_folder(
            self.cache, name, self._prepare_key("make_inputs", checkpoint, str(length)),
            lambda folder: run_logged(
                [*command, str(length), folder], self._log(name), worker_environment(BENCHMARKS, os.cpu_count() or 1)
            ),
        )  # fmt: skip
        return folder / "inputs.npz"

    def inputs(self, model: BenchmarkModel, lengths: Sequence[int]) -> Path:
        """``inputs.npz``: the token ids of each length, and PyTorch's output for them."""
        checkpoint = self.checkpoint(model)
        words = ",".join(map(str, lengths))
        folder = cached_folder(
            self.cache, f"{model.name}-inputs", self._prepare_key("make_inputs", checkpoint, words),
            lambda folder: self._run_in_peers(
                "make_inputs", f"{model.name}-inputs", checkpoint, model.pooling, SENTENCES, words, folder
            ),
        )  # fmt: skip
        return folder / "inputs.npz"

    def onnx(self, model: BenchmarkModel) -> Path:
        """The folder with ONNX Runtime's files."""
        checkpoint = self.checkpoint(model)
        return cached_folder(
            self.cache, f"{model.name}-onnx", self._prepare_key("make_onnx", checkpoint),
            lambda folder: self._run_in_peers(
                "make_onnx", f"{model.name}-onnx", checkpoint, model.pooling, folder
            ),
        )  # fmt: skip

    def openvino(self, model: BenchmarkModel) -> Path:
        """The folder with OpenVINO's files."""
        checkpoint = self.checkpoint(model)
        return cached_folder(
            self.cache, f"{model.name}-openvino", self._prepare_key("make_openvino", checkpoint),
            lambda folder: self._run_in_peers(
                "make_openvino", f"{model.name}-openvino", checkpoint, model.pooling, SENTENCES, folder
            ),
        )  # fmt: skip

    def ctranslate2(self, model: BenchmarkModel) -> Path:
        """The folder that is CTranslate2's model."""
        checkpoint = self.checkpoint(model)
        return cached_folder(
            self.cache, f"{model.name}-ctranslate2", self._prepare_key("make_ctranslate2", checkpoint),
            lambda folder: self._run_in_peers("make_ctranslate2", f"{model.name}-ctranslate2", checkpoint, folder),
        )  # fmt: skip

    def peer_folder(self, model: BenchmarkModel, runtime: str) -> Path:
        """The folder with the files that a peer loads."""
        folders: Mapping[str, Callable[[BenchmarkModel], Path]] = {
            "onnxruntime": self.onnx,
            "onnxruntime-unfused": self.onnx,
            "openvino": self.openvino,
            "ctranslate2": self.ctranslate2,
            "torch": self.checkpoint,
        }
        return folders[runtime](model)

    def artifact(self, model: BenchmarkModel, lengths: Sequence[int], batch: int = 1) -> Path:
        """This project's artifact for this machine: quantized and compiled by its own command line."""
        intbert = Path(sys.executable).parent / "intbert"
        checkpoint = self.checkpoint(model)
        quantize_key = digest([*sources(*QUANTIZERS), SENTENCES], checkpoint_key(checkpoint))
        quantize = [intbert, "quantize", checkpoint, "--method", "ibert", "--calibrate", SENTENCES, "-o"]
        quantized = cached_folder(
            self.cache, f"{model.name}-quantized", quantize_key,
            lambda folder: run_logged([*quantize, folder / "model"], self._log(f"{model.name}-quantize")),
        )  # fmt: skip
        words = ",".join(map(str, lengths))
        compile_ = [intbert, "compile", quantized / "model", "--target", "host", "--lengths", words]
        compile_ += ["--batch", str(batch), "-o"]
        name = f"{model.name}-artifact-of-{batch}"
        compiled = cached_folder(
            self.cache, name, compiled_key(quantize_key, words),
            lambda folder: run_logged([*compile_, folder / "model"], self._log(name)),
        )  # fmt: skip
        return compiled / "model"


def compiled_key(*words: str) -> str:
    """Of an artifact: another compiler, or another TVM, compiles another one."""
    return digest(sources("compiler", "schedules", "targets"), *words, importlib.metadata.version("apache-tvm"))


def sources(*names: str) -> list[Path]:
    """The project's source and data files under the given folders: another version is another artifact."""
    paths = [ROOT / name for name in names]
    folders = [path for path in paths if path.is_dir()]
    files = [path for path in paths if path.is_file()]
    return files + [file for folder in folders for suffix in ("py", "toml") for file in folder.rglob(f"*.{suffix}")]


def checkpoint_key(checkpoint: Path) -> str:
    """Where it is, and its small files: the path of a random checkpoint holds its own key already."""
    return digest([checkpoint / "config.json", checkpoint / "tokenizer.json"], str(checkpoint))
