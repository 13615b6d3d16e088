"""Writes BERT-base with random weights: ``make_random_bert TOKENIZER_FOLDER OUTPUT``.

Latency does not depend on the values of the weights, and no checkpoint has to be downloaded.
"""

import shutil
import sys
from pathlib import Path

import torch
from transformers import BertConfig, BertModel  # pyright: ignore[reportMissingImports]

SEED = 0
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt")


def main() -> None:
    tokenizer, output = map(Path, sys.argv[1:])
    torch.manual_seed(SEED)
    BertModel(BertConfig(), add_pooling_layer=False).save_pretrained(output)
    for name in TOKENIZER_FILES:
        shutil.copyfile(tokenizer / name, output / name)


if __name__ == "__main__":
    main()
