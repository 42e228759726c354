"""What a run is asked to do."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from migrator.progress import Listener, ignore_progress
from migrator.worker.limits import LIMITS, Limits

if TYPE_CHECKING:
    from migrator.worker.process import WorkerProcess


@dataclass(frozen=True)
class MergePolicy:
    """What a workspace's own file may hold that is no news.

    :ivar mirrored: the files repeat what SQLite has (hybrid mode): sessions from the workspace's other files as well,
        and nothing of what is invalid
    :ivar written: gives the SHA-256 of each workspace file as it was written from SQLite, by the workspace's hash
    """

    mirrored: bool = False
    written: Callable[[], Mapping[str, str]] = dict


@dataclass(frozen=True)
class Options:
    """How a run is done.

    :ivar strict: publish nothing if anything is bad
    :ivar salvage: take what is whole of torn files
    :ivar named: paths of workspaces that the user named
    :ivar search_index: whether an index for full-text search is wanted
    :ivar listener: told about progress
    :ivar hybrid: keep the files in step with SQLite, also where storage.json does not say so yet
    :ivar worker: another kind of worker process than the real one, for tests
    """

    strict: bool = False
    salvage: bool = False
    named: Sequence[str] = ()
    search_index: bool = False
    listener: Listener = ignore_progress
    hybrid: bool = False
    limits: Limits = LIMITS
    worker: type[WorkerProcess] | None = None
