"""``intbert doctor``: what is installed, and how to mend what is not."""

from __future__ import annotations

from dataclasses import asdict

import typer

from . import console, options


def register(app: typer.Typer) -> None:
    app.command("doctor")(doctor)


def doctor(as_json: options.Json = False) -> None:
    """Check this machine: Python, TVM, linkers, the processor, extras."""
    from ..compiler.environment import Status, check_environment

    checks = check_environment()
    failed = [check for check in checks if check.status is Status.FAILED]
    if as_json:
        console.print_json({"ok": not failed, "checks": [asdict(check) for check in checks]})
    else:
        console.print_table(
            ("check", "status", "found", "to mend it"),
            [(check.name, check.status.value, check.found, check.mend) for check in checks],
        )
    if failed:
        names = ", ".join(check.name for check in failed)
        console.say(f"intbert: {names}: not as needed; {failed[0].mend}")
        raise typer.Exit(1)
