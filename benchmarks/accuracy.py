"""``make accuracy-table``: the accuracy of every method, as compiled; docs/accuracy.md and docs/accuracy.json.

Every cell is a chain of `intbert` commands: fine-tune a float model (once a task), quantize it, compile it for this
machine, and judge the artifact. A cell that is finished is kept below build/accuracy; a run that was killed goes on
with the others, and a training with its last checkpoint. Cells that accuracy.json has from elsewhere are made anew,
unless --missing asks for the others alone; until then they are shown as they are.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path

from accuracy_bench.cells import Workshop
from accuracy_bench.errors import TableError
from accuracy_bench.plan import PLAN, Plan, Row, read_plan
from accuracy_bench.report import read_record, write_report
from accuracy_bench.table import Status, table_rows

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "build"


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, default=_glue(), help="the GLUE folder (default $INTBERT_GLUE)")
    parser.add_argument("--only", nargs="+", metavar="ROW", help="make these rows; names may hold * and ?")
    parser.add_argument("--missing", action="store_true", help="make only what accuracy.json does not have either")
    parser.add_argument("--quick", action="store_true", help="a few rows on a few sentences, below build/")
    parser.add_argument("--report", action="store_true", help="make no cell, write the table of those that there are")
    parser.add_argument("--list", action="store_true", help="list the rows and how each stands, and do nothing")
    parser.add_argument("--plan", type=Path, default=PLAN, help="another plan")
    parser.add_argument("--build", type=Path, help="where cells are kept")
    parser.add_argument("--output", type=Path, help="the folder of accuracy.md and accuracy.json")
    return parser.parse_args(arguments)


def _glue() -> Path:
    return Path(os.environ.get("INTBERT_GLUE", ROOT.parent / "shared" / "glue"))


def chosen_rows(plan: Plan, only: Sequence[str] | None) -> list[Row]:
    """The rows whose names match one of the patterns; TableError for a pattern that matches none."""
    for pattern in only or ():
        if not any(fnmatch(row.name, pattern) for row in plan.rows):
            raise TableError(f"no row is called {pattern}; there are {', '.join(row.name for row in plan.rows)}")
    return [row for row in plan.rows if only is None or any(fnmatch(row.name, pattern) for pattern in only)]


def make(workshop: Workshop, rows: Sequence[Row], report: Path, missing: bool = False) -> list[str]:
    """Makes the cells of ``rows`` (``missing``: that have no number yet), the table anew after each; returns what
    failed, for the others go on."""
    failures = []
    for row in rows:
        for seed in row.seeds:
            if missing and workshop.finished_row(row, seed) is not None:
                continue
            try:
                workshop.baseline_cell(row.baseline)
                workshop.row_cell(row, seed)
            except TableError as error:
                failures.append(f"{row.name}: {error}")
                say(failures[-1])
                break
            write_report(workshop, table_rows(workshop), report)
    return failures


def say(message: str) -> None:
    """Tells on stderr what happens."""
    print(f"accuracy-table: {message}", file=sys.stderr, flush=True)


def run(options: argparse.Namespace) -> int:
    """Exit status: 1 when a cell could not be made."""
    plan = read_plan(options.plan, options.quick)
    build = options.build or BUILD / ("accuracy-quick" if options.quick else "accuracy")
    report = options.output or (build if options.quick else ROOT / "docs")
    workshop = Workshop(plan, build.resolve(), options.data.resolve(), say, read_record(report))
    if options.list:
        for row in table_rows(workshop):
            value = "" if row.value is None else f"{row.value:.4f}"
            print(f"{row.name:28}{row.status.value:10}{value:8}{row.goal}")
        return 0
    chosen = chosen_rows(plan, options.only)
    failures = [] if options.report else make(workshop, chosen, report, options.missing)
    rows = table_rows(workshop)
    markdown, document = write_report(workshop, rows, report)
    short = sum(row.status is Status.SHORT for row in rows)
    missing = sum(row.status is Status.NOT_RUN for row in rows)
    print(f"{len(rows)} rows, {short} short of their goals, {missing} not run: {_shown(markdown)}, {_shown(document)}")
    return 1 if failures else 0


def _shown(path: Path) -> str:
    return os.path.relpath(path)


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0, 1 with a line on stderr for each failure, or 130 when interrupted."""
    try:
        return run(parse(arguments))
    except (TableError, OSError) as error:
        say(str(error))
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
