"""Writes CTranslate2's int8 model: ``make_ctranslate2 CHECKPOINT OUTPUT``."""

import sys

from ctranslate2.converters import TransformersConverter  # pyright: ignore[reportMissingImports]
from transformers import BertConfig  # pyright: ignore[reportMissingImports]


def main() -> None:
    checkpoint, output = sys.argv[1:]
    # The converter asks for a setting that transformers 5 no longer has, as all its models are of this kind.
    setattr(BertConfig, "position_embedding_type", "absolute")  # noqa: B010
    TransformersConverter(checkpoint).convert(output, quantization="int8", force=True)


if __name__ == "__main__":
    main()
