"""What the demonstration keeps, and what it makes again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from intbert.cli import demo


def test_kept_until_an_input_changes(tmp_path: Path):
    source = tmp_path / "source"
    source.write_text("one", encoding="utf-8")
    made: list[Path] = []

    def make(output: Path) -> None:
        output.mkdir(parents=True)
        made.append(output)

    def get(extra: str = "") -> Path:
        return demo._cached(tmp_path / "build", "model", [source], "Made", make, extra)

    first = get()
    assert get() == first
    assert made == [first]
    source.write_text("two", encoding="utf-8")
    second = get()
    assert made == [first, second]
    assert get("other options") != second
    assert len(list((tmp_path / "build").iterdir())) == 1  # what older inputs gave is gone


def test_nearest_is_never_itself():
    vectors = np.array([[1, 0], [0.9, 0.1], [0, 1]], dtype=np.float32)
    assert demo._nearest(vectors) == [1, 0, 1]


def test_an_error_is_one_line(monkeypatch, capsys):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert demo.main() == 1
    output = capsys.readouterr()
    assert output.err.startswith("intbert: the demonstration model is not installed")
    assert output.err.count("\n") == 1
