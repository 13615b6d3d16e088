"""Calibration sentences from a text file."""

from __future__ import annotations

from pathlib import Path

from ..errors import CalibrationError


def read_sentences(path: Path) -> list[str]:
    """The sentences of a UTF-8 text file, one a line, blank lines left out.

    Raises CalibrationError when the file cannot be read, is not UTF-8, or holds no sentence.
    """
    try:
        text = Path(path).read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise CalibrationError(
            f"{path}: not UTF-8 (byte {error.start}); save it as UTF-8 text, one sentence a line"
        ) from None
    except OSError as error:
        raise CalibrationError(f"{path}: the calibration file cannot be read ({error.strerror})") from None
    # str.splitlines would also break at U+2028, form feeds and the like, which end no line of a text file.
    sentences = [line.strip() for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n")]
    sentences = [sentence for sentence in sentences if sentence]
    if not sentences:
        raise CalibrationError(f"{path}: no sentences to calibrate on; write one sentence a line")
    return sentences
