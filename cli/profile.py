"""``intbert profile``: where the time of an inference goes, operator by operator."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import boards, console, options

if TYPE_CHECKING:
    from ..compiler.profile import OperatorTime, Profile, ProfileRequest


def register(app: typer.Typer) -> None:
    app.command("profile")(profile)


def profile(
    artifact: Annotated[Path, typer.Argument(help="An artifact, as `intbert compile` writes it.")],
    device: boards.Device = None,
    tracker: boards.Tracker = None,
    key: boards.Key = None,
    length: Annotated[
        int | None, typer.Option("--length", min=1, help="Tokens of a row; by default the longest bucket.")
    ] = None,
    batch: Annotated[int, typer.Option("--batch", min=1, help="Rows of one inference.")] = 1,
    threads: options.Threads = None,
    runs: Annotated[int, typer.Option("--runs", min=1, help="Inferences to average over.")] = 20,
    layers: Annotated[bool, typer.Option("--layers", help="Show the operators of every layer by themselves.")] = False,
    wait: boards.Wait = boards.WAIT_SECONDS,
    as_json: options.Json = False,
) -> None:
    """Show how long each operator of an artifact takes, here or on a board, and the strategy that it has."""
    from ..compiler.profile import ProfileRequest, across_layers

    place = boards.chosen(device, tracker, key)
    found, board = _measured(artifact, ProfileRequest(length, batch, runs), place, threads, wait)
    where = board or "this machine"
    if as_json:
        console.print_json({"device": where, **found.to_json()})
        return
    document = found.to_json()
    hidden = {"steps", "total_ms", "outside_ms", "operators"}
    facts = [(name, console.cell(value)) for name, value in document.items() if name not in hidden]
    console.print_table(("", ""), [("device", where), *facts])
    _print_operators(found, found.operators if layers else across_layers(found.operators))


def _measured(
    artifact: Path, request: ProfileRequest, place: boards.Place | None, threads: int | None, wait: float
) -> tuple[Profile, str | None]:
    """The profile, and what the board that it was taken on is called."""
    if place is None:
        from ..compiler.runtime import load
        from ..compiler.runtime.profiling import profile

        model = load(artifact, threads)
        with console.steps() as step:
            step("profiling")
            return profile(model, request), None
    with boards.loaded_on(artifact, threads, place, wait) as remote:
        return remote.model.profile(request), remote.where


def _print_operators(found: Profile, operators: tuple[OperatorTime, ...]) -> None:
    rows = [
        (entry.name, entry.kernel, entry.calls, *_time(found, entry.ms), entry.strategy or "") for entry in operators
    ]
    outside = found.steps - sum(operator.calls for operator in operators)
    rows.append(("outside the operators", "", outside, *_time(found, found.outside_ms), ""))
    rows.append(("total", "", found.steps, *_time(found, found.total_ms), ""))
    console.print_table(("operator", "kernel", "calls", "ms", "share", "strategy"), rows)


def _time(found: Profile, ms: float) -> tuple[float, str]:
    return ms, f"{found.share(ms):6.1%}"
