"""The command ``intbert``: its subcommands, and how errors leave it."""

from __future__ import annotations

import sys
import traceback
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from ..compiler.staging import is_disk_full
from ..errors import IntbertError
from . import (
    bench,
    compile,
    deploy,
    device,
    diff,
    doctor,
    eval,
    finetune,
    import_,
    inspect,
    logs,
    profile,
    quantize,
    recipes,
    run,
    targets,
    tracker,
    tune,
)

DEBUG = "--debug"


class _Group(TyperGroup):
    """Turns the errors that intbert raises on purpose into one line on stderr and exit code 1."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        # Taken wherever it stands: who sees an error adds it at the end of the line.
        end = args.index("--") if "--" in args else len(args)
        debug = DEBUG in args[:end]
        return super().parse_args(ctx, [DEBUG] * debug + [a for a in args[:end] if a != DEBUG] + args[end:])

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except Exception as error:
            # Typer's own: usage errors, exits, an interrupt, a closed pipe.
            if hasattr(error, "exit_code") or isinstance(error, typer.Abort | BrokenPipeError):
                raise
            if ctx.params["debug"]:
                traceback.print_exc()
            print(error_line(error), file=sys.stderr)
            raise typer.Exit(1) from None


def error_line(error: Exception) -> str:
    """The one line that ``error`` is worth to who did not ask for a traceback."""
    return f"intbert: {' '.join(_message(error).split())}"


def _message(error: Exception) -> str:
    if isinstance(error, IntbertError):
        return str(error)
    if is_disk_full(error):
        return "the disk is full; free some space and run it again"
    if isinstance(error, OSError):
        return f"{error.filename or 'the system'}: {error.strerror or error}"
    if isinstance(error, ModuleNotFoundError):
        return f"the module {error.name} is not installed; `intbert doctor` says how to get it"
    return f"unexpected {type(error).__name__}: {error}; run it again with {DEBUG} and report what it prints"


app = typer.Typer(
    name="intbert",
    cls=_Group,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Integer BERT models, compiled with Apache TVM for the edge.",
)
for command in (
    recipes,
    finetune,
    quantize,
    import_,
    compile,
    run,
    bench,
    profile,
    eval,
    diff,
    inspect,
    targets,
    device,
    deploy,
    tracker,
    tune,
    logs,
    doctor,
):
    command.register(app)


def _version(wanted: bool) -> None:
    if wanted:
        from .. import __version__

        print(__version__)
        raise typer.Exit


@app.callback()
def _options(
    debug: Annotated[bool, typer.Option(DEBUG, help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Integer BERT models, compiled with Apache TVM for the edge."""


def main() -> None:
    """Runs the command line (the entry point ``intbert``)."""
    app()


if __name__ == "__main__":
    main()
