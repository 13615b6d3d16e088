"""What each kernel is for: the calls of an inference beside the operators that the manifest lists."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

_LAYER = re.compile(r"^layers\.\d+\.")


def operators_of(calls: Sequence[str], manifest: Path, length: int) -> Mapping[str, str]:
    """Kernel -> its operators with their strategies, a layer's operators as one: ``layers.*.output (neon_dotprod)``."""
    function = f"main_b1_t{length}/"
    records = [
        (record["operator"].removeprefix(function), record["strategy"])
        for record in json.loads(manifest.read_text(encoding="utf-8"))["strategies"]
        if record["operator"].startswith(function)
    ]
    if len(records) != len(calls):
        return {}
    found: dict[str, dict[str, None]] = {}
    for kernel, (operator, strategy) in zip(calls, records, strict=True):
        found.setdefault(kernel, {})[f"{_LAYER.sub('layers.*.', operator)} ({strategy})"] = None
    return {kernel: ", ".join(names) for kernel, names in found.items()}
