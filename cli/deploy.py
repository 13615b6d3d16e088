"""``intbert deploy``: a model with its runtime -> a folder of a board, which needs no intbert."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import boards, console, options

if TYPE_CHECKING:
    from ..rpc.bundle.deploying import Deployed


def register(app: typer.Typer) -> None:
    app.command("deploy")(deploy)


def deploy(
    artifact: Annotated[Path, typer.Argument(help="An artifact, as `intbert compile` writes it.")],
    device: Annotated[str, typer.Option("--device", metavar="NAME", help="The board; `intbert device list` has them.")],
    to: Annotated[
        str, typer.Option("--to", metavar="DIR", help="The folder there: absolute, or relative to the account's home.")
    ],
    service: Annotated[
        str | None, typer.Option("--service", metavar="NAME", help="Write a systemd unit too, and start it.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a bundle that is there already.")] = False,
    wait: boards.Wait = boards.WAIT_SECONDS,
    as_json: options.Json = False,
) -> None:
    """Put a model with all that it needs into a folder of a board: ./run "some text" there, without intbert."""
    from dataclasses import asdict

    from ..rpc.bundle import deploying

    with boards.reaching(wait) as terms:
        deployed = deploying.deploy(artifact, device, to, terms, service=service, force=force)
    if as_json:
        console.print_json(asdict(deployed))
    else:
        _print(deployed)


def _print(deployed: Deployed) -> None:
    from shlex import quote

    megabytes, sent = deployed.bytes / 1e6, deployed.sent_bytes / 1e6
    print(f"{deployed.folder} on {deployed.device} has {megabytes:.1f} MB ({sent:.1f} MB were sent)")
    print(f"there: {quote(deployed.folder + '/run')} 'some text'")
    service = deployed.service
    if service is None:
        return
    if service.problem is None:
        print(f"{service.unit} is enabled and runs; from the start of the board with: loginctl enable-linger")
    else:
        print(f"{service.unit} does not run: {service.problem}")
        print(f"start it there: systemctl --user enable --now {quote(service.unit)}")
