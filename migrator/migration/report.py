"""What a run found and did, for people and for programs."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal, NamedTuple

WorkspaceStatus = Literal["migrated", "merged", "unchanged", "failed"]
RunStatus = Literal["completed", "completed_with_problems", "nothing_to_do", "failed"]

# The one that a workspace with several files shows.
_SEVERITY: tuple[WorkspaceStatus, ...] = ("unchanged", "migrated", "merged", "failed")


class WorkspaceReport(NamedTuple):
    """What became of one workspace. There may be tens of thousands.

    :ivar path: a placeholder ``unknown:<hash>`` where nothing proves it
    :ivar sources: the files that its sessions came from
    :ivar error: why a file of it failed, and what to do
    """

    hash: str
    path: str
    status: WorkspaceStatus
    sessions: int = 0
    instances: int = 0
    messages: int = 0
    quarantined: int = 0
    error: str | None = None
    sources: tuple[str, ...] = ()

    def joined(self, other: WorkspaceReport) -> WorkspaceReport:
        """The same workspace, with what another of its files brought."""
        errors = [error for error in (self.error, other.error) if error]
        return self._replace(
            status=max(self.status, other.status, key=_SEVERITY.index),
            sessions=self.sessions + other.sessions,
            instances=self.instances + other.instances,
            messages=self.messages + other.messages,
            quarantined=self.quarantined + other.quarantined,
            error=" ".join(errors) or None,
            sources=self.sources + other.sources,
        )


@dataclass(frozen=True)
class Totals:
    """Sums over the workspaces; ``bytes`` is the size of the files that were read."""

    workspaces: int = 0
    sessions: int = 0
    instances: int = 0
    messages: int = 0
    quarantined: int = 0
    failed: int = 0
    bytes: int = 0


@dataclass(frozen=True)
class MigrationReport:
    """What a run of ``migrate`` found and did.

    :ivar stages: milliseconds by stage
    :ivar search_index: how far the index for full-text search is: ``complete``, ``building``, ``pending`` or
        ``left_out``; None where there is no database
    :ivar errors: every message that the user should read
    :ivar warnings: what is worth knowing and needs nobody
    """

    status: RunStatus
    database: str
    workspaces: tuple[WorkspaceReport, ...] = ()
    totals: Totals = field(default_factory=Totals)
    backup_path: str | None = None
    duration_ms: int = 0
    errors: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    stages: dict[str, int] = field(default_factory=dict)
    dry_run: bool = False
    search_index: str | None = None

    @property
    def exit_code(self) -> int:
        return {"completed": 0, "nothing_to_do": 0, "completed_with_problems": 3, "failed": 1}[self.status]

    def to_json(self) -> dict[str, Any]:
        workspaces = [workspace._asdict() for workspace in self.workspaces]
        return {**vars(self), "workspaces": workspaces, "totals": asdict(self.totals)}


def by_workspace(parts: list[WorkspaceReport]) -> tuple[WorkspaceReport, ...]:
    """One report a workspace, in order of first appearance."""
    joined: dict[str, WorkspaceReport] = {}
    for part in parts:
        known = joined.get(part.hash)
        joined[part.hash] = known.joined(part) if known else part
    return tuple(joined.values())


def totals_of(workspaces: tuple[WorkspaceReport, ...], size: int) -> Totals:
    """The sums over the workspaces; ``size`` is the bytes that were read."""
    return Totals(
        workspaces=len(workspaces),
        sessions=sum(workspace.sessions for workspace in workspaces),
        instances=sum(workspace.instances for workspace in workspaces),
        messages=sum(workspace.messages for workspace in workspaces),
        quarantined=sum(workspace.quarantined for workspace in workspaces),
        failed=sum(workspace.status == "failed" for workspace in workspaces),
        bytes=size,
    )
