"""The files at the top of a bundle. Runs on the host."""

from __future__ import annotations

import shlex
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .order import FORMAT
from .serve import DEFAULT_NAME
from .unit import check_service_name, unit_text

SCHEMA = 1
"""The version of ``bundle.json``."""

_HERE = Path(__file__).parent


@dataclass(frozen=True)
class BundleFacts:
    """What a bundle is. ``python`` is "3.11", ``arch`` as ``uname -m`` names it, ``target`` the artifact's.

    ``manifest``: SHA-256 of the artifact's manifest, which holds those of its files. ``runtime``: the digest of its
    wheels. ``service``: what its systemd unit is called, None without one.
    ``created``: ISO 8601, by the host's clock. DeviceError for a service that cannot be called so.
    """

    target: str
    arch: str
    python: str
    manifest: str
    runtime: str
    service: str | None
    created: str

    def __post_init__(self) -> None:
        if self.service is not None:
            check_service_name(self.service)

    def document(self) -> dict[str, Any]:
        """What ``bundle.json`` says."""
        return {"format": FORMAT, "schema": SCHEMA, **asdict(self)}


def bundle_texts(facts: BundleFacts, folder: str, python: str, artifact: str) -> dict[str, str]:
    """Name -> content of the files at the top of the bundle in ``folder``, but for ``bundle.json``.

    ``python``: the path of the interpreter to use where it is there; ``artifact``: what to call the artifact.
    """
    launcher = _launcher(facts, python)
    texts = {
        "run": launcher,
        "serve": launcher,
        "model.py": (_HERE / "model.py").read_text(encoding="utf-8"),
        "README.txt": _readme(facts, artifact),
    }
    if facts.service is not None:
        texts[f"{facts.service}.service"] = unit_text(facts.service, folder)
    return texts


def _launcher(facts: BundleFacts, python: str) -> str:
    choices = shlex.join(dict.fromkeys([python, f"python{facts.python}", "python3"]))
    text = (_HERE / "launch.sh").read_text(encoding="utf-8")
    return text.replace("@PYTHONS@", choices).replace("@VERSION@", facts.python)


def _readme(facts: BundleFacts, artifact: str) -> str:
    name = facts.service or DEFAULT_NAME
    text = _README.format(
        artifact=artifact, target=facts.target, arch=facts.arch, python=facts.python, created=facts.created, name=name
    )
    return text if facts.service is None else text + _SERVICE.format(name=facts.service)


_README = """\
The model {artifact} for {target}, with all that it needs but Python {python} ({arch}).
Made by `intbert deploy` on {created}; bundle.json says from what.

This folder can be copied or moved, to another board of the same kind too. Nothing outside of it is used.

    ./run "some text" "another"         the model's output, a line for each text
    ./run --pairs "one text" "another"  for models that take two texts
    ./run < texts.txt                   each line is a text
    ./run --json "some text"            one JSON document
    ./run --check                       whether the model runs here; ./run --help says more

In Python {python}:

    import sys
    sys.path.insert(0, "<this folder>")
    import model
    outputs = model.load()(["some text"])

./serve answers on a Unix socket that only its own account can use: $XDG_RUNTIME_DIR/{name}.sock, or {name}.sock
in this folder where that variable is not set; --socket PATH names another. A request is a line, and so is its answer:

    {{"texts": ["some text", ["one of a pair", "the other"]]}}
    {{"outputs": [[0.1, 0.2], [0.3, 0.4]]}}  or  {{"error": "what is wrong"}}

"integers": true asks for the integers themselves, "truncate": true cuts texts that are too long.
"""

_SERVICE = """
{name}.service is a systemd unit for ./serve. It names this folder: after a move, write the new path into it.

    systemctl --user enable --now "$PWD/{name}.service"
    loginctl enable-linger              so that it runs from the start of the machine, without a login
    systemctl --user disable --now {name}.service
"""
