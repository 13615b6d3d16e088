"""Prepared models: made once, never half, and made anew when something changed."""

from pathlib import Path

import pytest
from peer_bench.cache import cached_folder, digest


def test_digest_follows_contents_and_words(tmp_path: Path) -> None:
    a, b = tmp_path / "a", tmp_path / "b"
    a.write_text("1")
    b.write_text("2")
    keys = {digest([a, b]), digest([a]), digest([a, b], "version 1"), digest([a, b], "version 2")}
    assert len(keys) == 4
    assert digest([b, a]) == digest([a, b])
    before = digest([a])
    a.write_text("3")
    assert digest([a]) != before


def test_a_folder_is_made_once(tmp_path: Path) -> None:
    made: list[Path] = []

    def make(folder: Path) -> None:
        made.append(folder)
        (folder / "model").write_text("weights")

    first = cached_folder(tmp_path, "minilm-onnx", "0123", make)
    second = cached_folder(tmp_path, "minilm-onnx", "0123", make)
    assert first == second
    assert len(made) == 1
    assert (first / "model").read_text() == "weights"


def test_an_interrupted_preparation_leaves_nothing(tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        (folder / "half").write_text("a model")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cached_folder(tmp_path, "minilm-onnx", "0123", fail)
    assert list(tmp_path.iterdir()) == []


def test_outdated_folders_of_the_same_name_go(tmp_path: Path) -> None:
    for name in ("minilm-onnx-aaaa", "minilm-onnx-bbbb.partial", "minilm-openvino-aaaa"):
        (tmp_path / name).mkdir()
    cached_folder(tmp_path, "minilm-onnx", "cccc", lambda folder: None)
    assert sorted(folder.name for folder in tmp_path.iterdir()) == [
        "minilm-onnx-cccc",
        "minilm-openvino-aaaa",
    ]
