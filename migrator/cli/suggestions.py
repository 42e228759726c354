"""Suggests values to a shell that completes a command line: quickly, and never with an error."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from itertools import islice

import click

from migrator.data_dir import DataDir
from migrator.inventory.location import resolve_data_dir

_MOST = 100
# A shell would take other characters, and stored text can have any, for commands.
_SAFE = re.compile(r"[\w@%+=:,./-]+")
Suggest = Callable[[click.Context, click.Parameter, str], list[str]]


def suggests(find: Callable[[DataDir, str], Iterable[str]]) -> Suggest:
    """Make the ``shell_complete`` of a parameter.

    :param find: returns values in a data directory; gets what is typed so far, too
    """

    def suggest(ctx: click.Context, _: click.Parameter, typed: str) -> list[str]:
        common = ctx.find_root().params
        try:
            places = resolve_data_dir(common.get("data_dir"), common.get("database"))
            found = (value for value in find(places, typed) if value.startswith(typed) and _SAFE.fullmatch(value))
            return [*dict.fromkeys(islice(found, _MOST))]
        except Exception:  # noqa: BLE001 - a shell that completes can show no error
            return []

    return suggest
