"""``migrator schema``: the numbered changes of the tables."""

from __future__ import annotations

import click

from migrator.admin.query_check import QueryCheck, check_queries
from migrator.admin.schema_steps import SchemaChange, SchemaStatus, apply_steps, revert_step, schema_status
from migrator.cli.options import Resolve, prints_report
from migrator.cli.output import echo, printable
from migrator.text import counted, plain


@click.group("schema", short_help="The numbered changes of the tables.")
def schema_command() -> None:
    """The tables change in numbered steps, each applied in one transaction with its record."""


def _print_status(report: SchemaStatus) -> None:
    for step in report.steps:
        echo(f"{plain(step.name):<28} {plain(step.applied_at or 'not applied')}")


@schema_command.command("status")
@prints_report(_print_status)
def status(resolve: Resolve) -> SchemaStatus:
    """Show which steps the database has.

    \b
    migrator schema status
    """
    return schema_status(resolve())


def _print_applied(change: SchemaChange) -> None:
    echo(f"Applied {plain(', '.join(change.steps))}." if change.steps else "Nothing to apply.")
    if change.backup:
        echo(f"The database as it was before: {plain(change.backup)}")


@schema_command.command("apply")
@prints_report(_print_applied)
def apply(resolve: Resolve) -> SchemaChange:
    """Apply the steps that the database lacks, making it if there is none. A database with data is backed up first.

    \b
    migrator schema apply
    """
    return apply_steps(resolve())


def _print_reverted(change: SchemaChange) -> None:
    echo(f"Undid {plain(change.steps[0])}; schema version {change.schema_version} now.")
    echo(f"The database as it was before: {plain(change.backup or '')}")


@schema_command.command("revert")
@prints_report(_print_reverted)
def revert(resolve: Resolve) -> SchemaChange:
    """Undo the last step, after a backup of the database. Refused where that would lose data.

    \b
    migrator schema revert
    """
    return revert_step(resolve())


def _print_check(report: QueryCheck) -> None:
    for problem in report.problems:
        echo(printable(problem))
    echo(f"{report.statements} statements prepared, {counted(len(report.problems), 'problem')}.")


@schema_command.command("check")
@prints_report(_print_check)
def check(resolve: Resolve) -> QueryCheck:
    """Prepare every SQL statement of the program against a fresh schema, and compare the database's schema with it.

    Needs no database; one that is there is compared as well.

    \b
    migrator schema check
    """
    return check_queries(resolve())
