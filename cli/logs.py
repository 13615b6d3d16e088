"""``intbert logs``: what is in a tuning log, and its upkeep."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import InputError
from . import console, options
from . import logs_display as display
from .verify import verify

if TYPE_CHECKING:
    from ..schedules.tuning_log import Filter, Record
    from ..schedules.tuning_log.metaschedule import Origin

Operator = Annotated[str | None, typer.Option("--operator", help="Only of this operator, such as linear.")]
Workload = Annotated[str | None, typer.Option("--workload", metavar="HASH", help="Only of this one; it may be cut.")]
Strategy = Annotated[str | None, typer.Option("--strategy", help="Only of this strategy.")]
TargetName = Annotated[str | None, typer.Option("--target", "-t", help="Only built for this target.")]
Device = Annotated[str | None, typer.Option("--device", metavar="NAME", help="Only measured on this device.")]
Outcome = Annotated[str | None, typer.Option("--outcome", help="Only such: usable, failed, unchecked or throttled.")]
Since = Annotated[
    datetime | None, typer.Option("--since", metavar="DATE[THH:MM:SS]", help="Only tuned then or later, UTC.")
]


def register(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, help="The tuning log: what was measured, and its upkeep.")
    for name, command in _COMMANDS.items():
        group.command(name)(command)
    app.add_typer(group, name="logs")


def list_(
    log: options.Log,
    operator: Operator = None,
    workload: Workload = None,
    strategy: Strategy = None,
    target: TargetName = None,
    device: Device = None,
    outcome: Outcome = None,
    since: Since = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="Only so many, the newest.")] = 50,
    as_json: options.Json = False,
) -> None:
    """List records in order of time."""
    from ..schedules.tuning_log import open_log

    filter = _filter(operator, workload, strategy, target, device, outcome, since)
    with open_log(log, read_only=True) as opened:
        records = list(opened.records(filter, last=limit))
        in_all = opened.count(filter)
    if as_json:
        console.print_json({"records": [display.document(record) for record in records], "in_all": in_all})
        return
    console.print_table(display.COLUMNS, [display.row(record) for record in records])
    if in_all > len(records):
        console.say(f"the newest {len(records)} of {in_all}; --limit shows more")


def show(
    log: options.Log,
    record: Annotated[str, typer.Argument(metavar="ID", help="The record's id; its beginning will do.")],
    as_json: options.Json = False,
) -> None:
    """Show all that is known of one record."""
    from ..schedules.tuning_log import open_log

    with open_log(log, read_only=True) as opened:
        found = opened.find(record)
    if as_json:
        console.print_json({**display.document(found), "ir": found.workload.ir})
        return
    console.print_table(("", ""), [(name, console.cell(value)) for name, value in display.details(found).items()])


def best(
    log: options.Log,
    target: options.Target,
    threads: Annotated[
        int | None, typer.Option("--threads", min=1, help="Of the records; by default one a core of the target.")
    ] = None,
    tvm: Annotated[
        str | None, typer.Option("--tvm", metavar="VERSION", help="Of the records; by default the one installed.")
    ] = None,
    operator: Operator = None,
    as_json: options.Json = False,
) -> None:
    """List the best record of each workload for a target: what `intbert compile --log` chooses from."""
    from ..schedules.tuning_log import open_log
    from ..targets import get_target
    from ..targets.versions import PINNED, installed_versions

    machine = get_target(target)
    release = tvm or installed_versions()["apache-tvm"] or PINNED["apache-tvm"]
    with open_log(log, read_only=True) as opened:
        hashes = [workload.hash for workload in opened.workloads(operator)]
        count = threads or machine.kernel_threads
        found = opened.best(hashes, features=machine.tuning_features, tvm=release, threads=count)
    if as_json:
        console.print_json({"records": [display.document(record) for record in found.values()]})
        return
    console.print_table(display.BEST_COLUMNS, [display.best_row(record) for record in found.values()])
    if len(found) < len(hashes):
        console.say(f"{len(hashes) - len(found)} of {len(hashes)} workloads have no record for this target and threads")


def diff(
    first: Annotated[str | None, typer.Argument(metavar="A", help="A log.")] = None,
    second: Annotated[str | None, typer.Argument(metavar="B", help="Another log.")] = None,
    log: Annotated[
        str | None, typer.Option("--log", envvar="INTBERT_LOG", metavar="URL", help="With --tvm: the log.")
    ] = None,
    tvm: Annotated[
        str | None, typer.Option("--tvm", metavar="V1,V2", help="Compare two releases of TVM in the log at --log.")
    ] = None,
    operator: Operator = None,
    as_json: options.Json = False,
) -> None:
    """Compare the best records of two logs, or of two releases of TVM in one."""
    from ..schedules.tuning_log import Filter, open_log
    from ..schedules.tuning_log.comparison import compare

    sides: list[list[Record]] = []
    for url, release in _sides(first, second, log, tvm):
        with open_log(url, read_only=True) as opened:
            sides.append(opened.bests(Filter(operator=operator, tvm=release)))
    pairs = compare(*sides)
    if as_json:
        console.print_json({"pairs": [display.pair_document(pair) for pair in pairs]})
        return
    console.print_table(display.PAIR_COLUMNS, [display.pair_row(pair) for pair in pairs])
    print(display.pair_summary(pairs))


def merge(
    log: options.Log,
    others: Annotated[list[str], typer.Argument(metavar="URL...", help="The logs to add.")],
    as_json: options.Json = False,
) -> None:
    """Add all records of other logs to the one at --log; none is there twice."""
    from ..schedules.tuning_log import open_log
    from ..schedules.tuning_log.log import Added

    added = Added()
    with open_log(log) as opened:
        for url in others:
            with open_log(url, read_only=True) as other, console.steps() as step:
                step(f"adding {other}")
                added += opened.merge(other)
    if as_json:
        console.print_json({"new": added.new, "known": added.known})
    else:
        print(f"{added.new} records added, {added.known} were there already")


def prune(
    log: options.Log,
    keep: Annotated[
        int, typer.Option("--keep", min=1, help="How many stay of each workload, device, features and threads.")
    ],
    yes: Annotated[bool, typer.Option("--yes", help="Delete without asking.")] = False,
    as_json: options.Json = False,
) -> None:
    """Delete what failed and all but the best records; says first what it will delete, and asks."""
    from ..schedules.tuning_log.opening import existing

    with existing(log) as opened:
        plan = opened.prune(keep)
        number, in_all = len(plan.ids), opened.count()
        if not as_json:
            kinds = [("operator", plan.by_operator), ("outcome", plan.by_outcome)]
            rows = [(kind, name, count) for kind, counts in kinds for name, count in counts.items()]
            print(f"to be deleted: {number} of {in_all} records")
            console.print_table(("", "", "records"), rows)
        if number and not yes:
            typer.confirm(f"delete {number} records of {opened}?", abort=True, err=True)
        deleted = opened.apply(plan)
    if as_json:
        counts = {"by_operator": plan.by_operator, "by_outcome": plan.by_outcome}
        console.print_json({"deleted": deleted, "kept": in_all - deleted, **counts})
    else:
        print(f"{deleted} records deleted, {in_all - deleted} kept")


def export(
    log: options.Log,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What to write; a folder with --metaschedule.")],
    metaschedule: Annotated[
        str | None,
        typer.Option("--metaschedule", metavar="TARGET", help="Write MetaSchedule's two files, for this target."),
    ] = None,
    operator: Operator = None,
    workload: Workload = None,
    strategy: Strategy = None,
    target: TargetName = None,
    device: Device = None,
    outcome: Outcome = None,
    since: Since = None,
    as_json: options.Json = False,
) -> None:
    """Write records to a file: one JSON document a line, compressed if its name ends in .gz."""
    from ..schedules.tuning_log import open_log
    from ..schedules.tuning_log.lines import export_lines

    filter = _filter(operator, workload, strategy, target, device, outcome, since)
    with open_log(log, read_only=True) as opened, console.steps() as step:
        step(f"writing {file}")
        if metaschedule is None:
            written, left_out = export_lines(opened, file, filter), 0
        else:
            from ..schedules.tuning_log.metaschedule import export_database
            from ..targets import get_target

            exported = export_database(opened, file, get_target(metaschedule), filter)
            written, left_out = exported.written, exported.left_out
    if as_json:
        console.print_json({"written": written, "left_out": left_out, "output": str(file)})
        return
    print(f"{written} records written to {file}")
    if left_out:
        print(f"{left_out} left out: MetaSchedule cannot apply their traces")


def import_(
    log: options.Log,
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="Lines, as `intbert logs export` writes; or MetaSchedule's folder.")
    ],
    strict: Annotated[bool, typer.Option("--strict", help="Import nothing when any line is bad.")] = False,
    target: Annotated[str, typer.Option("--target", "-t", help="MetaSchedule's: what it was built for.")] = "host",
    device: Annotated[
        str | None, typer.Option("--device", metavar="NAME", help="MetaSchedule's: the machine that measured.")
    ] = None,
    threads: Annotated[
        int | None, typer.Option("--threads", min=1, help="MetaSchedule's; by default the cores of its target.")
    ] = None,
    operator: Annotated[str, typer.Option("--operator", help="MetaSchedule's: what the kernels are.")] = "imported",
    strategy: Annotated[str, typer.Option("--strategy", help="MetaSchedule's: whose space it was.")] = "metaschedule",
    checked_by: Annotated[
        str | None, typer.Option("--checked-by", metavar="WHO", help="MetaSchedule's: who vouches for the outputs.")
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Add the records of a file to the log. Bad lines are shown and passed over; importing it again adds nothing."""
    from ..schedules.tuning_log import open_log
    from ..schedules.tuning_log.lines import import_lines

    if not file.exists():
        raise InputError(f"there is no {file}; look at the path")
    with open_log(log) as opened, console.steps() as step:
        step(f"reading {file}")
        if file.is_dir():
            from ..schedules.tuning_log.metaschedule import import_database

            origin = _origin(file, target, device, threads, operator, strategy, checked_by)
            result = import_database(opened, file, origin, strict=strict)
        else:
            result = import_lines(opened, file, strict=strict)
    if as_json:
        bad = [{"file": line.file, "number": line.number, "reason": line.reason} for line in result.examples]
        console.print_json({"new": result.new, "known": result.known, "bad": result.bad, "examples": bad})
        return
    for line in result.examples:
        console.say(f"passed over: {line}")
    if result.bad > len(result.examples):
        console.say(f"... and {result.bad - len(result.examples)} more bad lines")
    print(f"{result.new} records added, {result.known} were there already, {result.bad} bad lines")


