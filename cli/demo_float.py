"""The float original, measured as its users run it: transformers and PyTorch, in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

RUNS, WARMUP = 30, 5


def measure_in_child(source: Path, length: int, threads: int) -> dict[str, float]:
    """Latency of one sequence of ``length`` tokens, size of the weights and peak memory of the process."""
    command = [sys.executable, "-m", __name__, str(source), str(length), str(threads)]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True)
    return json.loads(done.stdout)


def _measure(source: Path, length: int, threads: int) -> dict[str, float]:
    import torch
    from transformers import AutoModel

    from ..compiler.measure import peak_rss_mb

    torch.set_num_threads(threads)
    model = AutoModel.from_pretrained(source).eval()
    ids = (torch.arange(length) * 7919 % model.config.vocab_size).reshape(1, length)
    samples = []
    with torch.inference_mode():
        for _ in range(WARMUP + RUNS):
            start = time.perf_counter()
            model(input_ids=ids)
            samples.append((time.perf_counter() - start) * 1e3)
    p50, p90, p99 = torch.tensor(samples[WARMUP:], dtype=torch.float64).quantile(
        torch.tensor([0.5, 0.9, 0.99], dtype=torch.float64)
    )
    return {
        "tokens": length,
        "p50_ms": float(p50),
        "p90_ms": float(p90),
        "p99_ms": float(p99),
        "size_mb": (source / "model.safetensors").stat().st_size / 1e6,
        "peak_rss_mb": peak_rss_mb(),
    }


if __name__ == "__main__":
    print(json.dumps(_measure(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))))
