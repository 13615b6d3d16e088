"""Sentences to calibrate on from a task's training split, for who has no file of them."""

from __future__ import annotations

from pathlib import Path

from ..compiler.model import HeadKind
from .glue import Split, get_task, read_examples
from .tokenization import Text

COUNT = 256


def task_sentences(task: str, data: Path, head: HeadKind, count: int = COUNT) -> list[Text]:
    """``count`` distinct texts, or all there are, spread evenly over the training split of ``task``.

    Pairs where the model has a classification head, which reads both sentences together; each sentence of its own
    otherwise. Raises EvaluationError for an unknown task and for data that cannot be read.
    """
    examples = read_examples(get_task(task), Path(data), split=Split.TRAIN)
    texts: dict[Text, None] = {}
    for example in examples:
        if len(example.sentences) == 2 and head is HeadKind.SEQUENCE_CLASSIFICATION:
            texts[example.sentences[0], example.sentences[1]] = None
        else:
            texts.update(dict.fromkeys(example.sentences))
    distinct = list(texts)
    return distinct[:: max(1, len(distinct) // count)][:count]
