"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout; progress goes to stderr.")]
Force = Annotated[bool, typer.Option("--force", help="Replace an output of intbert that exists already.")]
Output = Annotated[Path, typer.Option("--output", "-o", help="Where to write; must not exist.")]
Threads = Annotated[
    int | None, typer.Option("--threads", help="Threads for one inference; by default one a physical core.")
]
Log = Annotated[
    str, typer.Option("--log", envvar="INTBERT_LOG", metavar="URL", help="The tuning log: a file, or postgresql://...")
]
Target = Annotated[str, typer.Option("--target", "-t", help="host, or a name that `intbert targets` lists.")]
Lengths = Annotated[
    str | None, typer.Option("--lengths", metavar="N,...", help="Tokens a bucket holds; by default 32,64,128,256.")
]
Batches = Annotated[str, typer.Option("--batch", metavar="N,...", help="Rows a bucket holds.")]
Truncate = Annotated[bool, typer.Option("--truncate", help="Cut texts that are longer than the largest bucket.")]


def numbers(text: str) -> tuple[int, ...]:
    """``"32,128"`` as numbers."""
    try:
        found = tuple(int(part) for part in text.split(","))
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a list of numbers such as 32,128") from None
    if min(found) < 1 or len(set(found)) < len(found):
        raise typer.BadParameter(f"{text!r}: positive numbers, each once")
    return found