def stats(log: options.Log, as_json: options.Json = False) -> None:
    """Show the log in figures."""
    from ..schedules.tuning_log import open_log

    with open_log(log, read_only=True) as opened:
        figures = opened.summary()
    if as_json:
        console.print_json(display.summary_document(figures))
        return
    print(f"{figures.records} records of {figures.workloads} workloads")
    if figures.oldest is not None and figures.newest is not None:
        print(f"from {display.when(figures.oldest)} to {display.when(figures.newest)} UTC")
    console.print_table(("", "", "records"), display.summary_rows(figures))
    for key, size in figures.cost_models.items():
        print(f"cost model {key}: {size / 1e6:.1f} MB")


def upgrade(log: options.Log) -> None:
    """Bring a log of an older schema up to date; a copy of an SQLite file is kept beside it."""
    from ..schedules.tuning_log.opening import existing

    with existing(log) as opened:
        print(f"{opened} is up to date")


_COMMANDS = {
    "list": list_,
    "show": show,
    "best": best,
    "diff": diff,
    "stats": stats,
    "merge": merge,
    "prune": prune,
    "export": export,
    "import": import_,
    "upgrade": upgrade,
    "verify": verify,
}


def _filter(
    operator: str | None,
    workload: str | None,
    strategy: str | None,
    target: str | None,
    device: str | None,
    outcome: str | None,
    since: datetime | None,
) -> Filter:
    from ..schedules.tuning_log import Filter

    return Filter(
        operator=operator,
        workload=workload,
        strategy=strategy,
        target=target,
        device=device,
        outcome=outcome,
        since=None if since is None else since.replace(tzinfo=timezone.utc),
    )


