"""The parts of a report: what became of each file, by workspace, and what the user should read about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrator.inventory.plan import Survey
from migrator.inventory.source_files import Source
from migrator.migration.report import WorkspaceReport
from migrator.text import counted
from migrator.workspace import hash_of_text, placeholder

if TYPE_CHECKING:
    from migrator.migration.merge import MergeResult
    from migrator.staging.results import LoadedSource


def known_reports(found: Survey, source: Source) -> list[WorkspaceReport]:
    """What the ledger says of a source that was not taken up, a report for each of its workspaces."""
    entry = found.ledger[source.name]
    file_hash = entry.workspace_hash or hash_of_text(placeholder(entry.source))
    path = found.paths.get(file_hash) or placeholder(entry.workspace_hash or entry.source)
    shares = [(file_hash, path, entry.sessions, entry.instances, entry.messages)]
    if entry.workspace_hash is None and entry.sessions:
        shares = found.shares[entry.source]
        if entry.quarantined and not any(share[0] == file_hash for share in shares):
            shares = [*shares, (file_hash, path, 0, 0, 0)]
    return [
        WorkspaceReport(
            hash=share[0],
            path=share[1],
            status="failed" if entry.error else "unchanged",
            sessions=share[2],
            instances=share[3],
            messages=share[4],
            quarantined=entry.quarantined if share[0] == file_hash else 0,
            error=entry.error,
            sources=(entry.source,),
        )
        for share in shares
    ]


def messages_of(loaded: LoadedSource) -> list[str]:
    """What the user should read about one file."""
    if loaded.error:
        return [f"{loaded.source.path}: {loaded.error}"]
    if not loaded.rejected:
        return []
    messages = list(loaded.examples)
    if loaded.quarantined > len(messages):
        messages.append(f"{loaded.source.name}: {loaded.quarantined - len(messages)} more in quarantine.")
    return messages


def conflict_messages(merged: dict[str, MergeResult]) -> list[str]:
    """What the user should read about sessions that were changed on both sides."""
    return [
        f"{name}: {counted(result.conflicts.total(), 'session')} changed both in the file and in SQLite; SQLite's "
        "version stays, the file's is in quarantine ('migrator quarantine list')."
        for name, result in merged.items()
        if result.conflicts
    ]


def workspace_reports(loaded: LoadedSource, merged: MergeResult | None, paths: dict[str, str]) -> list[WorkspaceReport]:
    """What a file brought to each workspace.

    :param merged: what a merge did, where there was one
    """
    source = loaded.source
    if loaded.error or not loaded.counts:
        file_hash = source.workspace_hash or hash_of_text(placeholder(source.name))
        path = paths.get(file_hash) or placeholder(source.workspace_hash or source.name)
        return [
            WorkspaceReport(
                file_hash, path, "failed" if loaded.error else "migrated", error=loaded.error, sources=(source.name,)
            )
        ]
    return [
        WorkspaceReport(
            file_hash,
            counts.path,
            "migrated" if merged is None else "merged",
            counts.sessions,
            counts.instances,
            counts.messages,
            counts.quarantined + (merged.conflicts[file_hash] if merged else 0),
            sources=(source.name,),
        )
        for file_hash, counts in loaded.counts.items()
    ]
