"""Writes a BERT with random weights: ``make_random_bert TOKENIZER_FOLDER LAYERS HIDDEN HEADS INTERMEDIATE OUTPUT``.

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
    tokenizer, *sizes, output = sys.argv[1:]
    layers, hidden, heads, intermediate = map(int, sizes)
    config = BertConfig(
        num_hidden_layers=layers, hidden_size=hidden, num_attention_heads=heads, intermediate_size=intermediate
    )
    torch.manual_seed(SEED)
    BertModel(config, add_pooling_layer=False).save_pretrained(output)
    for name in TOKENIZER_FILES:
        shutil.copyfile(Path(tokenizer) / name, Path(output) / name)


if __name__ == "__main__":
    main()
