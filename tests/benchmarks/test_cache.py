"""Prepared models: made once, never half, and made anew when something changed."""

import threading
import time
from pathlib import Path

import pytest
from peer_bench.cache import cached_folder, digest


def folders(cache: Path) -> list[str]:
    return sorted(path.name for path in cache.iterdir() if path.is_dir())


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
    assert folders(tmp_path) == []


def test_outdated_folders_of_the_same_name_go(tmp_path: Path) -> None:
    for name in ("minilm-onnx-aaaa", "minilm-onnx-bbbb.partial", "minilm-openvino-aaaa"):
        (tmp_path / name).mkdir()
    cached_folder(tmp_path, "minilm-onnx", "cccc", lambda folder: None)
    assert folders(tmp_path) == ["minilm-onnx-cccc", "minilm-openvino-aaaa"]


def test_two_that_need_the_same_folder_do_not_both_make_it(tmp_path: Path) -> None:
    made: list[Path] = []
    entered = threading.Event()

    def make(folder: Path) -> None:
        made.append(folder)
        entered.set()
        time.sleep(0.2)

    first = threading.Thread(target=cached_folder, args=(tmp_path, "minilm-onnx", "0123", make))
    first.start()
    entered.wait(10)
    cached_folder(tmp_path, "minilm-onnx", "0123", make)
    first.join(10)
    assert len(made) == 1
