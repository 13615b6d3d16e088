"""``./run``: texts -> the model's output, a line each."""

from __future__ import annotations

import argparse
import io
import json
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import InputError, IntbertError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ...compiler.runtime import Model
    from ...compiler.runtime.text import Text

_FIRST_TOKEN = 0
"""An id that every vocabulary has."""


def main(folder: Path, load: Callable[[int | None], Model], arguments: Sequence[str]) -> int:
    """The command line of the bundle in ``folder``; returns the exit status."""
    options = parse(arguments)
    # What other programs do when a pipe closes or the user interrupts: end, and print no traceback.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    return run(folder, load, options)


def run(folder: Path, load: Callable[[int | None], Model], options: argparse.Namespace) -> int:
    """Does what the options ask for; returns the exit status."""
    try:
        given = _given(options)
        model = load(options.threads)
        if options.check:
            model.run([[_FIRST_TOKEN]])
            print(f"the model in {folder} runs here")
        elif options.json:
            print(json.dumps(_document(model, list(given), options), allow_nan=False))
        else:
            for text in given:
                print(line(_outputs(model, [text], options)[0]), flush=True)
    except (IntbertError, OSError) as error:
        print(f"run: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    return 0


def line(output: NDArray[Any]) -> str:
    """Numbers with a space between; of a head that speaks of every token, with a tab between tokens."""
    rows = output.reshape(-1, output.shape[-1])
    return "\t".join(" ".join(map(str, row)) for row in rows)


def read_texts(lines: Iterable[str], pairs: bool) -> Iterator[Text]:
    """A text for each line, or a pair of two with a tab between; InputError for a line that is none."""
    for number, text in enumerate(lines, 1):
        text = text.removesuffix("\n")
        if not pairs:
            yield text
            continue
        parts = text.split("\t")
        if len(parts) != 2:
            raise InputError(f"line {number} has {len(parts) - 1} tabs; a pair is two texts with one tab between")
        yield parts[0], parts[1]


def _given(options: argparse.Namespace) -> Iterable[Text]:
    texts = options.texts
    if not texts:
        if isinstance(sys.stdin, io.TextIOWrapper):
            sys.stdin.reconfigure(errors="surrogateescape")  # as in arguments: the model refuses what is no text
        return read_texts(sys.stdin, options.pairs)
    if not options.pairs:
        return texts
    if len(texts) % 2:
        raise InputError(f"--pairs needs an even number of texts, got {len(texts)}")
    return list(zip(texts[::2], texts[1::2], strict=True))


def _outputs(model: Model, texts: Sequence[Text], options: argparse.Namespace) -> NDArray[Any]:
    integers = model.run_texts(texts, truncate=options.truncate)
    return integers if options.integers else model.to_float(integers)


def _document(model: Model, texts: Sequence[Text], options: argparse.Namespace) -> dict[str, Any]:
    """What ``intbert run --json`` prints."""
    outputs = _outputs(model, texts, options)
    scale = {"scale": model.manifest.output.scale} if options.integers else {}
    return {"outputs": outputs.tolist(), "shape": list(outputs.shape), "dtype": str(outputs.dtype), **scale}


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The options, which may stand between texts; behind the first ``--`` there are only texts."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    options = _parser().parse_intermixed_args(arguments[:end])
    options.texts += arguments[end + 1 :]
    return options


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="run",
        allow_abbrev=False,
        description="Prints the model's output for each text, a line each. Without a text, the lines of the "
        "standard input are the texts.",
    )
    parser.add_argument("texts", nargs="*", metavar="TEXT", help="after -- it may begin with a dash")
    parser.add_argument("--pairs", action="store_true", help="take texts two by two; on a line, a tab is between")
    parser.add_argument("--integers", action="store_true", help="print the integers themselves")
    parser.add_argument("--truncate", action="store_true", help="cut texts that are too long")
    parser.add_argument("--threads", type=int, help="threads for one text; by default one a core")
    parser.add_argument("--json", action="store_true", help="print one JSON document for all texts")
    parser.add_argument("--check", action="store_true", help="only see whether the model runs here")
    return parser
