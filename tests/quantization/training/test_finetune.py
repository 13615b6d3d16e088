"""Fine-tuning from Python: a process that was killed, and models that keep their mean pooling."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from intbert.compiler.model import HeadKind
from intbert.errors import TrainingError
from intbert.quantization import Training, finetune, load_float_model, save_float_model
from intbert.quantization.training.options import TrainingOptions

from ...models import tiny_float_model
from ..checkpoints import make_model, save_model, save_tokenizer
from .tiny_task import tiny_task

OPTIONS = TrainingOptions(epochs=2, batch_size=12, checkpoint_steps=2, learning_rate=3e-3)

KILLED = f"""
import os, signal, sys
from pathlib import Path
from intbert.quantization import Training, finetune
from intbert.quantization.training.options import TrainingOptions

def progress(iterable, description, total):
    for step in iterable:
        if step == 5:
            os.kill(os.getpid(), signal.SIGKILL)
        yield step

folder = Path(sys.argv[1])
finetune(folder / "checkpoint", Training("sst2", folder, folder / "work"), {OPTIONS!r}, progress)
"""


def test_a_process_that_was_killed_goes_on(tmp_path: Path) -> None:
    tiny_task(tmp_path)
    source = save_model(make_model("Bert", "Model"), tmp_path / "checkpoint")
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    found, record = finetune(source, Training("sst2", tmp_path, tmp_path / "work"), OPTIONS)
    expected, other = finetune(source, Training("sst2", tmp_path, tmp_path / "elsewhere"), OPTIONS)
    assert record["training"]["resumed_from_step"] == 4
    assert other["training"]["resumed_from_step"] is None
    assert found.weights.keys() == expected.weights.keys()
    assert all(found.weights[name].tobytes() == array.tobytes() for name, array in expected.weights.items())
    assert record["development"] == other["development"]


def test_mean_pooling_learns_similarities_and_is_kept(tmp_path: Path) -> None:
    (tmp_path / "STS-B").mkdir()
    words = ("a red ball", "the dog runs", "woman", "green hat and park")
    rows = [f"{a}\t{b}\t{5.0 if a == b else abs(i - j)}" for i, a in enumerate(words) for j, b in enumerate(words)]
    for split in ("train", "dev"):
        text = "\n".join(["sentence1\tsentence2\tlabel", *rows]) + "\n"
        (tmp_path / "STS-B" / f"{split}.tsv").write_text(text, encoding="utf-8")
    save_tokenizer(tmp_path)
    model = tiny_float_model("Bert", HeadKind.MEAN_POOLING).with_tokenizer(tmp_path)
    options = TrainingOptions(epochs=10, batch_size=8, learning_rate=3e-3)
    found, record = finetune(model, Training("stsb", tmp_path, tmp_path / "work"), options)
    assert found.architecture == model.architecture
    assert record["development"]["metric"] == "spearman"
    assert record["development"]["value"] > 0.8
    (tmp_path / "written").mkdir()
    save_float_model(found, tmp_path / "written")
    again = load_float_model(tmp_path / "written")
    assert np.array_equal(again.predict(["the red dog"]), found.predict(["the red dog"]))


def test_a_loss_that_overflows_says_the_step(tmp_path: Path) -> None:
    model, training = tiny_task(tmp_path)
    options = TrainingOptions(epochs=2, batch_size=12, learning_rate=1e30, warmup=0.0)
    with pytest.raises(
        TrainingError, match=r"of step \d is (nan|-?inf); there is no checkpoint yet; train with a lower"
    ):
        finetune(model, training, options)
