"""The kernels that one inference of an artifact calls, in their order: ``calls ARTIFACT LENGTH RESULT``."""

import json
import sys
from pathlib import Path
from typing import Any

import intbert
import numpy as np

MACHINE = "vm.builtin."
GO_ON = 0


def main(artifact: str, length: str, result: str) -> None:
    calls: list[str] = []

    def instrument(function: Any, name: str, before: bool, returned: Any, *arguments: Any) -> int:
        if before and not name.startswith(MACHINE):
            calls.append(name)
        return GO_ON

    model = intbert.load(artifact, threads=1)
    with model.instrumented(instrument):
        model.run(np.ones((1, int(length)), np.int32))
    Path(result).write_text(json.dumps(calls))


if __name__ == "__main__":
    main(*sys.argv[1:])
