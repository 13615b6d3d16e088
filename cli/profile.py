"""``intbert profile``: where the time of an inference goes, operator by operator; on a GPU also as an estimate."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import boards, console, options, profile_estimate

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..compiler.profile import OperatorTime, Peak, Profile, ProfileRequest

_FACTS = (
    *("device", "length", "batch", "threads", "runs"),
    *("uninstrumented_p50_ms", "instrumented_ms", "instrumentation_ms"),
)
_OF_PEAK, _OF_BANDWIDTH = "of peak", "of bandwidth"
_WIDTH = 150
_COLUMNS = ("operator", "kernel", "calls", "ms", "share", "GMAC/s", _OF_PEAK, "MB", "GB/s", _OF_BANDWIDTH, "strategy")


def register(app: typer.Typer) -> None:
    app.command("profile")(profile)


def profile(
    artifact: Annotated[
        Path,
        typer.Argument(help="An artifact, as `intbert compile` writes it; with --estimate also a quantized model."),
    ],
    device: boards.Device = None,
    tracker: boards.Tracker = None,
    key: boards.Key = None,
    length: Annotated[
        int | None, typer.Option("--length", min=1, help="Tokens of a row; by default the longest bucket.")
    ] = None,
    batch: Annotated[int, typer.Option("--batch", min=1, help="Rows of one inference.")] = 1,
    threads: options.Threads = None,
    runs: Annotated[int, typer.Option("--runs", min=1, help="Inferences to average over.")] = 20,
    estimate: Annotated[
        bool, typer.Option("--estimate", help="Run nothing: say what a GPU's kernels could reach at best.")
    ] = False,
    target: Annotated[
        str | None, typer.Option("--target", "-t", help="The GPU of --estimate; by default the artifact's.")
    ] = None,
    layers: Annotated[bool, typer.Option("--layers", help="Show the operators of every layer by themselves.")] = False,
    wait: boards.Wait = boards.WAIT_SECONDS,
    as_json: options.Json = False,
) -> None:
    """Show how long each operator of an artifact takes, here or on a board, what that is of the machine's peak, and
    the strategy that it has."""
    if estimate:
        if device is not None or tracker is not None or key is not None:
            raise typer.BadParameter("--estimate runs nothing; leave out --device, --tracker and --key")
        profile_estimate.show(artifact, target, length, batch, layers=layers, as_json=as_json)
        return
    if target is not None:
        raise typer.BadParameter("--target belongs to --estimate; an artifact runs on what it was compiled for")

    from ..compiler.profile import ProfileRequest, across_layers

    place = boards.chosen(device, tracker, key)
    measured = _measured(artifact, ProfileRequest(length, batch, runs), place, threads, wait)
    found, where = measured.profile, measured.board or "this machine"
    document = {"device": where, **found.to_json(), "no_peak_because": measured.no_peak_because}
    if as_json:
        console.print_json(document)
        return
    console.print_table(("", ""), [*((name, console.cell(document[name])) for name in _FACTS), *_peak(found)])
    _print_operators(found, found.operators if layers else across_layers(found.operators))
    if measured.no_peak_because is not None:
        console.say(f"no share of the machine's peak: {measured.no_peak_because}")


@dataclass(frozen=True)
class _Measured:
    """``board``: what the board that it was taken on is called; ``no_peak_because``: why the profile has no peak."""

    profile: Profile
    board: str | None
    no_peak_because: str | None


def _measured(
    artifact: Path, request: ProfileRequest, place: boards.Place | None, threads: int | None, wait: float
) -> _Measured:
    from ..rpc.peak import peak_here, peak_on

    if place is None:
        from ..compiler.runtime import load
        from ..compiler.runtime.profiling import profile

        model = load(artifact, threads)
        with console.steps() as step:
            step("profiling")
            return _with_peak(profile(model, request), None, lambda: peak_here(model.manifest))
    with boards.loaded_on(artifact, threads, place, wait) as remote:
        found = remote.model.profile(request)
        return _with_peak(found, remote.where, lambda: peak_on(remote.model.session, remote.manifest))


def _with_peak(found: Profile, board: str | None, measure: Callable[[], Peak]) -> _Measured:
    """The profile does not fail with what is measured after it."""
    from ..errors import IntbertError

    try:
        return _Measured(replace(found, peak=measure()), board, None)
    except IntbertError as error:
        return _Measured(found, board, str(error))


def _peak(found: Profile) -> list[tuple[str, str]]:
    from ..compiler.profile import GpuPeak

    peak = found.peak
    if peak is None:
        return []
    if not isinstance(peak, GpuPeak):
        return [("peak", f"{peak.gmacs:.1f} GMAC/s a thread by {peak.instruction}, measured")]
    clock = "" if peak.clock_mhz is None else f" at {peak.clock_mhz:.0f} MHz"
    held = f", while its clock was held back ({', '.join(peak.throttled)})" if peak.throttled else ""
    return [
        ("peak", f"{peak.gmacs:.1f} GMAC/s of the GPU by {peak.instruction}{clock}, measured{held}"),
        ("bandwidth", f"{peak.gbytes:.1f} GB/s read and written by a copy, measured{held}"),
    ]


def _print_operators(found: Profile, operators: tuple[OperatorTime, ...]) -> None:
    measured = {_OF_PEAK: found.peak_gmacs, _OF_BANDWIDTH: found.peak_gbytes}
    columns = [name for name in _COLUMNS if name not in measured or measured[name] is not None]
    rows = [
        {
            "operator": entry.name,
            "kernel": entry.kernel,
            "calls": entry.calls,
            "strategy": entry.strategy,
            **_rates(found, entry.macs, entry.bytes, entry.ms),
        }
        for entry in operators
    ]
    outside = found.steps - sum(operator.calls for operator in operators)
    rows.append({"operator": "outside the operators", "calls": outside, **_rates(found, None, None, found.outside_ms)})
    total = _rates(found, found.macs, found.bytes, found.total_ms)
    rows.append({"operator": "total", "calls": found.steps, **total})
    console.print_table(columns, [[row.get(name, "") for name in columns] for row in rows], least_width=_WIDTH)


def _rates(found: Profile, macs: int | None, size: int | None, ms: float) -> dict[str, Any]:
    rates = found.rates(macs, size, ms)
    return {
        "ms": ms,
        "share": f"{found.share(ms):6.1%}",
        "GMAC/s": _number(rates["gmacs_per_s"]),
        _OF_PEAK: _part(rates["share_of_peak"]),
        "MB": _number(None if size is None else size / 1e6),
        "GB/s": _number(rates["gbytes_per_s"]),
        _OF_BANDWIDTH: _part(rates["share_of_bandwidth"]),
    }


def _part(value: float | None) -> str:
    return "" if value is None else f"{value:6.1%}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:7.2f}"
