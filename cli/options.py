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
Truncate = Annotated[bool, typer.Option("--truncate", help="Cut texts that are longer than the largest bucket.")]
