"""Sentences of a task's training set to calibrate on."""

from __future__ import annotations

import csv
import gzip
import io
from pathlib import Path

from .errors import TableError


def write_calibration(task: str, data: Path, count: int, output: Path) -> None:
    """Writes ``count`` first sentences, evenly spread over the training set, whose genres follow one another."""
    from intbert.quantization.glue import get_task

    description = get_task(task)
    sentences = _column(data / description.folder / "train.tsv", description.columns[0])
    chosen = sentences[:: max(1, len(sentences) // count)][:count]
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text("\n".join(chosen) + "\n", encoding="utf-8")


def _column(path: Path, column: str) -> list[str]:
    compressed = path.with_name(f"{path.name}.gz")
    try:
        content = gzip.decompress(compressed.read_bytes()) if compressed.is_file() else path.read_bytes()
        # GLUE's sentences hold unpaired double quotes.
        rows = csv.DictReader(io.StringIO(content.decode("utf-8"), newline=""), delimiter="\t", quoting=csv.QUOTE_NONE)
        sentences = [row[column].strip() for row in rows]
    except OSError as error:
        raise TableError(f"{path}: cannot be read ({error.strerror}); give the GLUE folder with --data") from None
    except KeyError:
        raise TableError(f"{path}: column '{column}' is missing") from None
    return [sentence for sentence in sentences if sentence]