def _sides(first: str | None, second: str | None, log: str | None, tvm: str | None) -> list[tuple[str, str | None]]:
    """For each side of a comparison: the URL of a log, and the release of TVM."""
    releases = [] if tvm is None else [part.strip() for part in tvm.split(",")]
    if tvm is None and first is not None and second is not None:
        return [(first, None), (second, None)]
    url = first or log
    if second is None and url is not None and len(releases) == 2 and all(releases):
        return [(url, release) for release in releases]
    raise typer.BadParameter("give two logs, A B; or one log and --tvm V1,V2")


def _origin(
    folder: Path,
    target: str,
    device: str | None,
    threads: int | None,
    operator: str,
    strategy: str,
    checked_by: str | None,
) -> Origin:
    """What the options say of MetaSchedule's records; their time is that of the file."""
    from ..schedules.tuning_log import Device, Versions
    from ..schedules.tuning_log.metaschedule import RECORDS_FILE, Origin
    from ..targets import get_target
    from ..targets.versions import PINNED, installed_versions

    records = folder / RECORDS_FILE
    if not records.is_file():
        raise InputError(f"{folder} has no {RECORDS_FILE}; give MetaSchedule's working folder, or a file of lines")
    machine = get_target(target)
    tvm, ffi = (installed_versions()[name] or PINNED[name] for name in ("apache-tvm", "apache-tvm-ffi"))
    return Origin(
        device=Device(device or "unknown", machine.description, machine.cpu, machine.cores),
        versions=Versions(tvm, ffi, "unknown", "unknown"),
        target=machine,
        operator=operator,
        strategy=strategy,
        tuned_at=datetime.fromtimestamp(records.stat().st_mtime, timezone.utc),
        threads=threads,
        checked_by=checked_by,
    )
