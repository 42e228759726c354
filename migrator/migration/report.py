"""Reports what a run found and did, for people and for programs."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, NamedTuple

from migrator.errors import Message
from migrator.inventory.plan import Plan, StoredCounts
from migrator.inventory.source_files import Source
from migrator.report import Report
from migrator.text import counted
from migrator.workspace import placeholder, workspace_of_source

if TYPE_CHECKING:
    from migrator.data_dir import DataDir
    from migrator.errors import MigratorError
    from migrator.inventory.deletions import Deletion
    from migrator.migration.merging.decision import MergeResult
    from migrator.staging.results import LoadedSource

WorkspaceStatus = Literal["migrated", "merged", "unchanged", "failed"]
RunStatus = Literal["completed", "completed_with_problems", "nothing_to_do", "failed"]

# From least to most severe. A workspace with several files has the most severe status of them.
_SEVERITY: tuple[WorkspaceStatus, ...] = ("unchanged", "migrated", "merged", "failed")
_NAMED = 10  # sessions in one message; the report has all of them


class WorkspaceReport(NamedTuple):
    """What became of one workspace. There may be tens of thousands.

    :ivar path: the placeholder ``unknown:<hash>`` if the path is not known
    :ivar sources: the files that its sessions came from
    :ivar deleted: the sessions that were deleted in these files, and went to quarantine
    :ivar held: those that were deleted there too, and stay in SQLite until the user decides
    :ivar error: why one of its files failed, and what to do
    """

    hash: str
    path: str
    status: WorkspaceStatus
    sessions: int = 0
    instances: int = 0
    messages: int = 0
    quarantined: int = 0
    error: Message | None = None
    sources: tuple[str, ...] = ()
    deleted: int = 0
    held: int = 0

    def joined(self, other: WorkspaceReport) -> WorkspaceReport:
        """This report combined with that of another file of the workspace."""
        return self._replace(
            status=max(self.status, other.status, key=_SEVERITY.index),
            sessions=self.sessions + other.sessions,
            instances=self.instances + other.instances,
            messages=self.messages + other.messages,
            quarantined=self.quarantined + other.quarantined,
            error=_joined(self.error, other.error),
            sources=self.sources + other.sources,
            deleted=self.deleted + other.deleted,
            held=self.held + other.held,
        )


def _joined(first: Message | None, second: Message | None) -> Message | None:
    """Combine two errors into one message, with the code of the first."""
    if first is None or second is None:
        return first or second
    hints = dict.fromkeys(hint for hint in (first.hint, second.hint) if hint)
    return Message(f"{first.message} {second.message}", code=first.code, hint=" ".join(hints) or None)


@dataclass(frozen=True)
class Totals:
    """Sums over all workspaces; ``bytes`` is the size of the files that were read."""

    workspaces: int = 0
    sessions: int = 0
    instances: int = 0
    messages: int = 0
    quarantined: int = 0
    failed: int = 0
    bytes: int = 0
    deleted: int = 0
    held: int = 0


@dataclass(frozen=True)
class MigrationReport(Report):
    """What a run of ``migrate`` found and did.

    :ivar stages: milliseconds by stage
    :ivar search_index: the state of the full-text search index: ``complete``, ``building``, ``pending`` or
        ``left_out``; None if there is no database
    :ivar restored: how many sessions were restored from quarantine, because they are valid by this version's rules
    :ivar errors: messages about everything that needs attention
    :ivar warnings: messages about what is worth knowing but needs no action
    :ivar deletions: each session that a file had lost
    """

    status: RunStatus
    database: str
    workspaces: tuple[WorkspaceReport, ...] = ()
    totals: Totals = field(default_factory=Totals)
    backup_path: str | None = None
    duration_ms: int = 0
    errors: tuple[Message, ...] = ()
    warnings: tuple[Message, ...] = ()
    stages: dict[str, int] = field(default_factory=dict)
    dry_run: bool = False
    search_index: str | None = None
    deletions: tuple[Deletion, ...] = ()
    restored: int = 0

    @classmethod
    def failed(cls, error: MigratorError, data_dir: DataDir | None) -> MigrationReport:
        """The report of a run that published nothing.

        :param data_dir: None if it could not be determined
        """
        return cls("failed", str(data_dir.database) if data_dir else "", errors=(error.as_message(),))

    @property
    def notes_of_deletions(self) -> list[Message]:
        """The warnings about sessions that files had lost, for commands that merge before they do something else."""
        return [warning for warning in self.warnings if warning.code == "session.deleted"]

    def with_adopted(self, other: MigrationReport) -> MigrationReport:
        """This report, with what the adopted files added."""
        added = [part for part in other.workspaces if part.status != "unchanged"]
        workspaces = by_workspace([*self.workspaces, *added])
        return replace(
            other,
            status="completed_with_problems" if self.errors or other.errors else "completed",
            workspaces=workspaces,
            totals=totals_of(workspaces, self.totals.bytes + other.totals.bytes),
            backup_path=other.backup_path or self.backup_path,
            errors=self.errors + other.errors,
            warnings=tuple(dict.fromkeys(self.warnings + other.warnings)),
            stages={name: self.stages.get(name, 0) + took for name, took in other.stages.items()},
            deletions=self.deletions + other.deletions,
        )

    def followed_by(self, other: MigrationReport) -> MigrationReport:
        """This report, with what a further run of the same command found."""
        if not (other.errors or other.deletions):
            return self
        deletions = self.deletions + other.deletions
        held = sum(deletion.held for deletion in deletions)
        return replace(
            self,
            status="completed_with_problems" if other.errors else self.status,
            totals=replace(self.totals, deleted=len(deletions) - held, held=held),
            errors=self.errors + other.errors,
            warnings=self.warnings + other.warnings,
            deletions=deletions,
        )

    @property
    def exit_code(self) -> int:
        return {"completed": 0, "nothing_to_do": 0, "completed_with_problems": 3, "failed": 1}[self.status]


def by_workspace(parts: list[WorkspaceReport]) -> tuple[WorkspaceReport, ...]:
    """Combine the reports into one for each workspace, in order of first appearance."""
    joined: dict[str, WorkspaceReport] = {}
    for part in parts:
        known = joined.get(part.hash)
        joined[part.hash] = known.joined(part) if known else part
    return tuple(joined.values())


def with_quarantine(workspaces: tuple[WorkspaceReport, ...], held: Mapping[str, int]) -> tuple[WorkspaceReport, ...]:
    """Set the counts of quarantined items to those of the quarantine itself: some were retried or dismissed since.

    :param held: the number of items by workspace hash
    """
    return tuple(workspace._replace(quarantined=held.get(workspace.hash, 0)) for workspace in workspaces)


def totals_of(workspaces: tuple[WorkspaceReport, ...], size: int) -> Totals:
    """Sum up the reports of the workspaces; ``size`` is the number of bytes that were read."""
    return Totals(
        workspaces=len(workspaces),
        sessions=sum(workspace.sessions for workspace in workspaces),
        instances=sum(workspace.instances for workspace in workspaces),
        messages=sum(workspace.messages for workspace in workspaces),
        quarantined=sum(workspace.quarantined for workspace in workspaces),
        failed=sum(workspace.status == "failed" for workspace in workspaces),
        bytes=size,
        deleted=sum(workspace.deleted for workspace in workspaces),
        held=sum(workspace.held for workspace in workspaces),
    )


def known_reports(plan: Plan, source: Source) -> list[WorkspaceReport]:
    """Report on each workspace of an unchanged source, from the ledger."""
    entry = plan.ledger[source.name]
    file_hash, path = workspace_of_source(entry.source, entry.workspace_hash, plan.paths)
    stored = [StoredCounts(file_hash, path, entry.session_count, entry.instances, entry.messages)]
    if entry.workspace_hash is None and entry.session_count:
        stored = plan.counts[entry.source]
        if entry.quarantined and not any(one.workspace_hash == file_hash for one in stored):
            stored = [*stored, StoredCounts(file_hash, path, 0, 0, 0)]
    return [
        WorkspaceReport(
            hash=one.workspace_hash,
            path=one.workspace_path,
            status="failed" if entry.error else "unchanged",
            sessions=one.sessions,
            instances=one.instances,
            messages=one.messages,
            quarantined=entry.quarantined if one.workspace_hash == file_hash else 0,
            error=entry.failure,
            sources=(entry.source,),
        )
        for one in stored
    ]


def messages_of(loaded: LoadedSource) -> list[Message]:
    """The messages about one file that failed or has invalid sessions."""
    if error := loaded.error:
        return [Message(f"{loaded.source.path}: {error.message}", code=error.code, hint=error.hint)]
    if not loaded.rejected:
        return []
    messages = list(loaded.examples)
    if loaded.quarantined > len(messages):
        more = counted(loaded.quarantined - len(messages), "more invalid session")
        messages.append(Message(f"{loaded.source.name}: {more} quarantined.", code="session.quarantined"))
    return messages


def conflict_messages(merged: dict[str, MergeResult]) -> list[Message]:
    """The messages about sessions that changed both in the file and in SQLite."""
    return [
        Message(
            f"{name}: {counted(result.conflicts.total(), 'session')} changed both in the file and in SQLite. SQLite's "
            "version stays; the file's is quarantined.",
            code="session.conflict",
            hint="Run 'migrator quarantine list' to see the conflicts.",
        )
        for name, result in merged.items()
        if result.conflicts
    ]


def adopted_messages(loaded: Sequence[LoadedSource], merged: dict[str, MergeResult]) -> list[Message]:
    """The messages about what adopted files added."""
    return [
        Message(
            f"{_adopted_place(source.source)} was adopted: {counted(result.added, 'session')} added; "
            f"{counted(result.repeated, 'session')} SQLite had already."
            + (f" {counted(result.gone, 'session')} deleted in SQLite since the last time." if result.gone else ""),
            code="source.adopted",
        )
        for source in loaded
        if source.source.kind == "adopted" and (result := merged.get(source.source.name)) is not None
    ]


def deletion_messages(merged: dict[str, MergeResult], *, held: bool) -> list[Message]:
    """The messages about sessions that files had lost.

    :param held: those that stay until the user decides; otherwise those that went to quarantine
    """
    messages = []
    for name, result in merged.items():
        found = [deletion for deletion in result.deletions if deletion.held is held]
        if not found:
            continue
        lost = f"{name} has lost {counted(len(found), 'session')}"
        names = ", ".join(repr(deletion.session_id) for deletion in found[:_NAMED])
        names += ", …" if len(found) > _NAMED else ""
        if held:
            text = f"{lost}: {names}. They are too many to be deleted without your decision, so they stay in SQLite."
            hint = "'migrator deletions list' shows them; 'migrator deletions confirm --all' deletes them, "
            hint += "'migrator deletions decline --all' keeps them."
            messages.append(Message(text, code="session.deletion_held", hint=hint))
        else:
            them, one = ("it", "it") if len(found) == 1 else ("them", "the first one")
            text = f"{lost}: {names}. SQLite has deleted {them} too, and keeps {them} in quarantine."
            hint = f"'migrator quarantine retry {found[0].item}' puts {one} back."
            messages.append(Message(text, code="session.deleted", hint=hint))
    return messages


def lost_base_messages(merged: dict[str, MergeResult]) -> list[Message]:
    """The messages about files that were merged without the copy of what they were before."""
    return [
        Message(
            f"{name} has changed, and the backup copy to compare it with cannot be used ({result.lost_base}). It was "
            f"merged without: {counted(result.added, 'session')} only in the file added, "
            f"{counted(result.conflicts.total(), 'session')} that differ quarantined, nothing deleted.",
            code=result.lost_base.code,
            hint="A session that was deleted in the file or in SQLite may have stayed or come back.",
        )
        for name, result in merged.items()
        if result.lost_base
    ]


def unreadable_messages(merged: dict[str, MergeResult]) -> list[Message]:
    """The messages about sessions that could not be read in SQLite and were quarantined."""
    return [
        Message(
            f"The session {key!r} of {name} cannot be read in SQLite: {reason}. Its rows are in quarantine now, and "
            "the file's version takes their place, if the file has one.",
            code="session.unreadable",
            hint="'migrator quarantine list' shows its number.",
        )
        for name, result in merged.items()
        for key, reason in result.unreadable.items()
    ]


def workspace_reports(loaded: LoadedSource, merged: MergeResult | None, paths: dict[str, str]) -> list[WorkspaceReport]:
    """Report what each workspace got from a file.

    :param merged: the result of the merge, if there was one
    """
    source = loaded.source
    if loaded.error or not loaded.counts:
        file_hash, path = workspace_of_source(source.name, source.workspace_hash, paths)
        status: WorkspaceStatus = "failed" if loaded.error else "migrated"
        reports = [WorkspaceReport(file_hash, path, status, error=loaded.error, sources=(source.name,))]
    else:
        reports = _loaded_reports(loaded, merged)
    return reports if merged is None else _with_deletions(reports, merged, source, paths)


def _loaded_reports(loaded: LoadedSource, merged: MergeResult | None) -> list[WorkspaceReport]:
    return [
        WorkspaceReport(
            file_hash,
            counts.path,
            "migrated" if merged is None else "merged",
            counts.sessions,
            counts.instances,
            counts.messages,
            counts.quarantined + (merged.conflicts[file_hash] if merged else 0),
            sources=(loaded.source.name,),
        )
        for file_hash, counts in loaded.counts.items()
    ]


def _with_deletions(
    reports: list[WorkspaceReport], merged: MergeResult, source: Source, paths: dict[str, str]
) -> list[WorkspaceReport]:
    """Count the deleted sessions in the reports of their workspaces, of which the file may have no other session."""
    deleted = Counter(one.workspace_hash or "" for one in merged.deletions if not one.held)
    held = Counter(one.workspace_hash or "" for one in merged.deletions if one.held)
    known = {report.hash for report in reports}
    for file_hash in (deleted | held).keys() - known:
        path = paths.get(file_hash) or placeholder(file_hash)
        reports.append(WorkspaceReport(file_hash, path, "merged", sources=(source.name,)))
    return [report._replace(deleted=deleted[report.hash], held=held[report.hash]) for report in reports]


def _adopted_place(source: Source) -> str:
    """The path of an adopted file; one that was made of a database has the path that the ledger knows."""
    return source.name if os.path.isabs(source.name) else source.place
