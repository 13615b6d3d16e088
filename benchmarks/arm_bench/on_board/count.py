"""Runs a worker of ``peer_bench`` between two marks: ``count WORKER SPEC.json REPEATS RESULT``.

RESULT.npy gets the output, RESULT.maps the memory map, RESULT.json the versions.
"""

import importlib
import json
import sys
from pathlib import Path

import numpy as np
from peer_bench.workers.serve import Spec

from .marks import START, STOP, mark


def main(worker: str, spec_file: str, repeats: str, result: str) -> None:
    spec = Spec(**json.loads(Path(spec_file).read_text()))
    loaded = importlib.import_module(worker).load(spec)
    run = loaded.runs[spec.lengths[0]]
    output = run()  # whatever is prepared or packed by the first inference is not counted
    mark(START)
    for _ in range(int(repeats)):
        run()
    mark(STOP)
    np.save(f"{result}.npy", loaded.to_float(output), allow_pickle=False)
    Path(f"{result}.maps").write_text(Path("/proc/self/maps").read_text())
    Path(f"{result}.json").write_text(json.dumps(dict(loaded.versions)))


if __name__ == "__main__":
    main(*sys.argv[1:])
