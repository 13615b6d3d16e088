from __future__ import annotations

from pathlib import Path

import pytest
from intbert.errors import CalibrationError
from intbert.quantization import read_sentences


def test_one_sentence_a_line_blank_ones_left_out(tmp_path: Path) -> None:
    path = tmp_path / "sentences.txt"
    path.write_bytes("\ufeffOne.\r\n\r\n  Zwei \u00fc. \nthree\u2028still three".encode())
    assert read_sentences(path) == ["One.", "Zwei \u00fc.", "three\u2028still three"]


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "no sentences"), (b" \n\t\n", "no sentences"), (b"fine\n\xff\xfe", r"not UTF-8 \(byte 5\)")],
    ids=["empty", "blank", "latin"],
)
def test_bad_files(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "sentences.txt"
    path.write_bytes(content)
    with pytest.raises(CalibrationError, match=message) as caught:
        read_sentences(path)
    assert str(path) in str(caught.value)


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(CalibrationError, match="No such file"):
        read_sentences(tmp_path / "absent.txt")
    with pytest.raises(CalibrationError, match="directory"):
        read_sentences(tmp_path)
