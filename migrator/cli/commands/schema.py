"""``migrator schema``: the numbered changes of the tables."""

from __future__ import annotations

from collections.abc import Callable

import click

from migrator.cli.output import counted, plain, print_report, say, told
from migrator.data_dir import DataDir

Resolve = Callable[[], DataDir]


@click.group("schema", short_help="The numbered changes of the tables.")
def schema_command() -> None:
    """The tables change in numbered steps, each applied in one transaction with its record."""


@schema_command.command("status")
@click.option("--json", "as_json", is_flag=True, help="Print it as one JSON object.")
@click.pass_obj
def status(resolve: Resolve, as_json: bool) -> int:
    """Show which steps the database has.

    \b
    migrator schema status
    """
    from migrator.database import schema
    from migrator.database.connection import opened

    path = resolve().database
    with opened(path, read_only=True) as connection:
        version = schema.require_known(connection, path)
        states = schema.status(connection, path)
    if as_json:
        steps = [{"name": state.name, "applied_at": state.applied_at} for state in states]
        print_report({"database": str(path), "schema_version": version, "steps": steps})
        return 0
    for state in states:
        say(f"{plain(state.name):<28} {plain(state.applied_at or 'not applied')}")
    return 0


@schema_command.command("apply")
@click.option("--json", "as_json", is_flag=True, help="Print it as one JSON object.")
@click.pass_obj
def apply(resolve: Resolve, as_json: bool) -> int:
    """Apply the steps that the database lacks, making it if there is none. A database with data is backed up first.

    \b
    migrator schema apply
    """
    from migrator.admin.schema_steps import apply_steps

    change = apply_steps(resolve())
    if as_json:
        print_report(change.to_json())
        return 0
    say(f"Applied {plain(', '.join(change.steps))}." if change.steps else "Nothing to apply.")
    if change.backup:
        say(f"The database as it was before: {plain(change.backup)}")
    return 0


@schema_command.command("revert")
@click.option("--json", "as_json", is_flag=True, help="Print it as one JSON object.")
@click.pass_obj
def revert(resolve: Resolve, as_json: bool) -> int:
    """Undo the last step, after a backup of the database. Refused where that would lose data.

    \b
    migrator schema revert
    """
    from migrator.admin.schema_steps import revert_step

    change = revert_step(resolve())
    if as_json:
        print_report(change.to_json())
        return 0
    say(f"Undid {plain(change.steps[0])}; schema version {change.schema_version} now.")
    say(f"The database as it was before: {plain(change.backup or '')}")
    return 0


@schema_command.command("check")
@click.option("--json", "as_json", is_flag=True, help="Print it as one JSON object.")
@click.pass_obj
def check(resolve: Resolve, as_json: bool) -> int:
    """Prepare every SQL statement of the program against a fresh schema, and compare the database's schema with it.

    Needs no database; one that is there is compared as well.

    \b
    migrator schema check
    """
    from migrator.admin import query_check
    from migrator.database import schema
    from migrator.database.connection import opened

    found = query_check.problems()
    path = resolve().database
    if path.exists():
        with opened(path, read_only=True) as connection:
            version = schema.require_known(connection, path)
            found += [f"{path}: {name} differs" for name in sorted(schema.differences(connection, version))]
    statements = sum(1 for _ in query_check.named_statements())
    if as_json:
        print_report({"statements": statements, "problems": found})
    else:
        for problem in found:
            say(told(problem))
        say(f"{statements} statements prepared, {counted(len(found), 'problem')}.")
    return 1 if found else 0
