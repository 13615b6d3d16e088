"""``intbert bench``: latency and memory of an artifact, on this machine or on boards."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import boards, console, options

if TYPE_CHECKING:
    from ..rpc.benchmark import Plan
    from ..rpc.benchmark.sweep import Outcome

_MOST_SLOW = 3
"""Operators that a warning names."""
_SHOWN = ("p50_ms", "p90_ms", "p99_ms", "runs", "throttled_runs", "peak_rss_mb", "stopped")


def register(app: typer.Typer) -> None:
    app.command("bench")(bench)


def bench(
    artifact: Annotated[Path, typer.Argument(help="An artifact, as `intbert compile` writes it.")],
    length: Annotated[
        str | None,
        typer.Option("--length", "--lengths", help="Tokens, or several: 32,128; by default the longest bucket."),
    ] = None,
    batch: Annotated[int, typer.Option("--batch", min=1, help="Rows of one inference.")] = 1,
    threads: Annotated[
        str | None, typer.Option("--threads", help="Of one inference, or several: 1,4; by default one a physical core.")
    ] = None,
    runs: Annotated[
        int | None, typer.Option("--runs", min=1, help="Measure so many inferences, however sure the median is.")
    ] = None,
    warmup: Annotated[int, typer.Option("--warmup", min=0, help="Inferences before the measured ones.")] = 10,
    device: Annotated[
        str | None, typer.Option("--device", metavar="NAMES", help="Measure on these boards: pi, or pi,nano.")
    ] = None,
    tracker: boards.Tracker = None,
    key: boards.Key = None,
    precision: Annotated[
        float, typer.Option("--precision", help="Measure until the median is known so well (95 %).")
    ] = 0.01,
    seconds: Annotated[float, typer.Option("--seconds", help="Measure no longer than this.")] = 60.0,
    cool: Annotated[
        float | None, typer.Option("--cool", metavar="CELSIUS", help="Wait until the machine is cooler than this.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="A sweep's JSON file; a sweep that was cut off goes on from it."),
    ] = None,
    against: Annotated[
        str | None,
        typer.Option("--against", metavar="fp32", help="Measure the float model of the same architecture in turns."),
    ] = None,
    wait: boards.Wait = boards.WAIT_SECONDS,
    as_json: options.Json = False,
) -> None:
    """Measure an artifact on this machine, in a process of its own, or on boards."""
    lengths, counts = _numbers("--length", length), _numbers("--threads", threads)
    place = boards.chosen(device, tracker, key)
    if place is None and (len(lengths) > 1 or len(counts) > 1 or output is not None):
        raise typer.BadParameter("several lengths or thread counts, and --output, need --device or --tracker")

    if place is not None and against is not None:
        raise typer.BadParameter(
            "--against needs PyTorch, which boards do not get; run it on the board, with 'intbert[quantize]' installed"
        )

    from ..rpc.benchmark import Plan

    limits = {} if runs is None else {"least_runs": runs, "most_runs": runs}
    plan = Plan(batch=batch, warmup=warmup, precision=precision, seconds=seconds, cool_below=cool, **limits)
    if place is None:
        _print_one(_here(artifact, replace(plan, length=lengths[0], threads=counts[0]), against), as_json)
        return
    _on_boards(artifact, place, lengths, counts, plan, output, wait, as_json)


def _here(artifact: Path, plan: Plan, against: str | None) -> dict[str, Any]:
    from ..rpc.benchmark.against import bench_against
    from ..rpc.benchmark.here import bench_here

    with console.steps() as step:
        step("measuring")
        return bench_here(artifact, plan) if against is None else bench_against(artifact, against, plan, step)


def _on_boards(
    artifact: Path,
    place: boards.Place,
    lengths: list[int | None],
    threads: list[int | None],
    plan: Plan,
    output: Path | None,
    wait: float,
    as_json: bool,
) -> None:
    from ..rpc.benchmark.on_device import DeviceBenchmarks
    from ..rpc.benchmark.sweep import SweepFile, cells, sweep

    names = [name.strip() for name in place.names.split(",")]
    wanted = cells(names, lengths, threads, plan)
    with boards.reaching(wait) as terms:
        for name in names:
            place.boards.check(name, terms)  # a name that is mistyped costs no measurement
        with DeviceBenchmarks(artifact, terms, boards=place.boards) as benchmarks:
            if len(wanted) == 1 and output is None:
                _print_one(benchmarks.measure(wanted[0]), as_json)
                return
            file = SweepFile(output, _digest(artifact)) if output is not None else None
            outcomes = list(sweep(wanted, file, benchmarks.measure, terms.tell))
    _print_sweep(outcomes, as_json)
    failed = [outcome for outcome in outcomes if outcome.error is not None]
    if failed:
        console.say(f"intbert: {len(failed)} of {len(outcomes)} were not measured; {failed[0].error}")
        raise typer.Exit(1)


def _print_one(result: dict[str, Any], as_json: bool) -> None:
    if as_json:
        console.print_json(result)
        return
    hidden = {"samples", "sensors", "against"}
    console.print_table(("", ""), [(k, console.cell(v)) for k, v in result.items() if k not in hidden])
    for warning in (_warning(result), _print_against(result)):
        if warning:
            console.say(warning)


def _print_against(result: dict[str, Any]) -> str | None:
    """Prints what the baseline came to; the warning that the model is not faster."""
    found = result.get("against")
    if found is None:
        return None
    shown = ("baseline", "runtime", "p50_ms", "p90_ms", "p99_ms", "runs", "peak_rss_mb", "speedup")
    console.print_table(("against", ""), [(name, console.cell(found[name])) for name in shown])
    if found["speedup"] > 1:
        return None
    slow = ", ".join(
        f"{each['operator']} ({each['ms']:.3g} ms, {each['baseline_ms']:.3g} in {found['baseline']})"
        for each in found["slow_operators"][:_MOST_SLOW]
    )
    return (
        f"warning: the model is not faster than its {found['baseline']} baseline ({result['p50_ms']:.3g} ms, "
        f"{found['p50_ms']:.3g} in {found['baseline']}); operators to look at: {slow}; "
        "`intbert profile` says more, `intbert tune` may help"
    )


def _print_sweep(outcomes: list[Outcome], as_json: bool) -> None:
    if as_json:
        console.print_json({"cells": [outcome.to_json() for outcome in outcomes]})
        return
    rows = []
    for outcome in outcomes:
        result = outcome.result or {}
        shown = [result.get(name) for name in _SHOWN]
        plan = outcome.cell.plan
        rows.append((outcome.cell.device, plan.length or "", plan.threads or "", *shown, outcome.error or ""))
    console.print_table(("device", "length", "threads", *_SHOWN, "error"), rows)


def _warning(result: dict[str, Any]) -> str | None:
    if result["throttled_runs"]:
        reasons = ", ".join(result["throttle_reasons"])
        return (
            f"{result['throttled_runs']} of {result['runs']} samples were taken while the board held back its clock "
            f"({reasons}); they do not count in the percentiles unless all were"
        )
    if result["throttled_runs"] is None:
        return "this board cannot tell whether it throttles"
    return None


def _digest(artifact: Path) -> str:
    """The artifact's identity: the hash of its manifest, which holds those of all its files."""
    from ..compiler.artifact import MANIFEST_FILE, file_sha256, opened

    with opened(artifact) as folder:
        return file_sha256(folder / MANIFEST_FILE)


def _numbers(option: str, text: str | None) -> list[int | None]:
    """``"32,128"`` as numbers; [None] when nothing was given."""
    if text is None:
        return [None]
    parts = text.split(",")
    if not all(part.strip().isdigit() and int(part) > 0 for part in parts):
        raise typer.BadParameter(f"{option} {text}: expected positive whole numbers, separated by commas")
    return [int(part) for part in parts]
